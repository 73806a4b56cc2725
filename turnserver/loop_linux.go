//go:build linux && (amd64 || arm64)

package turnserver

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"turnpike/turnserver/tokenbucket"
	"turnpike/turnserver/udpio"
	"turnpike/turnserver/wire"
)

// loops says that this system can serve UDP in loops.
const loops = true

// loop serves one shard with one goroutine: its share of every UDP listener's clients, by a socket of its own in each listener's
// SO_REUSEPORT group, and the relayed sockets of their allocations. It reads in batches and writes what a batch
// brought before it reads again, so nothing waits for a timer, and an idle allocation costs a table entry and a socket.
type loop struct {
	// Static once run begins.
	srv       *Server
	shard     *shard
	worker    *worker
	epoll     int
	wake      int // an eventfd
	listeners []*loopListener

	// Owned by run.
	brief  bool                 // the next wait is likely to be a short one
	relays map[int32]*loopRelay // by descriptor
	unread []int                // descriptors that had more than a batch
	in     *udpio.Reader

	counters   counters      // what this loop did; others read them
	shortWaits atomic.Uint32 // likewise; see spare
	stopping   atomic.Bool

	mu      sync.Mutex
	joining []*loopRelay // of clients on streams, which run is to read
	closing []*loopRelay // of ended allocations, which run is to close
}

// loopListener is a loop's socket of one listener.
type loopListener struct {
	// Static after open.
	fd      int
	address boundAddress

	// Owned by run.
	client   client     // who sent the last datagram,
	clientTo netip.Addr // and where to
}

// loopRelay is the relayed socket of an allocation that a loop reads.
type loopRelay struct {
	// Static after openRelay, loop after start.
	loop    *loop
	fd      int
	address *relayAddress
	port    uint16

	// Static after start.
	alloc *allocation

	told tokenbucket.Bucket // of ICMP messages; owned by loop.run

	// Guarded by mu. The kernel gives the number of a closed descriptor to the next socket at once, so it is not closed while the
	// batch of a client's stream, or of the loop that a client has moved to, may still send from it.
	mu     sync.Mutex
	refs   int
	closed bool
}

func (s *Server) newLoop() (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{
		srv: s, shard: newShard(s), epoll: epoll, wake: wake, relays: make(map[int32]*loopRelay),
	}
	l.worker = newWorker(s, l.shard)
	l.worker.loop = l
	l.worker.counters = &l.counters
	l.in = udpio.NewReader(udpio.Buffers{
		Batch: udpio.BatchSize, Headroom: headroom, Size: maxDatagram, Tailroom: len(buffer{}.bytes) - headroom - maxDatagram,
	})
	if err := l.watch(wake); err != nil {
		l.closeSockets()
		return nil, err
	}
	return l, nil
}

