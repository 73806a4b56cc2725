package turnserver

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// relayAddress is one address that relayed sockets are bound to, with the allocation that holds each of its ports.
type relayAddress struct {
	// Static after construction.
	local, external netip.Addr
	network         string // "udp4", "udp6", "tcp4" or "tcp6"
	minPort         uint16
	reserved        *allocation // stands in the slot of a port that is not free, and that nobody relays to

	slots []atomic.Pointer[allocation] // by port less minPort
	gone  atomic.Bool                  // the host has lost the address: nothing new may stay here
	taken atomic.Int32                 // slots that are not free
}

// newRelayAddress makes a relay address of a transport, "udp" or "tcp". Each transport has ports of its own.
func newRelayAddress(transport string, r RelayAddress, minPort, maxPort uint16) *relayAddress {
	r = r.canonical()
	return &relayAddress{
		local: r.Local, external: r.External, network: networkOf(transport, r.Local), minPort: minPort,
		reserved: new(allocation),
		slots:    make([]atomic.Pointer[allocation], int(maxPort)-int(minPort)+1),
	}
}

// allocationAt returns the live allocation that holds a port, or nil.
func (r *relayAddress) allocationAt(port uint16) *allocation {
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

func (r *relayAddress) publish(a *allocation, port uint16) { r.slots[port-r.minPort].Store(a) }

// withdraw takes a port from its allocation. The port is not free yet, as its socket is still open.
func (r *relayAddress) withdraw(port uint16)         { r.slots[port-r.minPort].Store(r.reserved) }
func (r *relayAddress) port(slot int) uint16         { return r.minPort + uint16(slot) }
func (r *relayAddress) is(ip netip.Addr) bool        { return ip == r.local || ip == r.external }
func (r *relayAddress) fits(family wire.Family) bool { return r.local.Is4() == (family == wire.IPv4) }

// release makes a port free again.
func (r *relayAddress) release(port uint16) {
	if r.slots[port-r.minPort].Swap(nil) != nil {
		r.taken.Add(-1)
	}
}

func (r *relayAddress) reserve(slot int) bool {
	if r.slots[slot].Load() != nil || !r.slots[slot].CompareAndSwap(nil, r.reserved) {
		return false
	}
	r.taken.Add(1)
	return true
}

// full reports whether no port is free, without a look at each.
func (r *relayAddress) full() bool { return int(r.taken.Load()) >= len(r.slots) }

// errPortsTaken means that no port of the range can be bound.
var errPortsTaken = errors.New("every relay port is taken")

// foreignPorts bounds how many ports an Allocate steps over because other programs hold them.
const foreignPorts = 64

// hopeless reports whether no other port would do any better: the host is out of descriptors or memory, or does not have
// the address.
func hopeless(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && runtime.GOOS == "windows" && slices.Contains([]syscall.Errno{10024, 10047, 10049, 10055}, errno) // the same there
}

// datagramSocket is a relayed socket of an allocation that relays datagrams.
type datagramSocket interface {
	// moveTo makes l the loop that will read it, before start; l is nil where there are no loops.
	moveTo(l *loop)
	// start begins to read what peers send to r, one of a's relayed addresses. If it cannot, the caller ends a.
	start(a *allocation, r *relayed) error
	// sendTo sends b to a peer, now or when w's batch is flushed, and counts the outcome.
	sendTo(w *worker, to *destination, b []byte)
	// sendWhole does the same, and forbids routers to fragment the packet. It is slower. Only loops can do it.
	sendWhole(w *worker, to *destination, b []byte)
	// close ends reading and frees the port, at once or soon.
	close(address *relayAddress, port uint16)
}

// binder gives a port its socket, bound to an address.
type binder func(*relayPort, netip.AddrPort) error

// relayPort is a port of a relay address with its socket.
type relayPort struct {
	address  *relayAddress
	local    wire.Endpoint // as bound here
	external wire.Endpoint // as peers see it

	// One of them is set.
	datagrams datagramSocket
	tcp       *tcpRelay
}

func (p *relayPort) close() {
	if p.tcp != nil {
		p.tcp.close()
		return
	}
	p.datagrams.close(p.address, p.local.Port)
}

// portWish is what kind of port a client asks for (RFC 8656 §18.7).
type portWish uint8

const (
	anyPort  portWish = iota
	evenPort          //
	evenPair          // and the next higher one, too
)

// open binds a socket to a free port, and leaves the port reserved. It chooses at random, so that outsiders cannot
// guess the port (RFC 6056). Of a pair it returns both ports.
func (r *relayAddress) open(bind binder, wish portWish) (ports [2]relayPort, err error) {
	if r.full() {
		return ports, errPortsTaken
	}
	first, failed, count := rand.IntN(len(r.slots)), 0, 1
	if wish == evenPair {
		count = 2
	}
	for i := range r.slots {
		slot := (first + i) % len(r.slots)
		if wish != anyPort && r.port(slot)%2 != 0 || slot+count > len(r.slots) {
			continue
		}
		ports, err = r.bind(bind, slot, count)
		switch {
		case err == nil:
			return ports, nil
		case errors.Is(err, errPortsTaken):
			continue
		case hopeless(err):
			return ports, err
		}
		if failed++; failed == foreignPorts {
			return ports, fmt.Errorf("no relayed socket after %d tries: %w", failed, err)
		}
	}
	return ports, errPortsTaken
}

// bind binds sockets to count ports from slot on, or to none of them.
func (r *relayAddress) bind(bind binder, slot, count int) (ports [2]relayPort, err error) {
	for i := range count {
		p := &ports[i]
		if *p, err = r.bindOne(bind, slot+i); err != nil {
			for _, p := range ports[:i] {
				p.close()
			}
			return [2]relayPort{}, err
		}
	}
	return ports, nil
}

func (r *relayAddress) bindOne(bind binder, slot int) (relayPort, error) {
	if !r.reserve(slot) {
		return relayPort{}, errPortsTaken
	}
	addr := netip.AddrPortFrom(r.local, r.port(slot))
	p := relayPort{address: r, local: wire.EndpointOf(addr), external: wire.EndpointOf(addr)}
	p.external.IP = r.external.As16()
	if err := bind(&p, addr); err != nil {
		r.release(r.port(slot))
		return relayPort{}, err
	}
	return p, nil
}

// relayAddressOf returns the one of relays that ip is the local or external form of, or nil.
func relayAddressOf(relays []*relayAddress, ip netip.Addr) *relayAddress {
	for _, r := range relays {
		if r.is(ip) {
			return r
		}
	}
	return nil
}

// reservationTime is how long a reserved port waits for its Allocate (RFC 8656 §7.2).
const reservationTime = 30 * time.Second

// A client that reserves in good faith has a few ports waiting at a time: the RTCP ports of a call.
const (
	maxReservations        = 1024
	maxReservationsOfOwner = 16
)

// reservationToken names a reserved port (RFC 8656 §18.10). It is random, so that nobody guesses it, and only its owner
// can use it.
type reservationToken [8]byte

// reservation is a port that the server keeps for an Allocate to come. Its socket is bound, so that no other program
// gets the port.
type reservation struct {
	// Static after construction.
	port    relayPort
	grant   auth.Grant // of the Allocate that made it
	holder  holder     // likewise
	expires clock
}

// reservations are the reserved ports of the whole server: the Allocate may come over another transport (RFC 8656
// §7.2).
type reservations struct {
	mu           sync.Mutex
	byToken      map[reservationToken]*reservation
	countByOwner map[holder]int
}

func newReservations() reservations {
	return reservations{byToken: make(map[reservationToken]*reservation), countByOwner: make(map[holder]int)}
}

// keep keeps a port, or reports false if there are too many already.
func (s *reservations) keep(r *reservation) (token reservationToken, ok bool) {
	_, _ = crand.Read(token[:]) // never fails
	who := r.holder
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byToken) >= maxReservations || s.countByOwner[who] >= maxReservationsOfOwner || s.byToken[token] != nil {
		return token, false
	}
	s.byToken[token] = r
	s.countByOwner[who]++
	return token, true
}

