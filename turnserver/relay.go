package turnserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
)

// relayAddress is one address that relayed sockets are bound to, with who holds each of its ports.
type relayAddress struct {
	// Static after construction.
	local, external netip.Addr
	network         string // "udp4" or "udp6"
	minPort         uint16
	reserved        *allocation // stands in a slot while its socket is being made

	slots []atomic.Pointer[allocation] // by port less minPort
}

func newRelayAddress(r RelayAddress, minPort, maxPort uint16) *relayAddress {
	local, external := canonical(r.Local), canonical(r.External)
	if !external.IsValid() {
		external = local
	}
	network := "udp4"
	if local.Is6() {
		network = "udp6"
	}
	return &relayAddress{
		local: local, external: external, network: network, minPort: minPort,
		reserved: new(allocation),
		slots:    make([]atomic.Pointer[allocation], int(maxPort)-int(minPort)+1),
	}
}

// holder returns the live allocation that holds a port, or nil.
func (r *relayAddress) holder(port uint16) *allocation {
	i := int(port) - int(r.minPort)
	if i < 0 || i >= len(r.slots) {
		return nil
	}
	a := r.slots[i].Load()
	if a == r.reserved {
		return nil
	}
	return a
}

func (r *relayAddress) publish(a *allocation)   { r.slots[a.local.port-r.minPort].Store(a) }
func (r *relayAddress) release(port uint16)     { r.slots[port-r.minPort].Store(nil) }
func (r *relayAddress) reserve(slot int) bool   { return r.slots[slot].CompareAndSwap(nil, r.reserved) }
func (r *relayAddress) port(slot int) uint16    { return r.minPort + uint16(slot) }
func (r *relayAddress) is(ip netip.Addr) bool   { return ip == r.local || ip == r.external }
func (r *relayAddress) fits(family family) bool { return r.local.Is4() == (family == familyIPv4) }

// errPortsTaken means that no port of the range can be bound.
var errPortsTaken = errors.New("every relay port is taken")

// foreignPorts bounds how many ports that other programs hold an Allocate steps over.
const foreignPorts = 64

// open binds a socket to a free port, chosen at random so that outsiders cannot guess it (RFC 6056), and leaves it reserved.
func (r *relayAddress) open(ctx context.Context) (*net.UDPConn, endpoint, error) {
	var lc net.ListenConfig
	first, failed := rand.IntN(len(r.slots)), 0
	for i := range r.slots {
		slot := (first + i) % len(r.slots)
		if !r.reserve(slot) {
			continue
		}
		addr := netip.AddrPortFrom(r.local, r.port(slot))
		conn, err := lc.ListenPacket(ctx, r.network, addr.String())
		if err == nil {
			return conn.(*net.UDPConn), endpointOf(addr), nil
		}
		r.slots[slot].Store(nil)
		if failed++; failed == foreignPorts {
			return nil, endpoint{}, fmt.Errorf("no relayed socket after %d tries: %w", failed, err)
		}
	}
	return nil, endpoint{}, errPortsTaken
}

// relayAddressOf returns the relay address that ip is the local or external form of, or nil.
func (s *Server) relayAddressOf(ip netip.Addr) *relayAddress {
	for _, r := range s.relays {
		if r.is(ip) {
			return r
		}
	}
	return nil
}

// errorsInARow is how often reading a socket may fail before its reader gives up. An ICMP error costs one.
const errorsInARow = 64

// readRelay reads what peers send to the relayed address, until the allocation ends. It holds a buffer only while there is
// something to read.
func (a *allocation) readRelay() {
	srv := a.shard.srv
	defer srv.readers.Done()
	defer a.end()
	wait := newReadWaiter(a.conn)
	for failed := 0; failed < errorsInARow; {
		if err := wait.readable(); err != nil {
			return
		}
		b := srv.buffers.get()
		n, _, flags, from, err := a.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], nil)
		switch {
		case err == nil && !truncated(flags):
			failed = 0
			a.fromPeer(b.bytes[:], headroom, headroom+n, endpointOf(from))
		case err == nil:
			srv.counters.drop(dropTooLarge)
		case errors.Is(err, net.ErrClosed):
			failed = errorsInARow
		default:
			failed++
		}
		srv.buffers.put(b)
	}
}
