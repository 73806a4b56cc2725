//go:build linux && (amd64 || arm64)

package turnserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// attacksOnLoops lists the attacks that only loops withstand.
func attacksOnLoops() []attack {
	return []attack{
		{"a flood of requests, to drown calls and what their clients ask for", "coturn 4.6.1 loses a third of the packets", TestCallsSurviveFlood},
		{"a socket that is always full, to starve others", "", TestFullSocketsAlternate},
	}
}

// steppedLoop is a loop with a listener. It serves only when the test lets it.
type steppedLoop struct {
	*loop
	t    *testing.T
	addr netip.AddrPort
}

func newSteppedLoop(t *testing.T) *steppedLoop {
	t.Helper()
	l, err := newServer(t, allowLoopback).newLoop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.closeSockets)
	addr, err := l.open(netip.AddrPortFrom(loopback, 0), false)
	if err == nil {
		err = steer([]*loop{l})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &steppedLoop{l, t, addr}
}

// step lets the loop serve once.
func (l *steppedLoop) step() {
	l.t.Helper()
	events := make([]unix.EpollEvent, eventsAtOnce)
	n, err := udpio.EpollWait(l.epoll, events, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.serve(events[:n])
}

// signIn is a client that knows realm and nonce.
func (l *steppedLoop) signIn() *testClient {
	l.t.Helper()
	c := clientOn(l.t, dialPlain(l.t, l.addr)).as(mintREST(l.t, "alice", time.Hour))
	c.learn(l.answerTo(c, c.build(stun.MethodAllocate, transport(transportUDP))))
	return c
}

// answerTo has the loop serve a request.
func (l *steppedLoop) answerTo(c *testClient, m *stun.Message) *stun.Message {
	l.t.Helper()
	c.write(m.Raw)
	l.step()
	return c.answerTo(m)
}

// allocate makes a relay, and returns its address.
func (l *steppedLoop) allocate(c *testClient) netip.AddrPort {
	l.t.Helper()
	return addressIn(l.t, c.wantCode(l.answerTo(c, c.build(stun.MethodAllocate, transport(transportUDP))), 0), stun.AttrXORRelayedAddress)
}

// counted is how many packets the loop has dropped for a reason.
func (l *steppedLoop) counted(r reason) int { return int(l.counters.reasons[r].Load()) }

// relay adds a relayed socket, whose allocation permits nobody.
func (l *steppedLoop) relay() (*allocation, netip.AddrPort) {
	l.t.Helper()
	a := &allocation{shard: l.shard}
	if err := l.openRelay(&a.first.relayPort, netip.AddrPortFrom(loopback, 0)); err != nil {
		l.t.Fatal(err)
	}
	r := a.first.datagrams.(*loopRelay)
	l.t.Cleanup(func() { _ = unix.Close(r.fd) })
	if err := r.start(a, &a.first); err != nil {
		l.t.Fatal(err)
	}
	addr, err := udpio.BoundTo(r.fd)
	if err != nil {
		l.t.Fatal(err)
	}
	return a, addr
}

// know gives a client an allocation.
func (l *steppedLoop) know(conn *net.UDPConn) {
	tuple := wire.FiveTuple{Client: wire.EndpointOf(wire.AddrPortOf(conn.LocalAddr())), Local: wire.EndpointOf(l.addr), Protocol: wire.UDP}
	l.shard.allocations.Store(tuple, &allocation{shard: l.shard})
}

// lost is how many packets of an allocation were dropped.
func (a *allocation) lost() (n int) {
	for i := range a.dropped {
		n += int(a.dropped[i].Load())
	}
	return n
}

func dialPlain(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func sendTimes(t *testing.T, conn net.Conn, data []byte, times int) {
	t.Helper()
	for range times {
		if _, err := conn.Write(data); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullSocketsAlternate: sockets that are always full get a batch each in every turn, and wait only once each.
func TestFullSocketsAlternate(t *testing.T) {
	if portable {
		return // the other path has no loops
	}
	l := newSteppedLoop(t)
	one, oneAt := l.relay()
	two, twoAt := l.relay()
	floods := []*net.UDPConn{dialPlain(t, oneAt), dialPlain(t, twoAt)}
	for _, flood := range floods {
		sendTimes(t, flood, []byte("flood"), udpio.BatchSize)
	}
	for turn := 1; turn <= 100; turn++ {
		for _, flood := range floods {
			sendTimes(t, flood, []byte("flood"), udpio.BatchSize) // which also wakes the loop
		}
		l.step()
		if want := turn * udpio.BatchSize; one.lost() != want || two.lost() != want || len(l.waiting[data]) != 2 {
			t.Fatalf("after turn %d the sockets were read %d and %d times, want %d, and %d wait", turn, one.lost(), two.lost(), want, len(l.waiting[data]))
		}
	}
}

// TestCallsBeforeStrangers: while packets of calls wait, a loop serves few requests of strangers.
func TestCallsBeforeStrangers(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	stranger, call := dialPlain(t, l.addr), dialPlain(t, l.addr)
	_, relayAt := l.relay()
	peer := dialPlain(t, relayAt)
	sendTimes(t, stranger, buildMessage(t, stun.BindingRequest).Raw, 100)
	sendTimes(t, call, channelMessage(wire.MinChannel, []byte("unbound"), false), 2*udpio.BatchSize+8)
	sendTimes(t, peer, []byte("unpermitted"), udpio.BatchSize+8)
	for turn, want := range []struct{ up, down, strangers int }{
		{udpio.BatchSize, udpio.BatchSize, strangersAmid},
		{2 * udpio.BatchSize, udpio.BatchSize + 8, 2 * strangersAmid},
		{2*udpio.BatchSize + 8, udpio.BatchSize + 8, 2*strangersAmid + strangersAtOnce},
		{2*udpio.BatchSize + 8, udpio.BatchSize + 8, 2*strangersAmid + 2*strangersAtOnce},
	} {
		l.step()
		up, down, strangers := l.counted(dropNoChannel), l.counted(dropNoPermission), int(l.counters.bindings.Load())
		if up != want.up || down != want.down || strangers != want.strangers {
			t.Fatalf("after turn %d: %d up, %d down and %d strangers served, want %+v", turn+1, up, down, strangers, want)
		}
	}
}

// TestStrangersAmongCalls: in a full batch, requests of strangers come last, and most of them are dropped. Those of a client
// with an allocation are not.
func TestStrangersAmongCalls(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	known, stranger := dialPlain(t, l.addr), dialPlain(t, l.addr)
	l.know(known)
	request := buildMessage(t, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)).Raw
	const calls, batch = 20, udpio.BatchSize
	sendTimes(t, stranger, request, batch-calls)
	sendTimes(t, known, request, calls)
	sendTimes(t, stranger, request, 1)
	l.step()
	if got, want := l.counted(dropStrangers), batch-calls-strangersAmong; got != want {
		t.Errorf("%d requests were dropped, want %d", got, want)
	}
	answers := func(conn *net.UDPConn) (n int) {
		buf := make([]byte, 1500)
		for {
			if err := unix.EAGAIN; readNow(t, conn, buf) == err {
				return n
			}
			n++
		}
	}
	if known, stranger := answers(known), answers(stranger); known != calls || stranger != strangersAmong {
		t.Errorf("%d answers to the client and %d to the stranger, want %d and %d", known, stranger, calls, strangersAmong)
	}

	// Some batches of strangers alone hold nobody up. More of them are a flood.
	l.step()
	dropped := l.counted(dropStrangers)
	sendTimes(t, stranger, request, (floodedAfter+2)*batch)
	for range floodedAfter - 1 {
		l.step()
	}
	if got := l.counted(dropStrangers); got != dropped {
		t.Errorf("%d requests were dropped", got-dropped)
	}
	l.step()
	if got, want := l.counted(dropStrangers)-dropped, batch-strangersAmong; got != want {
		t.Errorf("%d requests of a flood were dropped, want %d", got, want)
	}
}

// TestClientsAmidData: while data waits, the requests of clients with an allocation are served, and few of strangers'.
func TestClientsAmidData(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	known, stranger, call := dialPlain(t, l.addr), dialPlain(t, l.addr), dialPlain(t, l.addr)
	l.know(known)
	request := buildMessage(t, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)).Raw
	sendTimes(t, stranger, request, strangersAtOnce-1)
	sendTimes(t, known, request, 1)
	sendTimes(t, call, channelMessage(wire.MinChannel, []byte("unbound"), false), 2*udpio.BatchSize)
	l.step()
	if got, want := l.counted(dropStrangers), strangersAtOnce-1-strangersAmid; got != want {
		t.Errorf("%d requests were dropped, want %d", got, want)
	}
	if err := readNow(t, known, make([]byte, 1500)); err != nil {
		t.Errorf("no answer to the client: %v", err)
	}
}

// TestDataBehindTheirPermission: a client may send data right behind the request that permits them, as Firefox does. The
// loop finds both at once, and loses nothing.
func TestDataBehindTheirPermission(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	t.Cleanup(func() {
		for _, a := range l.shard.all() {
			a.end()
		}
	})
	c := l.signIn()
	relayed := l.allocate(c)
	peer := newPeer(t)
	c.write(c.build(stun.MethodCreatePermission, peersOf(peer.addr)...).Raw)
	c.indicate(peer.addr, []byte("at once"))
	l.step()
	if got := l.counted(dropNoPermission); got != 0 {
		t.Fatalf("%d packets were lost", got)
	}
	peer.want(relayed, []byte("at once"))
}

// TestDataBeforeTheEnd: data that a client sent before it ended its relay are relayed, however much there is, and what it asks after that
// comes after.
func TestDataBeforeTheEnd(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	c := l.signIn()
	peer := newPeer(t)
	for _, n := range []int{1, udpio.BatchSize + 10} { // the latter do not fit one reading
		relayed := l.allocate(c)
		c.wantCode(l.answerTo(c, c.build(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer.addr))), 0)
		for i := range n {
			c.sendChannel(wire.MinChannel, []byte{byte(i)})
		}
		end, after := c.build(stun.MethodRefresh, lifetime(0)), c.build(stun.MethodRefresh)
		c.write(end.Raw)
		c.write(after.Raw)
		for range 3 {
			l.step()
			l.comeAndGo()
		}
		for i := range n {
			peer.want(relayed, []byte{byte(i)})
		}
		c.wantCode(c.answerTo(end), 0)
		c.wantCode(c.answerTo(after), 437)
		if got := l.counted(dropNoAllocation); got != 0 || len(l.postponed) != 0 || l.shard.allocations.Size() != 0 {
			t.Errorf("%d packets were lost; %d requests and %d allocations are left", got, len(l.postponed), l.shard.allocations.Size())
		}
	}
}

// TestPostponedIsBounded: a client whose data never end ends its relay all the same, and more requests than may wait are served at once.
func TestPostponedIsBounded(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	s := l.listeners[0]
	from := netip.MustParseAddrPort("127.0.0.1:9")
	m := buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(0))
	d := udpio.Datagram{Buf: new(buffer).bytes[:], Size: len(m.Raw), From: from}
	copy(d.Buf[headroom:], m.Raw)
	for range mostPostponed {
		if !s.postpone(l.loop, &d) {
			t.Fatalf("with %d waiting, one more is served at once", len(l.postponed))
		}
	}
	if s.postpone(l.loop, &d) {
		t.Errorf("%d requests wait", len(l.postponed))
	}
	for range postponedTurns - 1 {
		s.inboxes[data].queued = true // there is always more
		l.servePostponed()
	}
	if len(l.postponed) != mostPostponed {
		t.Errorf("after %d turns, %d requests wait", postponedTurns-1, len(l.postponed))
	}
	l.servePostponed()
	if len(l.postponed) != 0 {
		t.Errorf("%d requests wait for ever", len(l.postponed))
	}
	for name, pkt := range map[string][]byte{
		"lifetime 1": buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), lifetime(1)).Raw, "none": buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest)).Raw,
		"another method": buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), lifetime(0)).Raw, "cut": m.Raw[:len(m.Raw)-1], "short": m.Raw[:3], "no": nil,
	} {
		if endsRelay(pkt) {
			t.Errorf("%s is taken for the end", name)
		}
	}
}