// claim hands a port over to its owner, once and in time.
func (s *reservations) claim(token reservationToken, g *auth.Grant, now clock) (*reservation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byToken[token]
	if r == nil || ownerOf(&r.grant) != ownerOf(g) || now >= r.expires {
		return nil, false
	}
	s.remove(token)
	return r, true
}

// endMatching gives back the ports that match.
func (s *reservations) endMatching(match func(*reservation) bool) {
	var ended []*reservation
	s.mu.Lock()
	for token, r := range s.byToken {
		if match(r) {
			s.remove(token)
			ended = append(ended, r)
		}
	}
	s.mu.Unlock()
	for _, r := range ended {
		r.port.close()
	}
}

// remove forgets a port. The caller holds mu.
func (s *reservations) remove(token reservationToken) {
	who := s.byToken[token].holder
	delete(s.byToken, token)
	if s.countByOwner[who]--; s.countByOwner[who] == 0 {
		delete(s.countByOwner, who)
	}
}

// portableRelay is a relayed socket of the portable path: a goroutine reads it.
type portableRelay struct{ conn *net.UDPConn }

// openPortableRelay is the binder of the portable path.
func openPortableRelay(p *relayPort, addr netip.AddrPort) error {
	conn, err := net.ListenUDP(p.address.network, net.UDPAddrFromAddrPort(addr))
	if err == nil {
		_ = conn.SetReadBuffer(udpio.RelayedBuffer) // or it stays smaller, and bursts are lost sooner
	}
	p.datagrams = portableRelay{conn}
	return err
}

