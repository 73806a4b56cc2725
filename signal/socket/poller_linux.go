package socket

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	pollerEvents = 64 // sockets that are acted on before others of the process have their turn
	pollerBuffer = 16 << 10
)

// pollers watch sockets, one for each processor. The runtime's epoll watches theirs, so their goroutines wait as any
// others do. They start with the first socket.
type pollers struct {
	start   sync.Once
	all     []*poller
	failed  error
	next    atomic.Uint32  // counts sockets, which go to the pollers by turns
	running sync.WaitGroup // counts their goroutines
}

// poller watches some of the sockets, and reads what comes.
type poller struct {
	// Static after construction.
	file *os.File // the epoll
	raw  syscall.RawConn

	// Owned by poll.
	events [pollerEvents]unix.EpollEvent
	buffer [pollerBuffer]byte

	mu sync.Mutex
	// Guarded by mu.
	conns []*polledConn // by slot
	free  []int32       // slots
	turns int32         // counts sockets, so that events of a slot's former socket are known
}

func (ps *pollers) open() {
	for range runtime.GOMAXPROCS(0) {
		p, err := newPoller()
		if err != nil {
			ps.failed = err
			return
		}
		ps.all = append(ps.all, p)
		ps.running.Go(p.run)
	}
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os would not watch it
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// close ends the pollers, and waits until they have ended.
func (ps *pollers) close() {
	ps.start.Do(func() { ps.failed = net.ErrClosed })
	for _, p := range ps.all {
		p.file.Close()
	}
	ps.running.Wait()
}

// adopt has a poller watch the socket of a connection from now on; the caller is its reader. After an error the
// connection is as it was.
func (ps *pollers) adopt(conn net.Conn, pool *sync.Pool) (*polledConn, error) {
	fd, closeIt, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	if ps.start.Do(ps.open); ps.failed != nil {
		unix.Close(fd)
		return nil, ps.failed
	}
	p := ps.all[ps.next.Add(1)%uint32(len(ps.all))]
	c := &polledConn{fd: fd, from: conn, pool: pool, poller: p}
	if err := p.add(c); err != nil {
		p.forget(c)
		return nil, err
	}
	_ = closeIt() // or the runtime's epoll would watch it too, and cost as much again
	return c, nil
}

// duplicate returns another descriptor of a connection's socket, and a function that closes the connection's own
// descriptor. A connection that its listener counts until Close has CloseSocket for that.
func duplicate(conn net.Conn) (fd int, closeIt func() error, err error) {
	switch conn := conn.(type) {
	case interface{ CloseSocket() error }:
		closeIt = conn.CloseSocket
	case *net.TCPConn:
		closeIt = conn.Close
	default:
		return 0, nil, errors.ErrUnsupported
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0, nil, errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	failed := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if failed != nil {
		err = failed
	}
	return fd, closeIt, err
}

// add begins to watch a socket.
func (p *poller) add(c *polledConn) error {
	p.mu.Lock()
	p.turns++
	c.slot, c.slotTurn = int32(len(p.conns)), p.turns
	if n := len(p.free); n > 0 {
		c.slot, p.free = p.free[n-1], p.free[:n-1]
		p.conns[c.slot] = c
	} else {
		p.conns = append(p.conns, c)
	}
	p.mu.Unlock()
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: c.slot, Pad: c.slotTurn}
	var failed error
	err := p.raw.Control(func(epoll uintptr) { failed = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, c.fd, &event) })
	if err == nil && failed != nil {
		err = os.NewSyscallError("epoll_ctl", failed)
	}
	return err
}

// forget closes a socket, which takes it out of the epoll, and then frees its slot. An event of it that is still on its
// way finds nobody, or another turn of the slot.
func (p *poller) forget(c *polledConn) {
	_ = unix.Close(c.fd)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.slot] = nil
	p.free = append(p.free, c.slot)
}

// run acts on what comes until the poller is closed.
func (p *poller) run() { _ = p.raw.Read(p.poll) }

// poll acts on what has come, and reports false, so that the runtime calls it again when more has.
func (p *poller) poll(epoll uintptr) bool {
	for {
		n := epollNow(int(epoll), p.events[:])
		for i := range p.events[:n] {
			p.act(&p.events[i])
		}
		if n < len(p.events) {
			return false
		}
		runtime.Gosched()
	}
}

func (p *poller) act(event *unix.EpollEvent) {
	p.mu.Lock()
	c := p.conns[event.Fd]
	p.mu.Unlock()
	if c == nil || c.slotTurn != event.Pad {
		return
	}
	if event.Events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0 {
		c.hungUp.Store(true)
	}
	if event.Events&^unix.EPOLLIN != 0 {
		c.wakeWriter()
	}
	if event.Events&^unix.EPOLLOUT != 0 && c.claim() {
		c.conn.pumpOrReadOn(p.buffer[:])
	}
}

// readNow, writeNow and epollNow are read(2), write(2) and epoll_pwait(2) where they do not block. They do not tell the
// Go runtime of the system call: for a call that could block, the runtime's monitor thread does work that costs more
// than the call.

func readNow(fd int, b []byte) (int, error) { return rawCall(syscall.SYS_READ, fd, b) }

func writeNow(fd int, b []byte) (int, error) { return rawCall(syscall.SYS_WRITE, fd, b) }

func rawCall(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func epollNow(epoll int, events []unix.EpollEvent) int {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n)
		case syscall.EINTR:
		default:
			return 0
		}
	}
}
