package turnserver

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// moveFlood: the server refuses the moves of a client that goes to and fro without end, serves it where it is, and
// nothing grows.
func moveFlood(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, begun, waited := newServer(t, allowMobility), time.Now(), atomic.Int64{}
		s.wallTime = func() time.Time { return begun.Add(time.Duration(waited.Load())) } // however long this takes
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed, ticket := c.allocateMobile()
		c.bind(wire.MinChannel, peer.addr)
		away := [...]*testClient{c.elsewhere(s, network), c.elsewhere(s, network)}
		for i := range movesAtOnce {
			ticket = away[i%2].show(ticket)
			checkBooks(t, s)
		}
		d := away[movesAtOnce%2]
		for range 10 {
			d.refuse(486, stun.MethodRefresh, mobilityTicket(ticket))
		}
		waitCounted(t, s, "limits_reached", "moves_per_allocation", 10)
		checkBooks(t, s)
		c.accept(stun.MethodRefresh)
		peer.send(relayed, []byte("still here"))
		c.wantData(wire.MinChannel, peer.addr, []byte("still here"))
		waited.Add(int64(moveInterval))
		d.show(ticket)
		d.sendChannel(wire.MinChannel, []byte("at last"))
		peer.want(relayed, []byte("at last"))
		d.accept(stun.MethodRefresh, lifetime(0))
		wantNothingLeft(t, s)
	})
}

// nonceElsewhere: from another address the old nonce is as good as none, whatever the ticket. From another port it is
// good.
func nonceElsewhere(t *testing.T) {
	s := startServer(t, allowMobility)
	c := dialREST(t, s, "udp", "alice")
	_, ticket := c.allocateMobile()
	far, near := c.elsewhereFrom(s, 5), c.elsewhere(s, "udp")
	for _, d := range []*testClient{far, near} {
		d.realm, d.nonce, d.key = c.realm, c.nonce, c.key
	}
	res := far.wantCode(far.roundTrip(far.build(stun.MethodRefresh, mobilityTicket(ticket))), 438)
	if res.Contains(attrMobilityTicket) || s.mobility.arrivals.Size() != 0 {
		t.Errorf("a nonce of another address draws %v", res)
	}
	next := ticketIn(t, near.wantCode(near.roundTrip(near.build(stun.MethodRefresh, mobilityTicket(ticket))), 0))
	far.learn(res)
	far.show(next)
	checkBooks(t, s)
}

// ticketWithoutCredential: a stranger who has seen a ticket, with the nonce and the signature beside it, moves nothing,
// ends nothing and learns nothing.
func ticketWithoutCredential(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed, ticket := c.allocateMobile()
		c.bind(wire.MinChannel, peer.addr)
		seen := c.elsewhere(s, network).challenged().build(stun.MethodRefresh, mobilityTicket(ticket))
		stranger := dial(t, s, network)
		res := stranger.roundTrip(seen) // signed, and for a nonce of another port
		if code := codeOf(t, res); code != 438 || res.Contains(attrMobilityTicket) {
			t.Errorf("a request that was overheard is answered %d", code)
		}
		for _, attrs := range [][]stun.Setter{{}, {lifetime(0)}, {stun.NewUsername(c.username)}} {
			m := buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), append(attrs, mobilityTicket(ticket))...)
			stranger.wantCode(stranger.roundTrip(m), 401)
		}
		stranger.sendChannel(wire.MinChannel, []byte("as if from where it is"))
		stranger.barrier()
		if s.mobility.arrivals.Size() != 0 || s.Allocations() != 1 {
			t.Error("an allocation is about to move, or has ended")
		}
		peer.send(relayed, []byte("still here"))
		c.wantData(wire.MinChannel, peer.addr, []byte("still here"))
	})
}

// arrivalAmidData: if a stream was an arrival and then claims a connection with a peer, it carries nothing but that
// connection's data.
func arrivalAmidData(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c, control := dialREST(t, s, network, "alice"), dialREST(t, s, network, "alice")
		peer, tcpPeer := newPeer(t), newTCPPeer(t)
		relayed, ticket := c.allocateMobile()
		c.bind(wire.MinChannel, peer.addr)
		relayedTCP := control.allocateTCP()
		control.permit(tcpPeer.addr)
		id := control.connectTo(tcpPeer.addr)

		d := c.elsewhere(s, network)
		d.show(ticket)
		data, far := d.claim(id), tcpPeer.accept(relayedTCP)
		_ = c.conn.Close()
		stranded := func() bool {
			for _, a := range s.Snapshot() {
				if !a.Client.IsValid() {
					return true
				}
			}
			return false
		}
		waitFor(t, "the server to notice", stranded)
		away := counterOf(t, s, "packets_dropped", "client_away")
		peer.send(relayed, []byte("datagram"))
		waitCounted(t, s, "packets_dropped", "client_away", away+1)
		far.send([]byte("nothing but this"))
		data.want([]byte("nothing but this"))
	})
}

