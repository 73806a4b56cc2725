package turnserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// onStreams runs a test over each transport by which TCP can be relayed.
func onStreams(t *testing.T, test func(t *testing.T, network string)) {
	t.Helper()
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) { test(t, network) })
	}
}

// allocateTCP makes an allocation that relays TCP, and returns its relayed address.
func (c *testClient) allocateTCP(attrs ...stun.Setter) netip.AddrPort {
	c.t.Helper()
	res := c.accept(stun.MethodAllocate, append([]stun.Setter{transport(transportTCP)}, attrs...)...)
	return addressIn(c.t, res, stun.AttrXORRelayedAddress)
}

// connectTo makes the server connect to a peer, and returns the CONNECTION-ID.
func (c *testClient) connectTo(peer netip.AddrPort) attribute {
	c.t.Helper()
	return connectionIDIn(c.t, c.accept(stun.MethodConnect, peerAddr(peer)))
}

func connectionIDIn(t testing.TB, m *stun.Message) attribute {
	t.Helper()
	id, err := m.Get(stun.AttrConnectionID)
	if err != nil || len(id) != 4 {
		t.Fatalf("CONNECTION-ID % x, %v", id, err)
	}
	return attribute{stun.AttrConnectionID, id}
}

// attempted returns the peer and the CONNECTION-ID of the next ConnectionAttempt indication.
func (c *testClient) attempted() (netip.AddrPort, attribute) {
	c.t.Helper()
	m := decode(c.t, c.next())
	if m.Type != stun.NewType(stun.MethodConnectionAttempt, stun.ClassIndication) {
		c.t.Fatalf("got %v, want a ConnectionAttempt", m)
	}
	return addressIn(c.t, m, stun.AttrXORPeerAddress), connectionIDIn(c.t, m)
}

// claim claims a connection with a peer by a connection of its own.
func (c *testClient) claim(id attribute) *testData {
	c.t.Helper()
	c.accept(stun.MethodConnectionBind, id)
	return &testData{c.t, c.conn, c.frames}
}

// testData is one end of a connection that carries data, and nothing but data.
type testData struct {
	t    testing.TB
	conn net.Conn
	in   io.Reader
}

func (d *testData) send(data []byte) {
	d.t.Helper()
	_ = d.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := d.conn.Write(data); err != nil {
		d.t.Fatalf("write %d bytes: %v", len(data), err)
	}
}

func (d *testData) want(data []byte) {
	d.t.Helper()
	got := make([]byte, len(data))
	_ = d.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.ReadFull(d.in, got); err != nil || !bytes.Equal(got, data) {
		d.t.Fatalf("got %d bytes of %d, %v (the same bytes: %v)", n, len(data), err, bytes.Equal(got[:n], data[:n]))
	}
}

// finish says that no more will come.
func (d *testData) finish() {
	d.t.Helper()
	if err := d.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		d.t.Fatal(err)
	}
}

// wantFinished checks that the other side sends no more, and has ended in good order.
func (d *testData) wantFinished() {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := d.in.Read(make([]byte, 100)); n > 0 || err != io.EOF {
		d.t.Fatalf("%d bytes more, %v", n, err)
	}
}

// wantEnded checks that the connection ends somehow. Bytes before its end do not matter.
func (d *testData) wantEnded() {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, d.in); isTimeout(err) {
		d.t.Fatal("the connection is still open")
	}
}

// tcpPeer is a peer that listens, and connects, at peerIP.
type tcpPeer struct {
	t    testing.TB
	ln   net.Listener
	addr netip.AddrPort
}

