package turnserver

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"example.org/turnpike/turnserver/wire"
)

// pionClient connects pion's TURN client, the second implementation that judges this server.
func pionClient(t *testing.T, s *Server, network string) *turn.Client {
	t.Helper()
	server := listenerAddr(t, s, network).String()
	var conn net.PacketConn
	switch network {
	case "udp":
		conn = listenPeer(t)
	default:
		c, err := connect(network, listenerAddr(t, s, network))
		if err != nil {
			t.Fatal(err)
		}
		if conn = turn.NewSTUNConn(c); network == "dtls" {
			conn = datagramConn{c}
		}
	}
	cred, _ := testCredentials().MintREST("alice", time.Hour)
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Conn: conn,
		Username: cred.Username, Password: cred.Password, Realm: testRealm,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); _ = conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	return client
}

// datagramConn makes a net.PacketConn of a connection on which a message is a read.
type datagramConn struct{ net.Conn }

func (d datagramConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}
func (d datagramConn) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }

// TestPionRelayToRelay sends from one relayed address to another and back, over each transport.
func TestPionRelayToRelay(t *testing.T) {
	for _, network := range []string{"udp", "tcp", "tls", "dtls"} {
		t.Run(network, func(t *testing.T) {
			s := startServer(t, nil)
			a, err := pionClient(t, s, network).Allocate()
			if err != nil {
				t.Fatal("first allocation:", err)
			}
			b, err := pionClient(t, s, network).Allocate()
			if err != nil {
				t.Fatal("second allocation:", err)
			}
			defer b.Close() // stops its timers
			// Eight bytes at least: pion's stream reader waits for more than the eight of a shorter ChannelData frame.
			// It binds a channel behind the first packets, so that indications and ChannelData both pass here.
			for i := range 20 {
				exchange(t, a, b, bytes.Repeat([]byte{byte(i)}, 8+i*50))
				exchange(t, b, a, bytes.Repeat([]byte{byte(i)}, 1200-i))
			}
			if got := s.Allocations(); got != 2 {
				t.Errorf("%d allocations live, want 2", got)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the closed allocation to end", func() bool { return s.Allocations() == 1 })
		})
	}
}

// TestPionTCP: pion's client connects to a peer, accepts one, and connects to another allocation, over TCP.
func TestPionTCP(t *testing.T) {
	s := startServer(t, allowLoopback)
	a, err := pionClient(t, s, "tcp").AllocateTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := pionClient(t, s, "tcp").AllocateTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	peer := newTCPPeer(t)

	dialed, err := a.Dial("tcp4", peer.addr.String())
	if err != nil {
		t.Fatal("connect to a peer: ", err)
	}
	both(t, dialed, peer.accept(wire.AddrPortOf(a.Addr())).conn)
	_ = dialed.Close() // the permission that pion's client made for the peer stays

	from, addr := peer.dial(wire.AddrPortOf(a.Addr()))
	accepted, err := a.Accept()
	if err != nil {
		t.Fatal("accept a peer: ", err)
	}
	if got := wire.AddrPortOf(accepted.RemoteAddr()); got != addr {
		t.Errorf("accepted %v, want %v", got, addr)
	}
	both(t, accepted, from.conn)
	_ = from.conn.Close()
	if n, err := accepted.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes after the end, %v", n, err)
	}
	_ = accepted.Close()

	if _, err := b.Dial("tcp4", netip.AddrPortFrom(wire.AddrPortOf(a.Addr()).Addr(), 1).String()); err == nil { // permits a's address
		t.Error("connected to a port of this host")
	}
	if _, err := a.Dial("tcp4", "127.0.0.1:1"); err == nil {
		t.Error("connected to a port of this host")
	}
	across, err := a.Dial("tcp4", b.Addr().String())
	if err != nil {
		t.Fatal("connect to an allocation: ", err)
	}
	defer across.Close()
	met, err := b.Accept()
	if err != nil {
		t.Fatal("accept an allocation: ", err)
	}
	defer met.Close()
	if met.RemoteAddr().String() != a.Addr().String() {
		t.Errorf("accepted %v, want %v", met.RemoteAddr(), a.Addr())
	}
	both(t, across, met)
}

// both sends a good deal of data from each of two ends to the other, at once.
func both(t *testing.T, ends ...net.Conn) {
	t.Helper()
	data := pattern(1 << 20)
	var wg sync.WaitGroup
	for i := range ends {
		to, from := ends[i], ends[1-i]
		wg.Go(func() {
			_ = to.SetWriteDeadline(time.Now().Add(patience))
			if _, err := to.Write(data); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got := make([]byte, len(data))
			_ = from.SetReadDeadline(time.Now().Add(patience))
			if n, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes, %v (the same bytes: %v)", n, err, bytes.Equal(got[:n], data[:n]))
			}
		})
	}
	wg.Wait()
}

// exchange sends data from one relayed connection to another. The first packet the other way opens the permission.
func exchange(t *testing.T, from, to net.PacketConn, data []byte) {
	t.Helper()
	if _, err := to.WriteTo([]byte("permit"), from.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if _, err := from.WriteTo(data, to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	for {
		if err := to.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, addr, err := to.ReadFrom(buf)
		if err != nil {
			t.Fatal("read:", err)
		}
		if addr.String() != from.LocalAddr().String() {
			t.Fatalf("came from %v, want %v", addr, from.LocalAddr())
		}
		if bytes.Equal(buf[:n], data) {
			return
		}
		if string(buf[:n]) != "permit" {
			t.Fatalf("got %d bytes that nobody sent", n)
		}
	}
}
