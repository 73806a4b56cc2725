//go:build linux && (amd64 || arm64)

package turnserver

import (
	"net/netip"
	"os"
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

// loop serves one shard with one goroutine. It has a socket in the SO_REUSEPORT group of every UDP listener, and so a
// share of its clients, and it reads the relayed sockets of their allocations. It reads a batch and writes what comes
// of it before it reads again. So nothing waits for a timer, and an idle allocation costs a table entry and a socket.
type loop struct {
	// Static once run begins.
	srv       *Server
	shard     *shard
	worker    *worker
	epoll     int
	wake      int // an eventfd
	listeners []*loopListener

	// Owned by run.
	brief  bool                 // the next wait will probably be short
	relays map[int32]*loopRelay // by descriptor
	unread []int                // descriptors that had more than a batch
	in     *udpio.Reader

	counters   counters      // of this loop; others read them
	shortWaits atomic.Uint32 // likewise; see spareProcessors
	stopping   atomic.Bool

	mu      sync.Mutex
	joining []*loopRelay // of clients on streams: run begins to read them
	closing []*loopRelay // of ended allocations: run closes them
	ended   bool         // run takes no more of them
}

// loopListener is a loop's socket of one listener.
type loopListener struct {
	// Static after open.
	fd      int
	address boundAddress

	// Owned by run.
	client   client     // sender of the last datagram,
	clientTo netip.Addr // and its destination
}

// loopRelay is an allocation's relayed socket, which a loop reads.
type loopRelay struct {
	// Static after openRelay, loop after start.
	loop    *loop
	fd      int
	address *relayAddress
	port    uint16

	// Static after start.
	alloc *allocation

	told tokenbucket.Bucket // of ICMP messages; owned by loop.run

	// Guarded by mu. The kernel gives the number of a closed descriptor to the next socket at once. So the socket stays
	// open while another batch may still send from it: that of a client's stream, or that of the loop to which a client
	// has moved.
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
	l.worker.counters, l.worker.out.Counters = &l.counters, &l.counters.relayed
	l.in = udpio.NewReader(udpio.Buffers{
		Batch: udpio.BatchSize, Headroom: headroom, Size: maxDatagram, Tailroom: len(buffer{}.bytes) - headroom - maxDatagram,
	})
	if err := l.watch(wake); err != nil {
		l.closeSockets()
		return nil, err
	}
	return l, nil
}

// watch lets epoll tell run once whenever something has come to fd. run must then read all of it.
func (l *loop) watch(fd int) error { return epollAdd(l.epoll, fd) }

func epollAdd(epoll, fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// open opens the loop's socket of a listener, and returns its address.
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
	var spare []int // memory for the next unread
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
	for _, a := range l.shard.all() {
		a.end()
	}
	l.comeAndGo()
}

// A wait shorter than briefly shows that packets follow each other closely. Then the next sleep in the kernel, of at
// most briefTimeout, is one that the Go runtime does not know of, and the loop keeps its P.
const (
	briefly      = 2 * time.Millisecond
	briefTimeout = 5 // ms
)

// wait waits for events, and returns their number. After an interruption there are none, and the loop goes on.
//
// A thread that the runtime knows to be in a system call loses its P to the monitor thread, and must find another one
// when a packet comes. At tens of thousands of packets a second, that costs more than the packets do. A sleep that the
// runtime does not know of costs nothing of this, but it needs a P to spare. To stop the world, the runtime sends the
// thread a signal, which ends the sleep early.
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

// slept expects the next wait to be as short as the last one.
func (l *loop) slept(short bool) {
	if short {
		l.shortWaits.Add(1)
	}
	l.brief = short && l.srv.spare.granted.Load()
}

// resetShortWaits returns how many short waits there were, and counts anew.
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

// again notes that fd may have more to read. A descriptor may be in the list twice; then the second reading finds
// nothing.
func (l *loop) again(fd int, more bool) {
	if more {
		l.unread = append(l.unread, fd)
	}
}

// read serves a batch of datagrams from clients, and reports whether there may be more.
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

// clientOf sets s.client to the sender of m.
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

// errorBatches bounds how much of an error queue the loop reads before others have their turn. It reads the rest when
// the next message, or the next datagram, comes.
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

// sendTo implements clientSocket. w may be that of another loop or of a stream, for packets from one allocation to
// another.
func (s *loopListener) sendTo(w *worker, c *client, b []byte, size int) {
	header := w.header
	if size == notRelayed {
		header = udpio.Header{} // nothing is relayed
	}
	w.out.Add(udpio.Outgoing{FD: s.fd, To: c.remote, Source: c.source, Header: header, Size: size, Class: classOf(wire.UDP, peerToClient)}, b)
}

// read relays a batch of datagrams from peers, and reports whether there may be more.
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
	fd, roomy, err := udpio.OpenRelayed(addr)
	if err != nil {
		return err
	}
	if !roomy {
		l.srv.hintBuffers()
	}
	p.datagrams = &loopRelay{loop: l, fd: fd, address: p.address, port: addr.Port()}
	return nil
}

// sendTo implements datagramSocket. w is that of the loop, of the client's stream, or of the loop to which the client
// has moved.
func (r *loopRelay) sendTo(w *worker, to *destination, b []byte) {
	if w.loop != r.loop && !r.acquire(w) {
		w.counters.count(dropNoAllocation)
		return
	}
	w.out.Add(udpio.Outgoing{FD: r.fd, To: to.addr, Header: w.header, Size: len(b), Class: classOf(w.from, clientToPeer)}, b)
}

// sendWhole implements datagramSocket. The datagram leaves by itself, while the socket forbids fragments. Nobody else
// sends from the socket meanwhile, since all datagrams to peers come from the allocation's one client; only while it
// moves, there may be two.
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
	_ = udpio.ForbidFragments(r.fd, is4, false) // an option that could be set can be set back
}

// comeAndGo begins to read the sockets of new allocations of streams, and closes the sockets of ended allocations.
func (l *loop) comeAndGo() {
	l.mu.Lock()
	joining, ended := l.joining, l.closing
	l.joining, l.closing = nil, nil
	l.mu.Unlock()
	for _, r := range joining {
		if !r.isClosed() { // its allocation may have ended before it joined
			l.relays[int32(r.fd)] = r
			l.serveErrors(r.fd) // epoll has told of what came before, and nobody was there
			l.serve(r.fd)
		}
	}
	for _, r := range ended {
		delete(l.relays, int32(r.fd))
		r.retire()
	}
}

// poke wakes run.
func (l *loop) poke() {
	one := [8]byte{1} // any number but zero will do, in either byte order
	_, _ = unix.Write(l.wake, one[:])
}

// stop makes run end its allocations and return.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.poke()
}

// closeSockets must be called after run has returned, when nobody sends any more.
func (l *loop) closeSockets() {
	l.comeAndGo() // for the allocations of streams that ended after run
	for _, s := range l.listeners {
		_ = unix.Close(s.fd)
	}
	_ = unix.Close(l.wake)
	_ = unix.Close(l.epoll)
	l.in.Close()
}
