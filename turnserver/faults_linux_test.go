package turnserver

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"
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
	if got := handler.seen["turn: no relayed socket could be opened"]; got != 1 || handler.total() != 1 {
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
