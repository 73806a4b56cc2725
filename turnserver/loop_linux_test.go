//go:build linux && (amd64 || arm64)

package turnserver

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// TestBursts sends bursts both ways, which loops read and write in batches. All datagrams arrive whole and in order,
// whether they are alike and can leave as one segmented message, or not.
func TestBursts(t *testing.T) {
	alike := make([]int, 150)
	mixed := make([]int, 150)
	for i := range alike {
		alike[i] = 1200
		mixed[i] = []int{1200, 1200, 1200, 700, 1200, 0, 1, 1400, 1400, 9000}[i%10]
	}
	for name, sizes := range map[string][]int{"alike": alike, "mixed": mixed} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, allowLoopback)
			c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
			relayed := c.allocate()
			c.bind(wire.MinChannel, peer.addr)
			burst(t, s, c, peer, relayed, sizes)
		})
	}
}

// TestSegmentsRefused does the same where the kernel refuses to segment, as for a socket without checksums.
func TestSegmentsRefused(t *testing.T) {
	if portable {
		return // the other path has no loops
	}
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	fds := []int{s.relays.Load().udp[0].allocationAt(relayed.Port()).first.datagrams.(*loopRelay).fd}
	for _, l := range s.loops {
		for _, listener := range l.listeners {
			fds = append(fds, listener.fd)
		}
	}
	for _, fd := range fds {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
	}
	sizes := make([]int, 100)
	for i := range sizes {
		sizes[i] = 1200
	}
	burst(t, s, c, peer, relayed, sizes)
}

// burst sends datagrams of these sizes in each direction, ten at once, so that no socket's buffer overflows.
func burst(t *testing.T, s *Server, c *testClient, peer *testPeer, relayed netip.AddrPort, sizes []int) {
	t.Helper()
	data := func(i int) []byte {
		b := pattern(sizes[i])
		if len(b) > 0 {
			b[0] = byte(i)
		}
		return b
	}
	const atOnce = 10
	mixed := slices.Min(sizes) != slices.Max(sizes)
	for first := 0; first < len(sizes); first += atOnce {
		var all [][]byte
		for i := first; i < first+atOnce; i++ {
			all = append(all, data(i))
			c.sendChannel(wire.MinChannel, data(i))
		}
		wantAll(t, func() []byte { return peer.receive(relayed) }, all, mixed)
		for _, b := range all {
			peer.send(relayed, b)
		}
		wantAll(t, func() []byte { return c.receiveOn(wire.MinChannel) }, all, mixed)
	}
	for _, way := range []string{"up", "down"} {
		waitCounted(t, s, "packets_relayed", way, uint64(len(sizes)))
	}
}

// TestIPHeader: class and ECN stay, the hop limit loses one each time, and a packet on its last hop is dropped
// (RFC 8656 §14).
func TestIPHeader(t *testing.T) {
	if portable {
		return // the other path has no loops
	}
	const class, hopLimit = 0xB8 | 1, 33 // expedited forwarding, ECT(1) as L4S has it
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	for _, conn := range []*net.UDPConn{c.conn.(*net.UDPConn), peer.conn} {
		setHeader(t, conn, class, hopLimit)
	}

	c.sendChannel(wire.MinChannel, []byte("up"))
	wantHeader(t, peer.conn, class, hopLimit-1)
	c.indicate(peer.addr, []byte("up"))
	wantHeader(t, peer.conn, class, hopLimit-1)
	peer.send(relayed, []byte("down"))
	wantHeader(t, c.conn.(*net.UDPConn), class, hopLimit-1)

	setHeader(t, peer.conn, class, 1)
	peer.send(relayed, []byte("too far"))
	waitCounted(t, s, "packets_dropped", "hop_limit", 1)
	setHeader(t, peer.conn, 0, hopLimit)
	peer.send(relayed, []byte("plain"))
	wantHeader(t, c.conn.(*net.UDPConn), 0, hopLimit-1)
}

func setHeader(t *testing.T, conn *net.UDPConn, class, hopLimit int) {
	t.Helper()
	onSocket(t, conn, func(fd int) error {
		for _, o := range []struct{ name, value int }{
			{unix.IP_RECVTOS, 1}, {unix.IP_RECVTTL, 1}, {unix.IP_TOS, class}, {unix.IP_TTL, hopLimit},
		} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, o.name, o.value); err != nil {
				return err
			}
		}
		return nil
	})
}

func onSocket(t *testing.T, conn *net.UDPConn, set func(fd int) error) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) { setErr = set(int(fd)) }); err != nil || setErr != nil {
		t.Fatal(err, setErr)
	}
}

func wantHeader(t *testing.T, conn *net.UDPConn, class, hopLimit uint8) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf, control := make([]byte, 2000), make([]byte, 128)
	_, n, _, _, err := conn.ReadMsgUDPAddrPort(buf, control)
	if err != nil {
		t.Fatal(err)
	}
	if h := udpio.ParseHeader(control[:n]); h.Class != class || h.HopLimit != hopLimit {
		t.Errorf("class %#x and hop limit %d, want %#x and %d", h.Class, h.HopLimit, class, hopLimit)
	}
}

// TestAddressIsOurs: another server on the same address is refused, although loops share theirs among themselves.
func TestAddressIsOurs(t *testing.T) {
	first := startServer(t, nil)
	second := newServer(t, func(cfg *Config) {
		cfg.Listen = []Listener{{Network: "udp", Addr: listenerAddr(t, first, "udp")}}
	})
	if err := second.Start(); err == nil {
		t.Error("two servers share an address")
	}
}

// TestManyClients: the loops share the clients, and each client reaches each other across loops.
func TestManyClients(t *testing.T) {
	s := startServer(t, nil)
	const n = 16
	var clients [n]*testClient
	var relayed [n]netip.AddrPort
	for i := range clients {
		clients[i] = dialREST(t, s, "udp", "alice")
		relayed[i] = clients[i].allocate()
	}
	for _, c := range clients {
		for j := range clients {
			c.bind(wire.MinChannel+uint16(j), relayed[j])
		}
	}
	for i, c := range clients {
		for j, d := range clients {
			data := []byte{byte(i), byte(j), 1, 2, 3}
			c.sendChannel(wire.MinChannel+uint16(j), data)
			d.wantData(wire.MinChannel+uint16(i), relayed[i], data)
		}
	}
}

// TestBacklog: more than a batch comes before the loop looks. Epoll tells it once, and it reads all of it.
func TestBacklog(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "udp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	shard := s.relays.Load().udp[0].allocationAt(relayed.Port()).shard
	data := func(i int) []byte { return []byte{byte(i), 1, 2, 3} }

	// The loop waits for mu with the request, which came before the packets.
	refresh := c.build(stun.MethodCreatePermission, peersOf(peer.addr)...)

	shard.mu.Lock()
	c.write(refresh.Raw)
	for i := range 2*udpio.BatchSize + 10 {
		c.sendChannel(wire.MinChannel, data(i))
	}
	shard.mu.Unlock()
	for i := range 2*udpio.BatchSize + 10 {
		peer.want(relayed, data(i))
	}
	c.answerTo(refresh)

	shard.mu.Lock()
	c.write(refresh.Raw)
	for i := range 2*udpio.BatchSize + 10 {
		peer.send(relayed, data(i))
	}
	shard.mu.Unlock()
	c.answerTo(refresh)
	for i := range 2*udpio.BatchSize + 10 {
		c.wantData(wire.MinChannel, peer.addr, data(i))
	}
}
