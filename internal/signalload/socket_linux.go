package signalload

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a TCP socket outside the runtime's poller, which would wake a goroutine for each message.
type socket struct {
	fd   int
	came int64 // arrival of the last byte that was read, in Unix nanoseconds

	// Arguments of recvmsg(2), which keeps none of them after it returns.
	header  unix.Msghdr
	part    unix.Iovec
	control [64]byte
}

// openSocket begins to connect to a server. Once connected, the socket becomes writable.
func openSocket(server netip.AddrPort) (*socket, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(server.Port()), Addr: server.Addr().As16()})
	if server.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EMFILE) {
		return nil, fmt.Errorf("open a socket: %w; raise the limit (ulimit -n)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	s := &socket{fd: fd}
	s.header.Iov = &s.part
	s.header.SetIovlen(1)
	for _, option := range [][2]int{{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW}} {
		if err := unix.SetsockoptInt(fd, option[0], option[1], 1); err != nil {
			s.close()
			return nil, fmt.Errorf("set up a socket: %w", err)
		}
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		s.close()
		return nil, connectProblem(err)
	}
	return s, nil
}

func connectProblem(err error) error {
	if errors.Is(err, unix.ECONNREFUSED) {
		err = errors.New("nobody listens there")
	}
	return fmt.Errorf("connect: %w", err)
}

// connected returns nil, or the error of a failed connect.
func (s *socket) connected() error {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = connectProblem(syscall.Errno(errno))
	}
	return err
}

// receive reads the bytes that have come. Its error is unix.EAGAIN if there are none.
func (s *socket) receive(b []byte) (int, error) {
	s.part.Base = unsafe.SliceData(b)
	s.part.SetLen(len(b))
	s.header.Control = &s.control[0]
	s.header.SetControllen(len(s.control))
	// RawSyscall bypasses the scheduler, which need not know of a call that never waits.
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.header)), unix.MSG_DONTWAIT)
	switch {
	case errno == unix.EINTR:
		return 0, unix.EAGAIN
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	s.came = s.stamped()
	return int(n), nil
}

// stamped returns the time stamp of the last recvmsg(2), or the present if it has none.
func (s *socket) stamped() int64 {
	const head = unix.SizeofCmsghdr
	if uint64(s.header.Controllen) >= head+16 {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS_NEW {
			t := (*[2]int64)(unsafe.Pointer(&s.control[head])) // struct __kernel_timespec
			return t[0]*int64(time.Second) + t[1]
		}
	}
	return time.Now().UnixNano()
}

// send writes as many bytes as the socket takes.
func (s *socket) send(b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR, unix.EAGAIN:
		return 0, nil
	}
	return 0, errno
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// wait sleeps until the socket is readable or writable. Only TLS uses it.
func (s *socket) wait(events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, int(left/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// tlsSocket is a socket as a net.Conn, for crypto/tls.
type tlsSocket struct {
	*socket
	deadline time.Time // reads wait until then; zero: they never wait
}

// errNothing is the error of a read without data. It is temporary, so that TLS does not end the connection.
type errNothing struct{}

func (errNothing) Error() string   { return "nothing has come yet" }
func (errNothing) Timeout() bool   { return true }
func (errNothing) Temporary() bool { return true }

func (s *tlsSocket) Read(b []byte) (int, error) {
	for {
		n, err := s.receive(b)
		switch {
		case !errors.Is(err, unix.EAGAIN):
			return n, err
		case s.deadline.IsZero():
			return 0, errNothing{}
		}
		if err := s.wait(unix.POLLIN, s.deadline); err != nil {
			return 0, err
		}
	}
}

// Write waits until the socket has taken all bytes: half a record would break the stream.
func (s *tlsSocket) Write(b []byte) (int, error) {
	for sent := 0; ; {
		n, err := s.send(b[sent:])
		if sent += n; err != nil || sent == len(b) {
			return sent, err
		}
		if n == 0 {
			if err := s.wait(unix.POLLOUT, time.Now().Add(patience)); err != nil {
				return sent, err
			}
		}
	}
}

func (s *tlsSocket) Close() error                     { return nil }
func (s *tlsSocket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *tlsSocket) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *tlsSocket) SetDeadline(time.Time) error      { return nil }
func (s *tlsSocket) SetReadDeadline(time.Time) error  { return nil }
func (s *tlsSocket) SetWriteDeadline(time.Time) error { return nil }

// handshake makes a TLS connection over a connected socket, and waits for it.
func (s *socket) handshake(cfg *tls.Config) (*tls.Conn, error) {
	under := &tlsSocket{s, time.Now().Add(patience)}
	conn := tls.Client(under, cfg)
	if err := conn.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	under.deadline = time.Time{}
	return conn, nil
}

// poller reports the sessions that have something to read. It reports a session only once, so the caller must read
// everything.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) add(s *socket, n int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(n)})
}

// ready returns the events that have happened, without waiting. Fd is the number of the session.
func (p *poller) ready() []unix.EpollEvent {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 {
		return nil
	}
	return p.events[:n]
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// nap sleeps for exactly a short time.
func nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