// watch has run told, once, whenever something has come to fd: who is told reads all there is.
func (l *loop) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// open opens the loop's socket of a listener, and returns what it is bound to.
func (l *loop) open(addr netip.AddrPort, anyAddr bool) (netip.AddrPort, error) {
	fd, roomy, err := udpio.OpenShared(addr, anyAddr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !roomy {
		l.srv.hintBuffers()
	}
	bound, err := udpio.BoundTo(fd)
	if err == nil {
		err = l.watch(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return netip.AddrPort{}, err
	}
	l.listeners = append(l.listeners, &loopListener{fd: fd, address: newBoundAddress(bound, anyAddr)})
	return bound, nil
}

// bound lists the sockets of listeners by their addresses.
func (l *loop) bound() map[netip.AddrPort]boundSocket {
	out := make(map[netip.AddrPort]boundSocket, len(l.listeners))
	for _, s := range l.listeners {
		out[s.address.bound] = boundSocket{&s.address, s}
	}
	return out
}

const eventsAtOnce = 128

// run serves until stop.
func (l *loop) run() {
	defer l.srv.readers.Done()
	events := make([]unix.EpollEvent, eventsAtOnce)
	var spare []int // what unread was before
	var err error
	for !l.stopping.Load() {
		var n int
		if n, err = l.wait(events); err != nil {
			break
		}
		l.worker.clock = l.srv.now()
		unread := l.unread
		l.unread, spare = spare[:0], unread
		for i := range events[:n] {
			if events[i].Events&unix.EPOLLERR != 0 {
				l.serveErrors(int(events[i].Fd))
			}
			l.serve(int(events[i].Fd))
		}
		for _, fd := range unread {
			l.serve(fd)
		}
		l.comeAndGo()
	}
	if err != nil {
		l.srv.log.Error("turn: a loop failed and no longer serves", "error", err)
	}
	for _, a := range l.shard.matching(func(*allocation) bool { return true }) {
		a.end()
	}
	l.comeAndGo()
}

// A wait shorter than briefly says that packets follow each other closely. While they do, and never longer than briefTimeout, the
// loop sleeps in the kernel without telling the Go runtime, and keeps its P.
const (
	briefly      = 2 * time.Millisecond
	briefTimeout = 5 // ms
)

// wait returns how many events there are, once there are any. None, after an interruption, is no reason to stop.
//
// A thread that the runtime knows to be in a system call loses its P to the monitor thread, and has to find another when a
// packet comes: at tens of thousands of packets a second that costs more than the packets do. A sleep that the runtime is not
// told of costs it nothing, but the P must be one to spare, and whoever wants to stop the world has to wake the thread
// with the signal that preempts it, which ends the sleep early.
func (l *loop) wait(events []unix.EpollEvent) (n int, err error) {
	if len(l.unread) > 0 {
		return udpio.EpollWait(l.epoll, events, 0)
	}
	if l.brief {
		n, err = udpio.EpollWait(l.epoll, events, briefTimeout)
		l.slept(n > 0)
		return n, err
	}
	begin := l.srv.now()
	n, err = unix.EpollWait(l.epoll, events, -1)
	if err == unix.EINTR {
		return 0, nil
	}
	l.slept(l.srv.now()-begin < clock(briefly))
	return max(n, 0), os.NewSyscallError("epoll_wait", err)
}

// slept expects the next wait to be as the last one was.
func (l *loop) slept(short bool) {
	if short {
		l.shortWaits.Add(1)
	}
	l.brief = short && l.srv.spare.granted.Load()
}

// resetShortWaits counts anew, and says how many there were.
func (l *loop) resetShortWaits() uint32 { return l.shortWaits.Swap(0) }

// serve reads one socket once. If there may be more, others have their turn first.
func (l *loop) serve(fd int) {
	if r := l.relays[int32(fd)]; r != nil {
		l.again(fd, r.read())
		return
	}
	if fd == l.wake {
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
		return
	}
	for _, s := range l.listeners {
		if s.fd == fd {
			l.again(fd, s.read(l))
			return
		}
	}
}

// again has fd served again if there may be more. A descriptor may be in the list twice; the second reading finds nothing.
func (l *loop) again(fd int, more bool) {
	if more {
		l.unread = append(l.unread, fd)
	}
}

// read serves a batch of what clients sent, and reports whether there may be more.
func (s *loopListener) read(l *loop) bool {
	w := l.worker
	n, more := l.in.Read(s.fd)
	for i := range n {
		m := l.in.Message(i)
		if m.Truncated {
			w.counters.count(dropTooLarge)
			continue
		}
		if s.address.anyAddr && !m.Header.To.IsValid() {
			w.counters.count(dropListener)
			continue
		}
		s.clientOf(&m)
		w.header = m.Header
		w.handle(&s.client, m.Buf, headroom, headroom+m.Size)
	}
	w.flush()
	return more
}

// clientOf sets s.client to who sent m.
func (s *loopListener) clientOf(m *udpio.Datagram) {
	if m.From == s.client.remote && m.Header.To == s.clientTo {
		return // the same as last time: packets come in bursts
	}
	to := m.Header.To
	if !s.address.anyAddr {
		to = s.address.bound.Addr()
	}
	s.client, s.clientTo = s.address.client(s, m.From, to), m.Header.To
}

// errorBatches bounds how much of an error queue is read before others have their turn. What is left is read when the next message, or
// the next datagram, comes.
const errorBatches = 4

// serveErrors reads the error queue of a relayed socket.
func (l *loop) serveErrors(fd int) {
	r := l.relays[int32(fd)]
	if r == nil {
		return
	}
	for range errorBatches {
		n, more := l.in.ReadErrors(fd)
		for i := range n {
			if said, ok := l.in.ICMP(i); ok {
				m := wire.NewICMPMessage(wire.EndpointOf(said.To), said.Type, said.Code, said.MTU)
				r.alloc.fromICMP(l.worker, &m, &r.told)
			} else {
				l.worker.counters.count(dropICMP)
			}
		}
		if !more {
			return
		}
	}
}

// sendTo implements clientSocket. w need not be the loop's: the hop between two allocations comes from other loops, and from streams.
func (s *loopListener) sendTo(w *worker, c *client, b []byte, size int) {
	header := w.header
	if size == notRelayed {
		header = udpio.Header{} // nothing is relayed
	}
	w.out.Add(udpio.Outgoing{FD: s.fd, To: c.remote, Source: c.source, Header: header, Size: size, Class: classOf(wire.UDP, peerToClient)}, b)
}

// read relays a batch of what peers sent, and reports whether there may be more.
func (r *loopRelay) read() bool {
	l := r.loop
	n, more := l.in.Read(r.fd)
	for i := range n {
		m := l.in.Message(i)
		if m.Truncated {
			l.worker.counters.count(dropTooLarge)
			continue
		}
		l.worker.header = m.Header
		r.alloc.fromPeer(l.worker, m.Buf, headroom, headroom+m.Size, wire.EndpointOf(m.From))
	}
	l.worker.flush()
	return more
}

// openRelay is the binder of a loop.
func (l *loop) openRelay(p *relayPort, addr netip.AddrPort) error {
	fd, err := udpio.OpenRelayed(addr)
	if err != nil {
		return err
	}
	p.datagrams = &loopRelay{loop: l, fd: fd, address: p.address, port: addr.Port()}
	return nil
}

// moveTo implements datagramSocket, for sockets that were reserved before it was known who would use them.
func (r *loopRelay) moveTo(l *loop) { r.loop = l }

// start is called by the loop itself, if it serves the request that makes the allocation, else by the client's stream.
func (r *loopRelay) start(a *allocation, _ *relayed) {
	r.alloc = a
	if a.shard == r.loop.shard {
		r.loop.adopt(r)
		return
	}
	r.loop.mu.Lock()
	r.loop.joining = append(r.loop.joining, r)
	r.loop.mu.Unlock()
	r.loop.poke()
}

// adopt begins to read a relayed socket.
func (l *loop) adopt(r *loopRelay) {
	l.relays[int32(r.fd)] = r
	if err := l.watch(r.fd); err != nil {
		l.srv.log.Error("turn: a relayed socket cannot be watched", "error", err)
		r.alloc.end()
	}
}

// sendTo implements datagramSocket. w is the loop's own, that of the client's stream, or that of the loop which the client has moved to.
func (r *loopRelay) sendTo(w *worker, to *destination, b []byte) {
	if w.loop != r.loop && !r.acquire(w) {
		w.counters.count(dropNoAllocation)
		return
	}
	w.out.Add(udpio.Outgoing{FD: r.fd, To: to.addr, Header: w.header, Size: len(b), Class: classOf(w.from, clientToPeer)}, b)
}

// sendWhole implements datagramSocket: the datagram leaves by itself, while the socket forbids to fragment. Nobody else sends from the
// socket, since all that goes to peers comes from the allocation's one client; but for the moment in which that moves.
func (r *loopRelay) sendWhole(w *worker, to *destination, b []byte) {
	if w.loop != r.loop && !r.acquire(w) {
		w.counters.count(dropNoAllocation)
		return
	}
	is4 := to.endpoint.Is4()
	w.out.Flush()
	if err := udpio.ForbidFragments(r.fd, is4, true); err != nil {
		w.counters.count(dropSendFailed)
		return
	}
	r.sendTo(w, to, b)
	w.out.Flush()
	_ = udpio.ForbidFragments(r.fd, is4, false) // what was set can be set back
}

// acquire keeps the socket open until w is flushed, or reports false if it is closed.
func (r *loopRelay) acquire(w *worker) bool {
	if slices.Contains(w.acquired, releaser(r)) {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.refs++
	w.acquired = append(w.acquired, r)
	return true
}

// release implements releaser.
func (r *loopRelay) release() {
	r.mu.Lock()
	r.refs--
	last := r.closed && r.refs == 0
	r.mu.Unlock()
	if last {
		r.free()
	}
}

// close leaves the socket to the loop, which may be about to use it.
func (r *loopRelay) close(*relayAddress, uint16) {
	r.loop.mu.Lock()
	r.loop.closing = append(r.loop.closing, r)
	r.loop.mu.Unlock()
	r.loop.poke()
}

// comeAndGo begins to read the sockets of streams' new allocations, and closes those of ended ones.
func (l *loop) comeAndGo() {
	l.mu.Lock()
	joining, ended := l.joining, l.closing
	l.joining, l.closing = nil, nil
	l.mu.Unlock()
	for _, r := range joining {
		if !r.isClosed() { // its allocation may have ended before it joined
			l.adopt(r)
		}
	}
	for _, r := range ended {
		delete(l.relays, int32(r.fd))
		r.mu.Lock()
		r.closed = true
		held := r.refs > 0
		r.mu.Unlock()
		if !held { // else who holds it last does this
			r.free()
		}
	}
}

func (r *loopRelay) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// free closes the socket, which takes it out of epoll, too, and gives its port back.
func (r *loopRelay) free() {
	_ = unix.Close(r.fd)
	r.address.release(r.port)
}

// poke makes run look around.
func (l *loop) poke() {
	one := [8]byte{1} // any number but zero does, in either byte order
	_, _ = unix.Write(l.wake, one[:])
}

// stop makes run return, after it has ended what it serves.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.poke()
}

// closeSockets is called once run has returned and nobody sends any more.
func (l *loop) closeSockets() {
	l.comeAndGo() // what streams left behind after run
	for _, s := range l.listeners {
		_ = unix.Close(s.fd)
	}
	_ = unix.Close(l.wake)
	_ = unix.Close(l.epoll)
}
