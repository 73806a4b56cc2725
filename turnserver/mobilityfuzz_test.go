package turnserver

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// mobilityFuzzer has two users, and places where either may be: three ports of one address, an address whose packets
// another shard serves, and a stream. The allocations are their own peers, each on a channel of its own.
type mobilityFuzzer struct {
	srv     *Server
	clock   *testClock
	users   [2]auth.Credential
	places  []*movingPlace
	tickets []heldTicket // that were handed out
	buf     *buffer
}

// movingPlace is a five-tuple, with the messages that were sent there.
type movingPlace struct {
	worker *worker
	client client
	got    [][]byte
	conn   *tapConn // of a stream; nil: UDP
}

// sendTo implements clientSocket.
func (p *movingPlace) sendTo(_ *worker, _ *client, b []byte, _ int) {
	p.got = append(p.got, bytes.Clone(b))
}

type heldTicket struct {
	user  int
	of    *allocation
	value []byte
	spent bool // its allocation has moved, and the client has shown that it has the next
}

func newMobilityFuzzer(t testing.TB) *mobilityFuzzer {
	s := newServer(t, func(cfg *Config) {
		cfg.DenyPeers = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
		cfg.Mobility, cfg.Offload = true, OffloadOff
		cfg.Limits.AllocationsPerAddress = 2
	})
	f := &mobilityFuzzer{srv: s, clock: &testClock{srv: s}, buf: new(buffer)}
	s.wallTime = f.clock.now
	for i, user := range []string{"alice", "mallory"} {
		f.users[i] = mintREST(t, user, 24*time.Hour)
	}
	for range 3 {
		s.shards = append(s.shards, newShard(s))
	}
	for _, p := range []struct {
		from  string
		shard int
	}{{"192.0.2.1:1", 0}, {"192.0.2.1:2", 0}, {"192.0.2.1:3", 0}, {"192.0.2.2:1", 1}} {
		place := &movingPlace{worker: newWorker(s, s.shards[p.shard])}
		from := netip.MustParseAddrPort(p.from)
		place.client = client{tuple: wire.FiveTuple{Client: wire.EndpointOf(from), Local: wire.EndpointOf(at("192.0.2.9")), Protocol: wire.UDP}, remote: from, sock: place}
		f.places = append(f.places, place)
	}
	stream := &movingPlace{worker: newWorker(s, s.shards[2])}
	f.places = append(f.places, stream)
	f.connect(stream)
	return f
}

// connect gives a place a new connection.
func (f *mobilityFuzzer) connect(p *movingPlace) {
	p.conn = new(tapConn)
	t := newStream(f.srv, p.worker.shard, p.conn)
	p.client = client{tuple: t.tuple, stream: t, conn: &t.clientConnection}
}

// serve serves a packet that came from a place, and returns what the server sent to each place.
func (f *mobilityFuzzer) serve(t *testing.T, from *movingPlace, packet []byte) [][][]byte {
	t.Helper()
	n := copy(f.buf.bytes[headroom:headroom+maxDatagram], packet)
	from.worker.handle(&from.client, f.buf.bytes[:], headroom, headroom+n)
	from.worker.flush()
	got := make([][][]byte, len(f.places))
	for i, p := range f.places {
		if p.conn != nil {
			p.client.stream.out.waitUntilWritten() // it is all in conn
			p.got = p.conn.taken(t)
		}
		got[i], p.got = p.got, nil
	}
	return got
}

// request sends a user's request from a place, and returns the answer. The answer comes there, and nothing anywhere
// else.
func (f *mobilityFuzzer) request(t *testing.T, user, place int, method stun.Method, attrs ...stun.Setter) *stun.Message {
	t.Helper()
	p, cred := f.places[place], f.users[user]
	m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(attrs,
		stun.NewUsername(cred.Username), stun.NewRealm(testRealm), stun.NewNonce(string(p.worker.nonce(&p.client))),
		stun.NewLongTermIntegrity(cred.Username, testRealm, cred.Password))...)
	for i, got := range f.serve(t, p, m.Raw) {
		if i != place && len(got) != 0 || i == place && len(got) != 1 {
			t.Fatalf("%v from place %d drew %x at place %d", m, place, got, i)
		}
		if i == place {
			checkAnswer(t, m.Raw, got[0], true)
			m = decode(t, got[0])
		}
	}
	return m
}

// whereabouts are the home of an allocation, and its arrival.
type whereabouts struct {
	home     *home
	expected *home // or nil
}

func (f *mobilityFuzzer) whereabouts() map[*allocation]whereabouts {
	all := make(map[*allocation]whereabouts)
	for _, sh := range f.srv.shards {
		for _, a := range sh.allocations.All() {
			w := whereabouts{home: a.home.Load()}
			if a.extras != nil && a.extras.mobile != nil && a.extras.mobile.arrival != nil {
				w.expected = a.extras.mobile.arrival.home
			}
			all[a] = w
		}
	}
	return all
}

