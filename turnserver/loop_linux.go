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

	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// loops says that this system can serve UDP in loops.
const loops = true

// loop serves one shard with one goroutine. It has sockets in the SO_REUSEPORT group of every UDP listener, and so a
// share of its clients, and it reads the relayed sockets of their allocations. It reads a batch and writes what comes
// of it before it reads again. So nothing waits for a timer, and an idle allocation costs a table entry and a socket.
//
// Calls come before strangers. In each turn a loop reads a batch of a socket that has requests of calls, then one of every
// socket that has their data, and then a little of a socket that has strangers' requests. So a socket that is always full
// takes its turn with the others.
type loop struct {
	// Static once run begins.
	srv       *Server
	shard     *shard
	worker    *worker
	epoll     int
	wake      int // an eventfd
	listeners []*loopListener

	// Owned by run.
	brief   bool                 // the next wait will probably be short
	relays  map[int32]*loopRelay // by descriptor
	waiting [rows][]*inbox       // may have packets
	in      *udpio.Reader
	// postponed are requests that end relays, and what their clients asked after them: data of before may wait in another socket.
	postponed []postponed

	counters   counters      // of this loop; others read them
	shortWaits atomic.Uint32 // likewise; see spareProcessors
	stopping   atomic.Bool

	mu      sync.Mutex
	joining []*loopRelay // of clients on streams: run begins to read them
	closing []*loopRelay // of ended allocations: run closes them
	ended   bool         // run takes no more of them
}

// inbox is a socket that a loop reads. It is owned by run.
type inbox struct {
	fd       int
	listener *loopListener // it is one of,
	relay    *loopRelay    // or the socket of this
	row      row           // what comes to it
	queued   bool          // it waits
	full     int           // so many readings in a row have left something to read
}