func newTCPPeer(t testing.TB) *tcpPeer {
	t.Helper()
	ln, err := net.Listen("tcp4", netip.AddrPortFrom(peerIP, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &tcpPeer{t, ln, wire.AddrPortOf(ln.Addr())}
}

// accept returns the next connection, which must come from a relayed address.
func (p *tcpPeer) accept(relayed netip.AddrPort) *testData {
	p.t.Helper()
	_ = p.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := p.ln.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	if got := wire.AddrPortOf(conn.RemoteAddr()); got != relayed {
		p.t.Fatalf("the peer is connected to from %v, want %v", got, relayed)
	}
	return &testData{p.t, conn, conn}
}

// dial connects to a relayed address, and returns the peer's address of that connection.
func (p *tcpPeer) dial(relayed netip.AddrPort) (*testData, netip.AddrPort) {
	p.t.Helper()
	return peerDial(p.t, peerIP, relayed)
}

func peerDial(t testing.TB, ip netip.Addr, to netip.AddrPort) (*testData, netip.AddrPort) {
	t.Helper()
	conn, err := tryDial(ip, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &testData{t, conn, conn}, wire.AddrPortOf(conn.LocalAddr())
}

func tryDial(ip netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), Timeout: patience}
	return d.Dial("tcp", to.String())
}

// wantShutOut checks that a connection from ip to a relayed address is closed, which may show before it is known to be
// made.
func wantShutOut(t testing.TB, ip netip.Addr, relayed netip.AddrPort) {
	t.Helper()
	conn, err := tryDial(ip, relayed)
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		return
	}
	defer conn.Close()
	(&testData{t, conn, conn}).wantEnded()
}

// peerConnsOf counts the connections with peers in each of the server's lists.
func peerConnsOf(s *Server) (pending, waiting, carrying int) {
	for _, a := range s.Snapshot() {
		carrying += len(a.Connections)
	}
	pending, open := s.PeerConnections()
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	held := 0
	for _, n := range s.peers.pendingByOwner {
		held += n
	}
	return max(held, pending), len(s.peers.waiting), max(carrying, open)
}

// wantNoPeerConns waits until nothing is left of connections with peers.
func wantNoPeerConns(t testing.TB, s *Server) {
	t.Helper()
	waitFor(t, "every connection with a peer to be forgotten", func() bool {
		pending, waiting, carrying := peerConnsOf(s)
		return pending+waiting+carrying == 0
	})
}

// bridge is an allocation with a connection that carries data.
type bridge struct {
	control      *testClient
	client, peer *testData
	relayed, far netip.AddrPort
}

// newBridge connects a client with a peer.
func newBridge(t testing.TB, s *Server, network string, cred auth.Credential) *bridge {
	t.Helper()
	b := &bridge{control: dialAs(t, s, network, cred)}
	b.relayed = b.control.allocateTCP()
	b.another(t, s, network, cred)
	return b
}

// another connects with another peer, in place of the one before.
func (b *bridge) another(t testing.TB, s *Server, network string, cred auth.Credential) {
	t.Helper()
	peer := newTCPPeer(t)
	id := b.control.connectTo(peer.addr)
	b.peer, b.far = peer.accept(b.relayed), peer.addr
	b.client = dialAs(t, s, network, cred).claim(id)
}

// TestAllocateTCP: a client gets such an allocation only over a stream, and without attributes that are about datagrams
// (RFC 6062 §5.1).
func TestAllocateTCP(t *testing.T) {
	s := startServer(t, allowLoopback)
	for _, network := range []string{"udp", "dtls"} {
		dialREST(t, s, network, "alice").refuse(400, stun.MethodAllocate, transport(transportTCP))
	}
	onStreams(t, func(t *testing.T, network string) {
		c := dialREST(t, s, network, "alice")
		dontFragment := 400
		if !s.sendsWhole() {
			dontFragment = 420
		}
		c.refuse(dontFragment, stun.MethodAllocate, transport(transportTCP), attribute{stun.AttrDontFragment, nil})
		c.refuse(400, stun.MethodAllocate, transport(transportTCP), evenPortAttribute(false))
		c.refuse(400, stun.MethodAllocate, transport(transportTCP), evenPortAttribute(true))
		c.refuse(400, stun.MethodAllocate, transport(transportTCP), attribute{stun.AttrReservationToken, make([]byte, 8)})
		c.refuse(440, stun.MethodAllocate, transport(transportTCP), addressFamily(wire.IPv6))
		if held := heldPorts(s); held != 0 || s.Allocations() != 0 {
			t.Errorf("%d ports are held", held)
		}
		c.refuse(437, stun.MethodConnect, peerAddr(at("127.0.0.2")))

		res := c.accept(stun.MethodAllocate, transport(transportTCP), lifetime(1200))
		if got := lifetimeIn(t, res); got != 20*time.Minute {
			t.Errorf("granted %v", got)
		}
		if relayed := addressIn(t, res, stun.AttrXORRelayedAddress); relayed.Addr() != loopback || relayed.Port() < 49152 || res.Contains(stun.AttrReservationToken) {
			t.Errorf("relayed address %v in %v", relayed, res)
		}
		c.refuse(437, stun.MethodAllocate, transport(transportTCP))
		c.accept(stun.MethodRefresh)
		c.accept(stun.MethodRefresh, lifetime(0))
		waitFor(t, "the port to be free", func() bool { return heldPorts(s) == 0 })
	})
}

