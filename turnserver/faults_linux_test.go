package turnserver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/wire"
)

// withoutDescriptors calls fn while this process can open no more of them.
func withoutDescriptors(t *testing.T, fn func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3 // those that are open stay
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	fn()
}

// TestNoDescriptors: a client that gets no relay for want of descriptors is told so, the fault is counted, the log has
// it once, and nothing is left behind.
func TestNoDescriptors(t *testing.T) {
	handler := newCountingHandler()
	s := startServer(t, func(cfg *Config) { cfg.Log = slog.New(handler) })
	onEach(t, func(t *testing.T, network string) {
		before := counterOf(t, s, "faults", "relay_open")
		c := dialREST(t, s, network, "alice").challenged()
		withoutDescriptors(t, func() {
			for range 3 {
				c.refuse(508, stun.MethodAllocate, transport(transportUDP))
			}
		})
		waitCounted(t, s, "faults", "relay_open", before+3)
		if s.Allocations() != 0 || heldPorts(s) != 0 {
			t.Errorf("%d allocations and %d ports are left", s.Allocations(), heldPorts(s))
		}
		c.allocate()
		c.accept(stun.MethodRefresh, lifetime(0))
		waitFor(t, "the port to be free", func() bool { return heldPorts(s) == 0 })
	})
	if got := handler.seen["turn: no relayed socket could be opened"]; got != 1 {
		t.Errorf("logged %v", handler.seen)
	}
}

// TestAddressLostUnnoticed: an Allocate that meets an address that is gone makes the server look.
func TestAddressLostUnnoticed(t *testing.T) {
	gone := netip.MustParseAddr("198.51.100.77") // no host has it
	var has atomic.Bool
	has.Store(true)
	s := newServer(t, func(cfg *Config) { cfg.Relay = relaysAt(gone) })
	s.probeRelay = func(netip.Addr) error {
		if has.Load() {
			return nil
		}
		return unix.EADDRNOTAVAIL
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	has.Store(false)
	dialREST(t, s, "udp", "alice").expectAllocate(508)
	waitFor(t, "the server to notice", func() bool { return s.Unready() != "" })
}

// TestRelayNotWatched: a client whose relayed socket nobody would read gets an error, and not a relay.
func TestRelayNotWatched(t *testing.T) {
	if portable {
		return // there is nothing to watch
	}
	s := newServer(t, nil)
	var full atomic.Bool
	s.epollAdd = func(epoll, fd int) error {
		if full.Load() {
			return unix.ENOSPC // as beyond fs.epoll.max_user_watches
		}
		return epollAdd(epoll, fd)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, network string) {
		before := counterOf(t, s, "faults", "relay_watch")
		full.Store(true)
		c := dialREST(t, s, network, "alice")
		c.expectAllocate(508)
		c.refuse(508, stun.MethodAllocate, transport(transportUDP), evenPortAttribute(true))
		c.refuse(437, stun.MethodRefresh, lifetime(600))
		waitCounted(t, s, "faults", "relay_watch", before+2)
		waitFor(t, "the ports to be free", func() bool { return heldPorts(s) == 0 })
		if s.Allocations() != 0 {
			t.Errorf("%d allocations are left", s.Allocations())
		}
		full.Store(false)
		c.allocate()
		c.accept(stun.MethodRefresh, lifetime(0))
		waitFor(t, "the port to be free", func() bool { return heldPorts(s) == 0 })
	})
}

// lateSocket is a relayed socket whose allocation ends before anybody reads it.
type lateSocket struct{ freedSocket }

func (lateSocket) start(*allocation, *relayed) error {
	return fmt.Errorf("the loop: %w", errEndedMeanwhile)
}

