package turnserver

import (
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
	return &relayAddress{
		local: local, external: external, network: udpNetwork(local), minPort: minPort,
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

func (r *relayAddress) publish(a *allocation) { r.slots[a.local.port-r.minPort].Store(a) }

// withdraw ends the holding of a port whose socket is still to be closed.
func (r *relayAddress) withdraw(port uint16)    { r.slots[port-r.minPort].Store(r.reserved) }
func (r *relayAddress) release(port uint16)     { r.slots[port-r.minPort].Store(nil) }
func (r *relayAddress) reserve(slot int) bool   { return r.slots[slot].CompareAndSwap(nil, r.reserved) }
func (r *relayAddress) port(slot int) uint16    { return r.minPort + uint16(slot) }
func (r *relayAddress) is(ip netip.Addr) bool   { return ip == r.local || ip == r.external }
func (r *relayAddress) fits(family family) bool { return r.local.Is4() == (family == familyIPv4) }

// errPortsTaken means that no port of the range can be bound.
var errPortsTaken = errors.New("every relay port is taken")

// foreignPorts bounds how many ports that other programs hold an Allocate steps over.
const foreignPorts = 64

// relaySocket is an allocation's relayed socket.
type relaySocket interface {
	// start begins to read what peers send.
	start(a *allocation)
	// sendTo sends b to a peer, now or when w's batch is flushed, and counts what becomes of it.
	sendTo(w *worker, to *destination, b []byte)
	// close ends reading and frees the port, at once or soon.
	close(a *allocation)
}

// open binds a socket to a free port, chosen at random so that outsiders cannot guess it (RFC 6056), and leaves it reserved.
func (r *relayAddress) open(bind func(*relayAddress, netip.AddrPort) (relaySocket, error)) (relaySocket, endpoint, error) {
	first, failed := rand.IntN(len(r.slots)), 0
	for i := range r.slots {
		slot := (first + i) % len(r.slots)
		if !r.reserve(slot) {
			continue
		}
		addr := netip.AddrPortFrom(r.local, r.port(slot))
		sock, err := bind(r, addr)
		if err == nil {
			return sock, endpointOf(addr), nil
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

// relayConn is a relayed socket of the portable path, and of clients on streams: a goroutine reads it.
type relayConn struct{ conn *net.UDPConn }

func openRelayConn(r *relayAddress, addr netip.AddrPort) (relaySocket, error) {
	conn, err := net.ListenUDP(r.network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	return relayConn{conn}, nil
}

func (c relayConn) start(a *allocation) {
	a.shard.srv.readers.Go(func() { c.read(a) }) // the caller is counted itself
}

func (c relayConn) sendTo(w *worker, to *destination, b []byte) {
	if _, err := c.conn.WriteToUDPAddrPort(b, to.addr); err != nil {
		w.counters.drop(sendFailure(len(b)))
		return
	}
	w.counters.relayed(up, len(b))
}

func (c relayConn) close(a *allocation) {
	_ = c.conn.Close() // the reader sees this and returns
	a.address.release(a.local.port)
}

// errorsInARow is how often reading a socket may fail before its reader gives up. An ICMP error costs one.
const errorsInARow = 64

// read reads what peers send to the relayed address, until the allocation ends. It holds a buffer and a worker only while there
// is something to read.
func (c relayConn) read(a *allocation) {
	srv := a.shard.srv
	defer a.end()
	wait := newReadWaiter(c.conn)
	for failed := 0; failed < errorsInARow; {
		if err := wait.readable(); err != nil {
			return
		}
		b, w := srv.buffers.get(), srv.workers.get(a.shard)
		n, _, flags, from, err := c.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], nil)
		switch {
		case err == nil && !truncated(flags):
			failed = 0
			a.fromPeer(w, b.bytes[:], headroom, headroom+n, endpointOf(from))
			w.flush()
		case err == nil:
			srv.counters.drop(dropTooLarge)
		case errors.Is(err, net.ErrClosed):
			failed = errorsInARow
		default:
			failed++
		}
		srv.workers.put(w)
		srv.buffers.put(b)
	}
}