// lostInMove: packets of peers come to the client's old place or to its new one while it moves. Each comes once, and
// none is lost.
func lostInMove(t *testing.T) {
	s := startServer(t, allowMobility)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed, ticket := c.allocateMobile()
	c.bind(wire.MinChannel, peer.addr)
	const moves, burst = 10, 100 // which fit a socket's buffer
	for range moves {
		d := c.elsewhere(s, "udp")
		ticket = d.show(ticket)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range uint32(burst) {
				if _, err := peer.conn.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, i), relayed); err != nil {
					t.Error(err)
				}
			}
		}()
		d.sendChannel(wire.MinChannel, []byte("here"))
		peer.want(relayed, []byte("here"))
		<-sent
		got := make(map[uint32]int)
		peer.send(relayed, binary.BigEndian.AppendUint32(nil, burst)) // the last, which comes to d alone
		for last := false; !last; {
			n := binary.BigEndian.Uint32(d.receiveOn(wire.MinChannel))
			got[n]++
			last = n == burst
		}
		for _, frame := range c.barrier() {
			got[binary.BigEndian.Uint32(frame[wire.ChannelHeaderSize:])]++
		}
		for i := range uint32(burst + 1) {
			if got[i] != 1 {
				t.Fatalf("packet %d came %d times", i, got[i])
			}
		}
		c = d
	}
}

// TestMoveByKeepalive: a client that only listens moves by the messages that keep its NAT's mapping. They do not
// confirm the move: it may have sent them before it had its answer.
func TestMoveByKeepalive(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		for name, keepalive := range map[string]func(*testClient){
			"request": func(d *testClient) { d.wantCode(d.roundTrip(buildMessage(t, stun.BindingRequest)), 0) },
			"indication": func(d *testClient) {
				d.write(buildMessage(t, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw)
			},
		} {
			s, clock := startClocked(t, allowMobility)
			c, peer := dialREST(t, s, network, "alice"), newPeer(t)
			relayed, first := c.allocateMobile()
			c.bind(wire.MinChannel, peer.addr)
			d := c.elsewhere(s, network)
			second := d.show(first)
			keepalive(d)
			waitCounted(t, s, "allocations_moved", "", 1)
			peer.send(relayed, []byte(name))
			d.wantData(wire.MinChannel, peer.addr, []byte(name))
			clock.advance(arrivalTime)
			s.sweep()
			d.bind(wire.MinChannel, peer.addr)
			if again := c.elsewhere(s, network).show(first); !bytes.Equal(again, second) {
				t.Errorf("the ticket from before the keepalive is answered with %q", again)
			}
			checkBooks(t, s)
		}
	})
}

// TestMoveUserhash: a client that sends only the hash of its username can still move when its credential has expired
// and is forgotten.
func TestMoveUserhash(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock, credentials := startRemembering(t)
		cred := credentials.MintSession("S1", "alice", 2*time.Minute)
		c := dialModern(t, s, network, cred, wire.AlgorithmSHA256)
		c.name = userhashOf(cred.Username)
		ticket := ticketIn(t, c.ask(0, stun.MethodAllocate, mobilityTicket(nil)))
		clock.advance(3 * time.Minute)
		credentials.MintSession("S2", "alice", time.Minute) // which forgets those that have expired
		d := dialModern(t, s, network, cred, wire.AlgorithmSHA256)
		d.name = c.name
		d.ask(401, stun.MethodRefresh)
		d.ask(0, stun.MethodRefresh, mobilityTicket(ticket))
		d.ask(401, stun.MethodAllocate)
		d.ask(0, stun.MethodRefresh)
		c.ask(401, stun.MethodRefresh)
	})
}

// TestMoveTooLate: a ticket is no use once its allocation has expired, even if the sweep has not noticed that yet.
func TestMoveTooLate(t *testing.T) {
	s, clock := startClocked(t, allowMobility)
	c := dialREST(t, s, "udp", "alice")
	_, ticket := c.allocateMobile()
	clock.advance(defaultLifetime)
	c.elsewhere(s, "udp").refuse(437, stun.MethodRefresh, mobilityTicket(ticket))
	s.sweep()
	wantNothingLeft(t, s)
}

