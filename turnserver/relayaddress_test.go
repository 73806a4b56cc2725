package turnserver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// countingHandler counts warnings and errors in the log by message.
type countingHandler struct {
	slog.Handler
	mu   sync.Mutex
	seen map[string]int
}

func newCountingHandler() *countingHandler {
	return &countingHandler{Handler: slog.DiscardHandler, seen: make(map[string]int)}
}

func (h *countingHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h *countingHandler) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[r.Message]++
	return nil
}

func (h *countingHandler) total() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.seen {
		n += v
	}
	return n
}

// freePort returns a UDP port of an address that is free. The system gives it only to programs that ask for it.
func freePort(t *testing.T, ip netip.Addr) uint16 {
	t.Helper()
	for port := uint16(21000); port < 22000; port++ {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)))
		if err == nil {
			_ = conn.Close()
			return port
		}
	}
	t.Fatal("a thousand ports are taken")
	return 0
}

func TestPortsRunOut(t *testing.T) {
	handler := newCountingHandler()
	port := freePort(t, loopback)
	s, clock := startClocked(t, func(cfg *Config) {
		cfg.MinPort, cfg.MaxPort = port, port
		cfg.Log = slog.New(handler)
	})
	first := dialREST(t, s, "udp", "alice")
	if got := first.allocate(); got.Port() != port {
		t.Fatalf("relayed port %d, want %d", got.Port(), port)
	}
	for range 3 {
		dialREST(t, s, "udp", "bob").expectAllocate(508)
	}
	if got := handler.total(); got != 1 {
		t.Errorf("logged %d times within a minute: %v", got, handler.seen)
	}
	clock.advance(warnInterval)
	dialREST(t, s, "udp", "bob").expectAllocate(508)
	if got := handler.total(); got != 2 {
		t.Errorf("logged %d times in two minutes: %v", got, handler.seen)
	}
	first.accept(stun.MethodRefresh, lifetime(0))
	waitFor(t, "the port to be free", func() bool { return heldPorts(s) == 0 })
	last := dialREST(t, s, "udp", "bob").expectAllocate(0)
	last.accept(stun.MethodRefresh, lifetime(0))

	// The server steps over a port that another program holds, and does not count it as its own.
	taken := freePort(t, loopback)
	foreign, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, taken)))
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t, func(cfg *Config) { cfg.MinPort, cfg.MaxPort = taken, taken })
	dialREST(t, s, "udp", "carol").expectAllocate(508)
	if s.Allocations() != 0 {
		t.Error("a refused allocation was counted")
	}
	_ = foreign.Close()
	dialREST(t, s, "udp", "carol").expectAllocate(0)
}

// portsAreRandom: an outsider cannot guess the next relayed port.
func portsAreRandom(t *testing.T) {
	const low, high, n = 50000, 50999, 12
	s := startServer(t, func(cfg *Config) { cfg.MinPort, cfg.MaxPort = low, high })
	seen, neighbours := make(map[uint16]bool), 0
	var last uint16
	for range n {
		port := dialREST(t, s, "udp", "alice").allocate().Port()
		if port < low || port > high || seen[port] {
			t.Errorf("port %d is out of range, or held twice", port)
		}
		if seen[port] = true; port == last+1 || port == last-1 {
			neighbours++
		}
		last = port
	}
	if neighbours > n/2 {
		t.Errorf("of %d ports %d stand next to the one before", n, neighbours)
	}
}

func TestIPv6Relays(t *testing.T) {
	_ = listenAt(t, netip.IPv6Loopback()) // or skip
	s := startServer(t, func(cfg *Config) {
		cfg.Relay = append(cfg.Relay, RelayAddress{Local: netip.IPv6Loopback()})
	})
	onEach(t, func(t *testing.T, network string) {
		for _, row := range []struct {
			attrs []stun.Setter
			want  netip.Addr
		}{
			{nil, loopback},
			{[]stun.Setter{addressFamily(wire.IPv4)}, loopback},
			{[]stun.Setter{addressFamily(wire.IPv6)}, netip.IPv6Loopback()},
		} {
			if got := dialREST(t, s, network, "alice").allocate(row.attrs...); got.Addr() != row.want {
				t.Errorf("relayed address %v, want one at %v", got, row.want)
			}
		}
		c := dialREST(t, s, network, "alice")
		c.allocate(addressFamily(wire.IPv6))
		c.refuse(443, stun.MethodCreatePermission, peerAddr(netip.AddrPortFrom(loopback, 9)))
		c.refuse(443, stun.MethodRefresh, addressFamily(wire.IPv4))
		c.accept(stun.MethodRefresh, addressFamily(wire.IPv6))
	})
}

func TestExternalAddress(t *testing.T) {
	external := netip.MustParseAddr("203.0.113.9")
	s := startServer(t, func(cfg *Config) { cfg.Relay[0].External = external })
	c := dialREST(t, s, "udp", "alice")
	res := c.accept(stun.MethodAllocate, transport(transportUDP))
	if got := addressIn(t, res, stun.AttrXORRelayedAddress); got.Addr() != external || got.Port() < 49152 {
		t.Errorf("relayed address %v, want one at %v", got, external)
	}
	if got := addressIn(t, res, stun.AttrXORMappedAddress); got != c.addr() {
		t.Errorf("mapped address %v", got)
	}
}

// heldPorts counts the relayed ports that are in use or reserved.
func heldPorts(s *Server) (n int) {
	for _, r := range slices.Concat(s.relays.Load().udp, s.relays.Load().tcp) {
		for i := range r.slots {
			if r.slots[i].Load() != nil {
				n++
			}
		}
	}
	return n
}