func (portableRelay) moveTo(*loop) {}

func (c portableRelay) start(a *allocation, r *relayed) error {
	a.shard.srv.readers.Go(func() { c.read(a, r) }) // the caller is one of readers, so Close still waits
	return nil
}

// sendWhole is never called: on the portable path, DONT-FRAGMENT is an unknown attribute.
func (c portableRelay) sendWhole(w *worker, to *destination, b []byte) { c.sendTo(w, to, b) }

func (c portableRelay) sendTo(w *worker, to *destination, b []byte) {
	if _, err := c.conn.WriteToUDPAddrPort(b, to.addr); err != nil {
		w.counters.count(sendFailure(err, len(b)))
		return
	}
	w.counters.countRelayed(w.from, clientToPeer, len(b))
}

func (c portableRelay) close(address *relayAddress, port uint16) {
	_ = c.conn.Close() // the reader sees this and returns
	address.release(port)
}

// errorsInARow is how often reading a socket may fail before its reader gives up. An ICMP error costs one.
const errorsInARow = 64

// read reads what peers send to the relayed address, until the address ends. It holds a buffer and a worker only while
// there is something to read.
func (c portableRelay) read(a *allocation, r *relayed) {
	srv := a.shard.srv
	defer a.endRelayed(r)
	wait := udpio.NewReadWaiter(c.conn)
	for failed := 0; failed < errorsInARow; {
		if err := wait.Readable(); err != nil {
			return
		}
		b, w := srv.buffers.get(), srv.workers.get(a.shard, 0)
		n, _, flags, from, err := c.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], nil)
		switch {
		case err == nil && !udpio.Truncated(flags):
			failed = 0
			a.fromPeer(w, b.bytes[:], headroom, headroom+n, wire.EndpointOf(from))
			w.flush()
		case err == nil:
			srv.counters.count(dropTooLarge)
		case errors.Is(err, net.ErrClosed):
			failed = errorsInARow
		default:
			failed++
		}
		srv.workers.put(w)
		srv.buffers.put(b)
	}
}
