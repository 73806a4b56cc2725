package turnserver

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"
)

// deafPeer is the address of a peer that neither accepts nor refuses: its queue is full, and Linux drops what else
// comes.
func deafPeer(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: peerIP.As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(peerIP, uint16(sa.(*unix.SockaddrInet4).Port))
	for range 10 {
		conn, err := net.DialTimeout("tcp4", addr.String(), 200*time.Millisecond)
		if isTimeout(err) {
			return addr
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue does not fill")
	return addr
}

// TestConnectTimeout: the server gives up a peer that does not answer in time, and counts it.
func TestConnectTimeout(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Limits.ConnectTimeout = 50 * time.Millisecond
	})
	c := dialREST(t, s, "tcp", "alice")
	c.allocateTCP()
	c.refuse(447, stun.MethodConnect, peerAddr(deafPeer(t)))
	waitCounted(t, s, "peer_connections_failed", "timeout", 1)
	wantNoPeerConns(t, s)
}

// TestConnecting: while a connection is being made, the client is served, its peer is taken, and whatever ends it does
// so at once.
func TestConnecting(t *testing.T) {
	deaf := deafPeer(t)
	for name, row := range map[string]struct {
		end  func(*testing.T, *Server, *testClient)
		code int // of the answer to Connect; 0: the client has gone
	}{
		"the allocation ends":  {func(_ *testing.T, _ *Server, c *testClient) { c.accept(stun.MethodRefresh, lifetime(0)) }, 447},
		"the user is ended":    {func(_ *testing.T, s *Server, _ *testClient) { s.EndUser("alice") }, 447},
		"the client leaves":    {func(_ *testing.T, _ *Server, c *testClient) { _ = c.conn.Close() }, 0},
		"the server is closed": {func(_ *testing.T, s *Server, _ *testClient) { _ = s.Close() }, 0},
		"others crowd it out": {func(t *testing.T, s *Server, _ *testClient) {
			other := dialREST(t, s, "tcp", "bob")
			other.allocateTCP()
			for range 2 {
				other.connectTo(newTCPPeer(t).addr)
			}
			waitCounted(t, s, "peer_connections_failed", "crowded_out", 1)
			s.EndUser("bob")
		}, 447},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Limits.Openings = 2 })
			c := dialREST(t, s, "tcp", "alice")
			c.allocateTCP()
			connect := c.build(stun.MethodConnect, peerAddr(deaf))
			c.write(connect.Raw)
			c.refuse(446, stun.MethodConnect, peerAddr(deaf))
			c.accept(stun.MethodRefresh)
			if a := s.Snapshot()[0]; a.Pending != 1 || len(a.Connections) != 0 {
				t.Errorf("the snapshot says %+v", a)
			}
			row.end(t, s, c)
			wantNoPeerConns(t, s)
			if row.code != 0 {
				c.wantCode(answerAmong(t, c, connect), row.code)
			}
		})
	}
}

// answerAmong returns the answer to a request, which may have come while another was waited for.
func answerAmong(t *testing.T, c *testClient, request *stun.Message) *stun.Message {
	t.Helper()
	for _, frame := range c.queued {
		if m := decode(t, frame); m.TransactionID == request.TransactionID {
			return m
		}
	}
	return c.answerTo(request)
}