// TestTCPRelayingOff: TCP is then a transport like any other that the server does not relay.
func TestTCPRelayingOff(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.NoTCPRelaying = true })
	onEach(t, func(t *testing.T, network string) {
		dialREST(t, s, network, "alice").refuse(442, stun.MethodAllocate, transport(transportTCP))
	})
	c := dialREST(t, s, "tcp", "alice")
	c.allocate()
	c.refuse(403, stun.MethodConnect, peerAddr(at("127.0.0.2")))
}

// TestTCPOrDatagrams: an allocation relays one of them. There are no channels and no indications for TCP, and no
// connections for datagrams.
func TestTCPOrDatagrams(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c, datagrams, peer := dialREST(t, s, network, "alice"), dialREST(t, s, network, "alice"), newPeer(t)
		relayed, other := c.allocateTCP(), datagrams.allocate()
		for _, a := range []netip.AddrPort{peer.addr, other} {
			c.permit(a)
			c.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(a))
			c.indicate(a, []byte("datagram"))
			c.sendChannel(wire.MinChannel, []byte("datagram"))
		}
		datagrams.permit(relayed)
		datagrams.indicate(relayed, []byte("datagram"))
		datagrams.wantSilence()
		datagrams.refuse(403, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(relayed)) // no such port, but one of TCP
		datagrams.refuse(403, stun.MethodConnect, peerAddr(peer.addr))
		c.wantSilence()
		c.refuse(403, stun.MethodConnect, peerAddr(other))
		waitCounted(t, s, "packets_dropped", "unexpected", 2)
		waitCounted(t, s, "packets_dropped", "no_channel", 2)
		waitCounted(t, s, "packets_dropped", "no_such_relayed_address", 1)
		if up := counterOf(t, s, "packets_relayed", "up"); up != 0 {
			t.Errorf("%d packets got out", up)
		}
	})
}

// TestConnect: the peer sees the relayed address. The data of either side come to the other, unchanged and in order,
// and count at once.
func TestConnect(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		b := newBridge(t, s, network, mintREST(t, "alice", time.Hour))
		long := pattern(3 << 20)
		go b.client.send(long)
		b.peer.want(long)
		go b.peer.send(long)
		b.client.want(long)
		b.client.send([]byte{0, 1, 0, 0}) // no frame, whatever it looks like
		b.peer.want([]byte{0, 1, 0, 0})

		a := s.Snapshot()[0]
		if !a.TCP || a.Transport != network || len(a.Connections) != 1 || a.Connections[0] != b.far || a.Pending != 0 {
			t.Errorf("the snapshot says %+v", a)
		}
		waitFor(t, "all bytes to be counted", func() bool {
			a := s.Snapshot()[0]
			return a.Up.Bytes == uint64(len(long)+4) && a.Down.Bytes == uint64(len(long)) &&
				counterOf(t, s, "relayed_bytes", "up") == a.Up.Bytes && counterOf(t, s, "relayed_bytes", "down") == a.Down.Bytes && a.Up.Packets > 0
		})
		if up, down := counterOf(t, s, "peer_connections_made", "up"), counterOf(t, s, "peer_connections_made", "down"); up != 1 || down != 0 {
			t.Errorf("%d connections were made and %d accepted", up, down)
		}
		_ = b.client.conn.Close()
		b.peer.wantFinished()
	})
}

// TestSeveralConnections of one allocation go on beside each other; to one peer there is one at a time.
func TestSeveralConnections(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		b := newBridge(t, s, network, cred)
		first := *b
		b.control.refuse(446, stun.MethodConnect, peerAddr(first.far)) // it carries data
		b.another(t, s, network, cred)
		peer := newTCPPeer(t)
		id := b.control.connectTo(peer.addr)
		b.control.refuse(446, stun.MethodConnect, peerAddr(peer.addr)) // it waits
		for i, each := range []*bridge{&first, b, &first} {
			each.client.send([]byte{byte(i)})
			each.peer.want([]byte{byte(i)})
		}
		_ = first.client.conn.Close()
		_ = first.peer.conn.Close()
		waitFor(t, "the first to end", func() bool { _, _, carrying := peerConnsOf(s); return carrying == 1 })
		waited, last := peer.accept(b.relayed), dialAs(t, s, network, cred).claim(id)
		last.send([]byte("last"))
		waited.want([]byte("last"))
		b.control.accept(stun.MethodRefresh)
	})
}