// TestEndedBeforeItIsRead: an allocation that ends before its socket is read leaves the descriptor alone, which another
// socket may have by then.
func TestEndedBeforeItIsRead(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	open := func() *loopRelay {
		p := relayPort{address: newRelayAddress("udp", RelayAddress{Local: loopback}, 1, 65535)}
		if err := l.openRelay(&p, netip.AddrPortFrom(loopback, 0)); err != nil {
			t.Fatal(err)
		}
		return p.datagrams.(*loopRelay)
	}
	first := open()
	first.port = 1
	first.close(nil, 0)
	l.comeAndGo()
	second := open() // which most likely has the same descriptor
	t.Cleanup(func() { _ = unix.Close(second.fd) })
	a := &allocation{shard: l.shard}
	if err := first.start(a, &a.first); err == nil {
		t.Error("a closed socket is read")
	}
	if err := second.start(a, &a.first); err != nil {
		t.Error(err)
	}
}

// readNow reads a datagram that is there.
func readNow(t *testing.T, conn *net.UDPConn, buf []byte) (result error) {
	t.Helper()
	onSocket(t, conn, func(fd int) error {
		_, _, result = unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		return nil
	})
	return result
}

// TestAnswersLeaveTogether: answers wait for each other, each with memory of its own, and leave when the worker is flushed.
func TestAnswersLeaveTogether(t *testing.T) {
	if portable {
		return
	}
	l := newSteppedLoop(t)
	conn := dialPlain(t, l.addr)
	s := l.listeners[0]
	from := s.address.client(s, wire.AddrPortOf(conn.LocalAddr()), loopback)
	var sent []*stun.Message
	b := new(buffer)
	handle := func(m *stun.Message) {
		t.Helper()
		sent = append(sent, m)
		l.worker.handle(&from, b.bytes[:], headroom, headroom+copy(b.bytes[headroom:], m.Raw))
	}
	for range 20 {
		handle(buildMessage(t, stun.BindingRequest))
		handle(buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest)))
	}
	buf := make([]byte, 1500)
	if err := readNow(t, conn, buf); err != unix.EAGAIN {
		t.Fatalf("an answer left alone (%v)", err)
	}
	l.worker.flush()
	for i, m := range sent {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if res := decode(t, buf[:n]); res.TransactionID != m.TransactionID || res.Type.Method != m.Type.Method {
			t.Fatalf("answer %d is %v", i, res)
		}
	}
	for range 3 * udpio.BatchSize { // more than there is memory for
		handle(buildMessage(t, stun.BindingRequest))
	}
	l.worker.flush()
	for _, m := range sent[40:] {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if res := decode(t, buf[:n]); res.TransactionID != m.TransactionID {
			t.Fatal("an answer was overwritten")
		}
	}
}