// at returns the allocation at a place, or else the one that will be there once something comes from there.
func (f *mobilityFuzzer) at(place int) (there, expected *allocation) {
	p := f.places[place]
	there = p.worker.shard.find(p.client.tuple)
	if ar, ok := f.srv.mobility.arrivals.Load(p.client.tuple); ok && f.srv.now() < ar.expires {
		expected = ar.alloc
	}
	return there, expected
}

func (a *allocation) madeBy(cred *auth.Credential) bool {
	return a != nil && a.grant.Username == cred.Username
}

// step does one thing. It may have moved only an allocation that was expected at that place, or lost its connection
// there.
func (f *mobilityFuzzer) step(t *testing.T, op, arg byte) {
	t.Helper()
	place, user, ticket := int(arg)%len(f.places), int(arg)/len(f.places)%len(f.users), int(arg)/len(f.places)/len(f.users)
	before, here := f.whereabouts(), f.places[place].client
	moves := f.act(t, op, place, user, ticket)
	for a, now := range f.whereabouts() {
		was, lived := before[a]
		if !lived || now.home == was.home {
			continue
		}
		arrived := now.home == was.expected && now.home.tuple == here.tuple
		lost := was.home.conn != nil && was.home.conn == here.conn && (now.home == was.expected || was.expected == nil && stranded(&now.home.tuple))
		if !moves || !arrived && !lost {
			t.Fatalf("step %d, %d moved an allocation from %v to %v", op, arg, was.home.tuple, now.home.tuple)
		}
		if arrived && op%12 != 8 {
			f.spend(a)
		}
	}
	checkBooks(t, f.srv)
}

// spend notes that of an allocation's tickets only the last is good.
func (f *mobilityFuzzer) spend(a *allocation) {
	last := (*heldTicket)(nil)
	for i := range f.tickets {
		if held := &f.tickets[i]; held.of == a {
			if last != nil {
				last.spent = true
			}
			last = held
		}
	}
}