// TestEndedMeanwhileIsNoFault: an allocation that others end before its socket is read is refused like one that they end right after.
func TestEndedMeanwhileIsNoFault(t *testing.T) {
	s := newServer(t, nil)
	s.binderFor = func(*loop) binder {
		return func(p *relayPort, _ netip.AddrPort) error {
			p.datagrams = lateSocket{}
			return nil
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	onEach(t, func(t *testing.T, network string) {
		dialREST(t, s, network, "alice").expectAllocate(403)
		if n := counterOf(t, s, "faults", "relay_watch"); n != 0 || heldPorts(s) != 0 || s.Allocations() != 0 {
			t.Errorf("%d faults are counted, and %d ports and %d allocations are left", n, heldPorts(s), s.Allocations())
		}
	})
}

// TestLoopBeginsAnew: a loop whose epoll fails gets another, and nothing is lost but time.
func TestLoopBeginsAnew(t *testing.T) {
	if portable {
		return // there are no loops
	}
	s := startServer(t, allowLoopback)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	onEach(t, func(t *testing.T, network string) {
		c, peer := dialREST(t, s, network, "alice"), newPeer(t)
		relayed := c.allocate()
		c.bind(wire.MinChannel, peer.addr)
		before := counterOf(t, s, "faults", "loop")
		for _, l := range s.loops {
			if err := unix.Dup3(null, l.epoll, unix.O_CLOEXEC); err != nil { // no epoll any more
				t.Fatal(err)
			}
			l.poke()
		}
		waitFor(t, "all loops to notice", func() bool { return counterOf(t, s, "faults", "loop") >= before+uint64(len(s.loops)) })
		waitFor(t, "all loops to begin anew", func() bool { return s.Unready() == "" })
		c.sendChannel(wire.MinChannel, []byte("up"))
		peer.want(relayed, []byte("up"))
		peer.send(relayed, []byte("down"))
		c.wantData(wire.MinChannel, peer.addr, []byte("down"))
		for range 2 * len(s.loops) {
			d := dialREST(t, s, network, "bob")
			d.allocate()
			d.permit(peer.addr)
			d.indicate(peer.addr, []byte("new"))
			peer.conn.SetReadDeadline(time.Now().Add(patience))
			if _, _, err := peer.conn.ReadFrom(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestLoopFails: while a loop gets no other epoll, the server is not ready, and Close does not wait for it.
func TestLoopFails(t *testing.T) {
	if portable {
		return // there are no loops
	}
	s := startServer(t, nil)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, s.loops[0].epoll, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	withoutDescriptors(t, func() {
		s.loops[0].poke()
		waitFor(t, "the server not to be ready", func() bool { return s.Unready() != "" })
		waitFor(t, "it to try again", func() bool { return counterOf(t, s, "faults", "loop") >= 2 })
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAcceptWithoutDescriptors: a connection that comes while there is no descriptor for it is served later.
func TestAcceptWithoutDescriptors(t *testing.T) {
	s := startServer(t, nil)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := listenerAddr(t, s, "tcp")
	withoutDescriptors(t, func() {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the server to fail", func() bool { return counterOf(t, s, "faults", "accept") > 0 })
	})
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(patience / time.Second)}); err != nil {
		t.Fatal(err)
	}
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if _, err := unix.Write(fd, request.Raw); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1000)
	n, err := unix.Read(fd, answer)
	if err != nil || n < 20 || !stun.IsMessage(answer[:n]) {
		t.Errorf("answered % x, %v", answer[:max(n, 0)], err)
	}
}

// TestListenerRests: a UDP listener that cannot be read for a while goes on when it can. Meanwhile the server is not
// ready.
func TestListenerRests(t *testing.T) {
	if !portable {
		return // loops read with other calls
	}
	s := startServer(t, nil)
	var u *udpSocket
	for _, sock := range s.sockets {
		if sock.dtls == nil {
			u = sock
		}
	}
	if err := u.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server not to be ready", func() bool { return s.Unready() != "" })
	if err := u.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	dialREST(t, s, "udp", "alice").allocate()
	if s.Unready() != "" || counterOf(t, s, "faults", "listener") != 1 {
		t.Errorf("%q, after %d faults", s.Unready(), counterOf(t, s, "faults", "listener"))
	}
}