// loopRelay is an allocation's relayed socket, which a loop reads.
type loopRelay struct {
	// Static after openRelay, loop after start.
	loop    *loop
	fd      int
	inbox   inbox
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
	l.worker.loop, l.worker.answers = l, make([]answer, udpio.BatchSize)
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

const eventsAtOnce = 128

// run serves until stop.
func (l *loop) run() {
	defer l.srv.readers.Done()
	events := make([]unix.EpollEvent, eventsAtOnce)
	for !l.stopping.Load() {
		n, err := l.wait(events)
		if err != nil {
			l.beginAnew(err)
			continue
		}
		l.serve(events[:n])
		l.comeAndGo()
	}
	l.finish()
}

// finish ends everything that the loop reads, and takes nothing new.
func (l *loop) finish() {
	for _, a := range l.shard.all() {
		a.end()
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.comeAndGo()
}

// beginAnew gives the loop a new epoll when the present one fails, with everything that the loop reads. It tries until it
// can, or until the server ends; meanwhile the server is not ready. Its sockets stay open: the kernel would give clients
// to other loops if one of a listener's sockets went.
func (l *loop) beginAnew(cause error) {
	l.srv.faults.stuck.Add(1)
	defer l.srv.faults.stuck.Add(-1)
	for pause := anewPause; !l.srv.isClosed(); pause = min(2*pause, time.Second) {
		l.srv.counters.count(failedLoop)
		l.srv.warnFull("turn: a loop cannot wait for packets, and begins anew", "error", cause)
		select {
		case <-time.After(pause):
		case <-l.srv.done:
		}
		if cause = l.renewEpoll(); cause == nil {
			return
		}
	}
}

// anewPause is the pause before a loop that has failed begins anew for the first time.
const anewPause = 10 * time.Millisecond

// renewEpoll makes an epoll under the number of the present one, which other goroutines use.
func (l *loop) renewEpoll() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer unix.Close(epoll)
	fds := []int{l.wake}
	for _, s := range l.listeners {
		for _, in := range s.inboxes {
			fds = append(fds, in.fd)
		}
	}
	for fd := range l.relays {
		fds = append(fds, int(fd))
	}
	for _, fd := range fds {
		if err := epollAdd(epoll, fd); err != nil {
			return err
		}
	}
	return os.NewSyscallError("dup3", unix.Dup3(epoll, l.epoll, unix.O_CLOEXEC))
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
	if len(l.waiting[data])+len(l.waiting[requests])+len(l.waiting[strangers]) > 0 {
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

// serve serves what events tell of, and what waits.
func (l *loop) serve(events []unix.EpollEvent) {
	l.worker.clock = l.srv.now()
	for i := range events {
		if events[i].Events&unix.EPOLLERR != 0 {
			l.serveErrors(int(events[i].Fd))
		}
		l.arrived(int(events[i].Fd))
	}
	l.turn()
}

// arrived notes that something has come to a descriptor.
func (l *loop) arrived(fd int) {
	if fd == l.wake {
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
		return
	}
	if r := l.relays[int32(fd)]; r != nil {
		l.queue(&r.inbox)
		return
	}
	for _, s := range l.listeners {
		for i := range s.inboxes {
			if s.inboxes[i].fd == fd {
				l.queue(&s.inboxes[i])
				return
			}
		}
	}
}

// queue lets a socket have its turn, unless it waits for that already.
func (l *loop) queue(b *inbox) {
	if !b.queued {
		b.queued = true
		l.waiting[b.row] = append(l.waiting[b.row], b)
	}
}

// row is what comes to a socket, as udpio.Steer tells it.
type row uint8

const (
	data      row = iota // of calls; without Steer, everything
	requests             // of clients with an allocation
	strangers            // and all that anybody may send
	rows
)

// How many requests of strangers a loop serves in a turn: while no data waits, and while some does. So they cost a call
// little, and still are heard.
const (
	strangersAtOnce = udpio.BatchSize / 2
	strangersAmid   = udpio.BatchSize / 16
)

// turn reads each socket with data that waits, once, and of the others one of each row. One that may have more waits again,
// behind the others. Requests come before data: Firefox sends data right behind the CreatePermission that lets them through,
// and waits for no answer. Only those that end a relay come after the data that the client has sent before.
func (l *loop) turn() {
	l.readFirst(requests, min(1, len(l.waiting[requests])), udpio.BatchSize)
	l.readFirst(data, len(l.waiting[data]), udpio.BatchSize)
	l.servePostponed()
	most := strangersAtOnce
	if len(l.waiting[data]) > 0 {
		most = strangersAmid
	}
	l.readFirst(strangers, min(1, len(l.waiting[strangers])), most)
}

// readFirst reads the first n sockets of a row that wait, each up to so many packets.
func (l *loop) readFirst(of row, n, most int) {
	for i := range n {
		if b := l.waiting[of][i]; b.read(l, most) {
			l.queue(b)
		}
	}
	l.waiting[of] = slices.Delete(l.waiting[of], 0, n)
}

// read reads up to so many packets, and reports whether there may be more.
func (b *inbox) read(l *loop, most int) bool {
	b.queued = false
	switch {
	case b.listener != nil:
		return b.listener.read(l, b, most)
	case l.relays[int32(b.fd)] == b.relay:
		return b.relay.read()
	default: // it was closed while it waited
		return false
	}
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
	r := &loopRelay{loop: l, fd: fd, address: p.address, port: addr.Port()}
	r.inbox = inbox{fd: fd, relay: r}
	p.datagrams = r
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
			_ = epollAdd(l.epoll, r.fd) // it is there already, unless the loop has begun anew meanwhile
			l.serveErrors(r.fd)         // epoll has told of what came before, and nobody was there
			l.queue(&r.inbox)
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
		for _, b := range s.inboxes {
			_ = unix.Close(b.fd)
		}
	}
	_ = unix.Close(l.wake)
	_ = unix.Close(l.epoll)
	l.in.Close()
}
