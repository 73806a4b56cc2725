//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// events are changes of one kind that the kernel tells of.
type events struct {
	// Static after subscribe.
	protocol int
	groups   uint32
	changed  chan struct{} // holds one
	fault    func(msg string, err error)
	stop     chan struct{} // closed by close
	done     sync.WaitGroup

	mu     sync.Mutex
	socket *os.File
}

// reopenInterval is how often a socket that has failed is opened anew. Until that succeeds, anything may have changed each time.
const reopenInterval = time.Second

// subscribe begins to read what the kernel tells.
func subscribe(protocol int, groups uint32, fault func(string, error)) (*events, error) {
	e := &events{protocol: protocol, groups: groups, changed: make(chan struct{}, 1), fault: fault, stop: make(chan struct{})}
	socket, err := e.open()
	if err != nil {
		return nil, err
	}
	e.socket = socket
	e.done.Go(func() { e.read(socket) })
	return e, nil
}

func (e *events) open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, e.protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: e.groups}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// read reads until close. What the messages say does not matter: after any, the watcher looks at everything.
func (e *events) read(socket *os.File) {
	buf := make([]byte, 1<<16)
	for {
		_, err := socket.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: more changes than the socket holds
			if socket = e.reopen(err); socket == nil {
				return
			}
		}
		e.poke()
	}
}

// reopen replaces a socket that has failed, or returns nil after close.
func (e *events) reopen(err error) *os.File {
	said := false
	for {
		select {
		case <-e.stop:
			return nil
		default:
		}
		if !said {
			e.fault("turn: cannot read what changes on this host; looking every second until that is mended", err)
			said = true
		}
		_ = e.current().Close()
		next, openErr := e.open()
		if openErr == nil && e.replace(next) {
			return next
		}
		e.poke()
		select {
		case <-e.stop:
			return nil
		case <-time.After(reopenInterval):
		}
	}
}

func (e *events) current() *os.File {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.socket
}

// replace makes a socket the current one, or closes it if close came first.
func (e *events) replace(next *os.File) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.stop:
		_ = next.Close()
		return false
	default:
		e.socket = next
		return true
	}
}

func (e *events) poke() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// close ends reading, and waits for that. e may be nil.
func (e *events) close() {
	if e == nil {
		return
	}
	e.mu.Lock()
	close(e.stop)
	socket := e.socket
	e.mu.Unlock()
	_ = socket.Close()
	e.done.Wait()
}