// TestCallsSurviveFlood: requests of anybody fill the sockets while the loop cannot look. No packet of a call is lost, and
// the call's own requests are heard.
func TestCallsSurviveFlood(t *testing.T) {
	if portable {
		return
	}
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Loops = 1 })
	for _, listener := range s.loops[0].listeners {
		for i := range listener.inboxes { // so that a flood need not be long
			if err := unix.SetsockoptInt(listener.inboxes[i].fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.permit(peer.addr)
	c.bind(wire.MinChannel, peer.addr)
	shard := s.relays.Load().udp[0].allocationAt(relayed.Port()).shard
	data := func(i int) []byte { return []byte{byte(i), 1, 2, 3} }
	for name, forged := range map[string]*stun.Message{
		"Binding":  buildMessage(t, stun.BindingRequest),
		"Allocate": buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP)),
		"Allocate with a false credential": buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), transport(transportUDP), stun.NewUsername("anybody"),
			stun.NewRealm(testRealm), stun.NewNonce("obMatJos2gAAAfalsefalsef"), stun.NewShortTermIntegrity("false")),
	} {
		t.Run(name, func(t *testing.T) {
			flood := dialPlain(t, listenerAddr(t, s, "udp"))
			blocks, bind := c.build(stun.MethodCreatePermission, peersOf(peer.addr)...), c.build(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(peer.addr))
			shard.mu.Lock()
			c.write(blocks.Raw)
			sendTimes(t, flood, forged.Raw, 2000) // ten times what a socket holds
			for i := range 30 {
				c.sendChannel(wire.MinChannel, data(i))
				c.indicate(peer.addr, data(i))
			}
			c.write(bind.Raw)
			shard.mu.Unlock()
			for i := range 30 {
				peer.want(relayed, data(i))
				peer.want(relayed, data(i))
			}
			c.wantCode(c.answerTo(blocks), 0)
			c.wantCode(c.answerTo(bind), 0)
		})
	}
}