// TestMoveEndings: a session's end and the greatest age are obeyed in the middle of a move.
func TestMoveEndings(t *testing.T) {
	for name, end := range map[string]func(*Server, *testClock){
		"its session's end": func(s *Server, _ *testClock) { s.EndSession("S1") },
		"its age":           func(s *Server, clock *testClock) { clock.advance(9 * time.Minute); s.sweep() },
	} {
		t.Run(name, func(t *testing.T) {
			s, clock := startClocked(t, func(cfg *Config) {
				allowMobility(cfg)
				cfg.Limits.AllocationMaxAge = 9 * time.Minute
			})
			c := dialAs(t, s, "tcp", testCredentials().MintSession("S1", "alice", time.Hour))
			_, ticket := c.allocateMobile()
			d := c.elsewhere(s, "udp")
			next := d.show(ticket)
			end(s, clock)
			wantNothingLeft(t, s)
			d.refuse(437, stun.MethodRefresh)
			d.refuse(437, stun.MethodRefresh, mobilityTicket(next))
		})
	}
}

// anothersTicket: a ticket is of no use to another user, nor to its own user with another credential.
func anothersTicket(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c := dialREST(t, s, network, "alice")
		_, ticket := c.allocateMobile()
		mallory := dialREST(t, s, network, "mallory")
		mallory.refuse(441, stun.MethodRefresh, mobilityTicket(ticket))
		mallory.refuse(441, stun.MethodRefresh, mobilityTicket(ticket), lifetime(0))
		dialAs(t, s, network, mintREST(t, "alice", 2*time.Hour)).refuse(441, stun.MethodRefresh, mobilityTicket(ticket))
		wrong := c.elsewhere(s, network)
		wrong.password = "wrong"
		wrong.refuse(401, stun.MethodRefresh, mobilityTicket(ticket))
		dial(t, s, network).wantCode(wrong.roundTrip(buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), mobilityTicket(ticket))), 401)
		c.accept(stun.MethodRefresh)
		if moved := s.mobility.arrivals.Size(); moved != 0 {
			t.Errorf("%d allocations are about to move", moved)
		}
		c.elsewhere(s, network).show(ticket)
	})
}

// replayedTicket: a used ticket does not bring the allocation back, nor anywhere else.
func replayedTicket(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed, ticket := c.allocateMobile()
		c.bind(wire.MinChannel, peer.addr)
		used := [][]byte{ticket}
		d := c
		for range 3 {
			d = d.elsewhere(s, network)
			ticket = d.show(ticket)
			d.sendChannel(wire.MinChannel, []byte("here"))
			peer.want(relayed, []byte("here"))
			for _, old := range used {
				c.refuse(437, stun.MethodRefresh, mobilityTicket(old))
				c.elsewhere(s, network).refuse(437, stun.MethodRefresh, mobilityTicket(old), lifetime(0))
			}
			used = append(used, ticket)
		}
		peer.send(relayed, []byte("still here"))
		d.wantData(wire.MinChannel, peer.addr, []byte("still here"))
	})
}

// forgedTicket: the server takes nothing for a ticket but a whole one that it has made itself.
func forgedTicket(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, another := startServer(t, allowMobility), startServer(t, allowMobility)
		c := dialREST(t, s, network, "alice")
		_, ticket := c.allocateMobile()
		_, foreign := dialREST(t, another, network, "alice").allocateMobile()
		d := c.elsewhere(s, network)
		forged := [][]byte{foreign, nil, ticket[:1], ticket[:len(ticket)-1], append(bytes.Clone(ticket), 'A'), append(bytes.Clone(ticket), ticket...), make([]byte, len(ticket)), pattern(1000)}
		for i := range ticket {
			changed := bytes.Clone(ticket)
			changed[i] ^= 1
			forged = append(forged, changed)
		}
		for _, bad := range forged {
			d.refuse(400, stun.MethodRefresh, mobilityTicket(bad))
		}
		c.accept(stun.MethodRefresh)
	})
}

// endedTicket: a ticket ends with its allocation, whatever takes its place.
func endedTicket(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowMobility)
		c := dialREST(t, s, network, "alice")
		_, ticket := c.allocateMobile()
		c.accept(stun.MethodRefresh, lifetime(0))
		d := c.elsewhere(s, network)
		d.refuse(437, stun.MethodRefresh, mobilityTicket(ticket))
		_, fresh := c.allocateMobile()
		d.refuse(437, stun.MethodRefresh, mobilityTicket(ticket))
		s.EndUser("alice")
		d.refuse(437, stun.MethodRefresh, mobilityTicket(fresh))
		wantNothingLeft(t, s)
	})
}