// TestConnectionAttempt: the server announces a peer that may connect, with an ID, and keeps the data that it sends
// before the client comes.
func TestConnectionAttempt(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		c, peer := dialAs(t, s, network, cred), newTCPPeer(t)
		relayed := c.allocateTCP()
		c.permit(peer.addr)
		far, from := peer.dial(relayed)
		early := pattern(30000)
		far.send(early)
		attempt, id := c.attempted()
		if attempt != from {
			t.Errorf("the attempt is said to be of %v, and is of %v", attempt, from)
		}
		if pending, waiting, _ := peerConnsOf(s); pending != 1 || waiting != 1 {
			t.Errorf("%d pending, %d wait", pending, waiting)
		}
		c.refuse(446, stun.MethodConnect, peerAddr(from))
		near := dialAs(t, s, network, cred).claim(id)
		near.want(early)
		near.send([]byte("answer"))
		far.want([]byte("answer"))
		if got := counterOf(t, s, "peer_connections_made", "down"); got != 1 {
			t.Errorf("%d connections were accepted", got)
		}

		early = []byte("all that there is to say")
		far, _ = peer.dial(relayed)
		far.send(early)
		_ = far.conn.Close()
		_, id = c.attempted()
		near = dialAs(t, s, network, cred).claim(id)
		near.want(early)
		near.wantFinished()
	})
}

// TestBehindTheClaim: data that a client sends without waiting for the answer to its claim come to the peer.
func TestBehindTheClaim(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		c, peer := dialAs(t, s, network, cred), newTCPPeer(t)
		relayed := c.allocateTCP()
		id := c.connectTo(peer.addr)
		far, near := peer.accept(relayed), dialAs(t, s, network, cred).challenged()
		far.send([]byte("early"))
		claim := near.build(stun.MethodConnectionBind, id)
		hasty := pattern(20000)
		for range 100 { // answers that are still to be sent, when the data of the peer is to follow
			near.write(near.build(stun.MethodRefresh).Raw)
		}
		near.write(append(bytes.Clone(claim.Raw), hasty...))
		far.want(hasty)
		near.wantCode(near.answerTo(claim), 0)
		(&testData{t, near.conn, near.frames}).want([]byte("early"))
	})
}

// TestTCPFamilies: one allocation connects to peers of either family, each from its own address.
func TestTCPFamilies(t *testing.T) {
	s, cred := startServer(t, bothFamilies(t)), mintREST(t, "alice", time.Hour)
	c, other := dialAs(t, s, "tcp", cred), dialAs(t, s, "tcp", cred)
	relayed := relayedIn(t, c.accept(stun.MethodAllocate, transport(transportTCP), additionalFamily(wire.IPv6)))
	six := other.allocateTCP(addressFamily(wire.IPv6))
	if len(relayed) != 2 || relayed[0].Addr() != loopback || relayed[1].Addr() != loopback6 || six.Addr() != loopback6 {
		t.Fatalf("relayed addresses %v and %v", relayed, six)
	}
	peer := newTCPPeer(t)
	id := c.connectTo(peer.addr)
	far, near := peer.accept(relayed[0]), dialAs(t, s, "tcp", cred).claim(id)
	near.send([]byte("four"))
	far.want([]byte("four"))
	other.refuse(443, stun.MethodConnect, peerAddr(peer.addr))

	other.permit(relayed[1])
	id = c.connectTo(six)
	from, accepted := other.attempted()
	if from != relayed[1] {
		t.Errorf("the connection comes from %v, want %v", from, relayed[1])
	}
	near6, far6 := dialAs(t, s, "tcp", cred).claim(id), dialAs(t, s, "tcp", cred).claim(accepted)
	near6.send([]byte("six"))
	far6.want([]byte("six"))

	c.accept(stun.MethodRefresh, addressFamily(wire.IPv6), lifetime(0))
	near6.wantEnded()
	far6.wantEnded()
	near.send([]byte("still four"))
	far.want([]byte("still four"))
	c.refuse(443, stun.MethodConnect, peerAddr(six))
}
