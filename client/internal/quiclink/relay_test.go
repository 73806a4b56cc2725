package quiclink

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/turn/v5"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/internal/testcert"
	"example.org/turnpike/signal/wire"
)

// turnServer serves TURN over UDP, TCP and TLS on an address of this machine. It is pion's, so that a second
// implementation judges; tests in netlab have ours.
type turnServer struct {
	udp, tcp, tls net.Addr
	dtls          net.Addr
	host          string
	roots         *x509.CertPool
	server        *turn.Server
}

// ownAddress is one of this machine that others could reach it by, or else loopback.
func ownAddress(t testing.TB) net.IP {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.To4()
		}
	}
	return net.IPv4(127, 0, 0, 1)
}

func startTURN(t testing.TB) *turnServer {
	t.Helper()
	return startTURNAt(t, ownAddress(t))
}

func startTURNAt(t testing.TB, ip net.IP) *turnServer {
	t.Helper()
	s := &turnServer{host: ip.String()}
	u, err := net.ListenPacket("udp4", net.JoinHostPort(s.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(s.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, roots := testcert.For(t, t.TempDir(), "localhost")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	tl, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	dl, err := dtls.ListenWithOptions("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, dtls.WithCertificates(pair))
	if err != nil {
		t.Fatal(err)
	}
	s.udp, s.tcp, s.tls, s.dtls, s.roots = u.LocalAddr(), l.Addr(), tl.Addr(), dl.Addr(), roots
	relays := &turn.RelayAddressGeneratorStatic{RelayAddress: ip, Address: s.host}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(a *turn.RequestAttributes) (string, []byte, bool) {
			return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: u, RelayAddressGenerator: relays}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: l, RelayAddressGenerator: relays}, {Listener: tl, RelayAddressGenerator: relays}, {Listener: dl, RelayAddressGenerator: relays}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s.server = server
	return s
}

// servers returns the ICE servers for the protocols.
func (s *turnServer) servers(protocols ...string) []wire.ICEServer {
	var urls []string
	for _, p := range protocols {
		switch p {
		case "stun":
			urls = append(urls, "stun:"+s.udp.String())
		case "udp":
			urls = append(urls, "turn:"+s.udp.String()+"?transport=udp")
		case "tcp":
			urls = append(urls, "turn:"+s.tcp.String()+"?transport=tcp")
		case "tls":
			_, port, _ := net.SplitHostPort(s.tls.String())
			urls = append(urls, "turns:localhost:"+port+"?transport=tcp")
		case "dtls":
			_, port, _ := net.SplitHostPort(s.dtls.String())
			urls = append(urls, "turns:localhost:"+port+"?transport=udp")
		}
	}
	return []wire.ICEServer{{URLs: urls, Username: "user", Credential: "secret"}}
}

// await waits for a path.
func await(t testing.TB, s *side, what string, is func(link.Path) bool) {
	t.Helper()
	ctx := within(t)
	for {
		p, ok := s.Path()
		if ok && is(p) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the path is %v, and not %s", p, what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// exchange sends data from a to b and back, and holds that it comes back as it was.
func exchange(t testing.TB, a, b *side, size int) {
	t.Helper()
	x, y := streamsOf(t, a, b, "exchange")
	go func() { _, _ = io.Copy(y, y); _ = y.Close() }()
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	go func() { _, _ = x.Write(data); _ = x.CloseWrite() }()
	got, err := io.ReadAll(x)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back, and not what was sent", len(got))
	}
	_ = x.Close()
}

func TestRelayed(t *testing.T) {
	s := startTURN(t)
	for _, protocol := range []string{"udp", "tcp", "tls", "dtls"} {
		t.Run(protocol, func(t *testing.T) {
			a, b := pairOf(t, func(a, b *link.Config) {
				a.RelayOnly, a.ICEServers, a.TLS = true, s.servers(protocol), &tls.Config{RootCAs: s.roots}
			})
			exchange(t, a, b, 4<<20)
			p, ok := a.Path()
			host := map[bool]string{true: "localhost", false: s.host}[strings.HasSuffix(protocol, "tls")]
			if !ok || !p.Relayed || p.Protocol != protocol || p.Relay != host {
				t.Errorf("the path is %v", p)
			}
			await(t, b, "relayed by the other side", func(p link.Path) bool { return p.Relayed && p.Relay == "" && p.Protocol == "udp" })
			if err := a.SendDatagram([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := b.ReceiveDatagram(within(t)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("both", func(t *testing.T) {
		a, b := pairOf(t, func(a, b *link.Config) {
			a.RelayOnly, a.ICEServers = true, s.servers("udp")
			b.RelayOnly, b.ICEServers = true, s.servers("udp")
		})
		exchange(t, a, b, 4<<20)
	})
}

// TestFormerServer holds that nothing is left on a server that another one has taken the place of, and that the path goes on.
func TestFormerServer(t *testing.T) {
	former, latter := startTURN(t), startTURN(t)
	a, b := pairOf(t, func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, former.servers("udp") })
	exchange(t, a, b, 1<<10)
	if n := former.server.AllocationCount(); n != 1 {
		t.Fatalf("there are %d allocations on the first server", n)
	}
	a.SetICEServers(latter.servers("udp"))
	a.Restart()
	for ctx := within(t); former.server.AllocationCount() > 0 || latter.server.AllocationCount() != 1; {
		select {
		case <-ctx.Done():
			t.Fatalf("there are %d allocations on the first server, %d on the second", former.server.AllocationCount(), latter.server.AllocationCount())
		case <-time.After(10 * time.Millisecond):
		}
	}
	exchange(t, a, b, 1<<10)
}

// slowAnswers passes datagrams of one client on to a server, and loses the answers that say that there is an allocation, until it is told
// to pass them, too.
type slowAnswers struct {
	*net.UDPConn
	lost chan struct{} // Holds one: an answer was lost.
	pass atomic.Bool
}

func startSlowAnswers(t *testing.T, server net.Addr) *slowAnswers {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, server.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	s := &slowAnswers{UDPConn: front, lost: make(chan struct{}, 1)}
	t.Cleanup(func() { _, _ = front.Close(), back.Close() })
	var client atomic.Pointer[net.UDPAddr]
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := front.ReadFromUDP(b)
			if err != nil {
				return
			}
			client.Store(from)
			_, _ = back.Write(b[:n])
		}
	}()
	go func() {
		const allocated = "\x01\x03"
		b := make([]byte, 2048)
		for {
			n, err := back.Read(b)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
			case n > 2 && string(b[:2]) == allocated && !s.pass.Load():
				signal(s.lost)
			default:
				_, _ = front.WriteToUDP(b[:n], client.Load())
			}
		}
	}()
	return s
}

// TestRestartWhileAllocating restarts while the server has made an allocation, and this side does not know of it. The server has one for
// each socket, and refuses another.
func TestRestartWhileAllocating(t *testing.T) {
	server := startTURN(t)
	slow := startSlowAnswers(t, server.udp)
	server.udp = slow.LocalAddr()
	a, b := pairOf(t, func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, server.servers("udp") })
	<-slow.lost
	before := ufragOf(a)
	a.Restart()
	for ctx := within(t); ufragOf(a) == before; {
		select {
		case <-ctx.Done():
			t.Fatal("it did not restart")
		case <-time.After(time.Millisecond):
		}
	}
	slow.pass.Store(true)
	exchange(t, a, b, 1<<10)
}

// TestPrefersUDP holds that UDP is used where it works, also if the same server is named for STUN before.
func TestPrefersUDP(t *testing.T) {
	s := startTURN(t)
	a, b := pairOf(t, func(a, b *link.Config) {
		a.RelayOnly, a.ICEServers, a.TLS = true, s.servers("stun", "tls", "tcp", "udp"), &tls.Config{RootCAs: s.roots}
	})
	exchange(t, a, b, 1<<10)
	await(t, a, "relayed over udp", func(p link.Path) bool { return p.Relayed && p.Protocol == "udp" })
}

// TestLoopbackRelay has a server that only this machine reaches, as in a first trial.
func TestLoopbackRelay(t *testing.T) {
	s := startTURNAt(t, net.IPv4(127, 0, 0, 1))
	a, b := pairOf(t, func(a, b *link.Config) {
		a.RelayOnly, a.ICEServers, b.RelayOnly, b.ICEServers = true, s.servers("udp"), true, s.servers("udp")
	})
	exchange(t, a, b, 1<<10)
}

// TestHidden holds that a side with RelayOnly says nothing of its addresses.
func TestHidden(t *testing.T) {
	s := startTURN(t)
	a, b := pairOf(t, func(a, b *link.Config) { a.RelayOnly, a.ICEServers = true, s.servers("udp") })
	exchange(t, a, b, 1<<10)
	// The path may work before the relay has been named.
	for ctx := within(t); ; {
		a.mu.Lock()
		named := false
		for _, p := range a.sent {
			for c := range strings.SplitSeq(string(p.Candidates)+string(p.Candidate), "candidate:") {
				if strings.Contains(c, " typ ") && !strings.Contains(c, " typ relay raddr 0.0.0.0 rport 9") {
					t.Errorf("it said %s", c)
				}
				named = named || strings.Contains(c, " typ relay")
			}
		}
		a.mu.Unlock()
		if named {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("it said nothing of its relay")
		case <-time.After(time.Millisecond):
		}
	}
}