// act does the work of step, and reports whether that may complete a move.
func (f *mobilityFuzzer) act(t *testing.T, op byte, place, user, ticket int) (moves bool) {
	t.Helper()
	p := f.places[place]
	switch op % 12 {
	case 0, 1:
		f.allocate(t, user, place, op%12 == 0)
	case 2:
		f.refresh(t, user, place)
		return true
	case 3:
		f.request(t, user, place, stun.MethodRefresh, lifetime(0))
		return true
	case 4:
		f.show(t, user, place, ticket, nil)
	case 5:
		f.show(t, user, place, ticket, []stun.Setter{lifetime(0)})
	case 6:
		f.sendChannel(t, place)
		return true
	case 7:
		f.serve(t, p, sendIndication(t, netip.AddrPortFrom(loopback, 49152), []byte("data")))
		return true
	case 8:
		f.serve(t, p, buildMessage(t, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw)
		return true
	case 9:
		f.bind(t, user, place)
		return true
	case 10:
		f.clock.advance([...]time.Duration{time.Second, moveInterval, 30 * time.Second, arrivalTime}[place%4])
		f.srv.sweep()
	case 11:
		if p.conn != nil {
			p.client.stream.endAllocation(p.worker.shard, p.client.tuple)
			f.connect(p)
			return true
		}
		f.srv.EndUser([]string{"alice", "mallory"}[user])
	}
	return false
}

func (f *mobilityFuzzer) allocate(t *testing.T, user, place int, mobile bool) {
	t.Helper()
	attrs := []stun.Setter{transport(transportUDP)}
	if mobile {
		attrs = append(attrs, mobilityTicket(nil))
	}
	there, _ := f.at(place)
	res := f.request(t, user, place, stun.MethodAllocate, attrs...)
	if code := codeOf(t, res); code != 0 {
		if (there != nil) != (code == 437) {
			t.Fatalf("Allocate: answered %d", code)
		}
		return
	}
	if there != nil || res.Contains(attrMobilityTicket) != mobile {
		t.Fatalf("answered %v", res)
	}
	if mobile {
		a, _ := f.at(place)
		f.tickets = append(f.tickets, heldTicket{user: user, of: a, value: ticketIn(t, res)})
	}
}

// refresh must succeed for the user whose allocation is at a place, or expected there, and for nobody else.
func (f *mobilityFuzzer) refresh(t *testing.T, user, place int) {
	t.Helper()
	there, expected := f.at(place)
	want := 437
	switch {
	case there.madeBy(&f.users[user]), there == nil && expected.madeBy(&f.users[user]):
		want = 0
	case there != nil:
		want = 441
	}
	if code := codeOf(t, f.request(t, user, place, stun.MethodRefresh)); code != want {
		t.Fatalf("Refresh: answered %d, want %d", code, want)
	}
}

// show shows one of the latest tickets. It is of use to its user alone, and makes the allocation expected at that
// place.
func (f *mobilityFuzzer) show(t *testing.T, user, place, which int, attrs []stun.Setter) {
	t.Helper()
	if len(f.tickets) == 0 {
		return
	}
	shown := f.tickets[len(f.tickets)-1-which%len(f.tickets)]
	a := shown.of
	before, _ := f.at(place)
	res := f.request(t, user, place, stun.MethodRefresh, append(attrs, mobilityTicket(shown.value))...)
	if codeOf(t, res) != 0 {
		return
	}
	if shown.user != user || shown.spent && before != a {
		t.Fatalf("user %d has moved with a ticket of user %d, spent: %v", user, shown.user, shown.spent)
	}
	if len(attrs) > 0 {
		if _, lives := f.whereabouts()[a]; lives || res.Contains(attrMobilityTicket) {
			t.Fatalf("lifetime 0 was answered with %v", res)
		}
		return
	}
	if there, expected := f.at(place); there != a && (there != nil || expected != a) {
		t.Fatal("an allocation is not expected where its ticket was good")
	}
	next := ticketIn(t, res)
	if !slices.ContainsFunc(f.tickets, func(held heldTicket) bool { return bytes.Equal(held.value, next) }) {
		f.tickets = append(f.tickets, heldTicket{user: user, of: a, value: next})
	}
}

// sendChannel sends data on the channel that leads to the allocation itself. The data come back to the same place if
// the client is or was expected there, and never to another place.
func (f *mobilityFuzzer) sendChannel(t *testing.T, place int) {
	t.Helper()
	p, bound := f.places[place], 0
	there, expected := f.at(place)
	if there == nil {
		there = expected
	}
	if there != nil && len(there.flows) > 0 && there.flows[0].live(f.srv.now()) {
		bound = 1
	}
	for i, got := range f.serve(t, p, channelMessage(wire.MinChannel, []byte("data"), p.conn != nil)) {
		if i == place && len(got) != bound || i != place && len(got) != 0 {
			t.Fatalf("data from place %d came to place %d as %q, of %d channels", place, i, got, bound)
		}
	}
}

// bind binds the channel of the allocation at a place.
func (f *mobilityFuzzer) bind(t *testing.T, user, place int) {
	t.Helper()
	there, expected := f.at(place)
	if there == nil {
		there = expected
	}
	if there != nil {
		f.request(t, user, place, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(there.first.local.AddrPort()))
	}
}

// end ends everything, and checks that nothing is left.
func (f *mobilityFuzzer) end(t *testing.T) {
	t.Helper()
	f.srv.EndUser("alice")
	f.srv.EndUser("mallory")
	checkBooks(t, f.srv)
	wantNothingLeft(t, f.srv)
	f.tickets = nil
	f.clock.ahead.Store(0) // nothing is left that has seen another time
}

// FuzzMobility lets two users do anything in any order from four places, with tickets old and new, their own and each
// other's.
func FuzzMobility(f *testing.F) {
	// Steps are an op and an argument: place+5*(user+2*ticket), ticket 0 being the last.
	f.Add([]byte{0, 0, 9, 0, 4, 1, 6, 1, 6, 0})                              // a move within a shard
	f.Add([]byte{0, 0, 9, 0, 4, 3, 6, 3, 4, 4, 6, 4, 4, 0, 2, 0})            // to another, to a stream, and back
	f.Add([]byte{0, 4, 9, 4, 11, 4, 4, 1, 8, 1, 6, 1})                       // from a stream that is lost
	f.Add([]byte{0, 0, 4, 4, 11, 4, 6, 0, 4, 3, 10, 3, 6, 3})                // to a stream that is lost, and to where nobody comes
	f.Add([]byte{0, 0, 4, 8, 5, 8, 4, 3, 4, 13, 6, 3, 4, 11, 4, 13, 5, 11})  // another's ticket, and those before
	f.Add([]byte{0, 0, 4, 3, 0, 3, 1, 8, 4, 3, 3, 3, 4, 3})                  // where there is another
	f.Add(bytes.Repeat([]byte{4, 0, 4, 1, 4, 3, 4, 4, 6, 0, 6, 3, 0, 0}, 9)) // moves without end
	fuzzer := newMobilityFuzzer(f)
	f.Fuzz(func(t *testing.T, steps []byte) {
		for steps = steps[:min(len(steps), 256)]; len(steps) >= 2; steps = steps[2:] {
			fuzzer.step(t, steps[0], steps[1])
		}
		fuzzer.end(t)
	})
}
