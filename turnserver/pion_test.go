package turnserver

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/pion/turn/v4"
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
