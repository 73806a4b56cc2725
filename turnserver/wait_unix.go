//go:build unix

package turnserver

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readWaiter waits until a socket has something to read, without lending it a buffer meanwhile.
type readWaiter struct {
	raw  syscall.RawConn
	poll func(fd uintptr) bool
}

func newReadWaiter(conn *net.UDPConn) *readWaiter {
	raw, err := conn.SyscallConn()
	if err != nil { // only on an invalid connection, which the first read reports
		return &readWaiter{}
	}
	fds := make([]unix.PollFd, 1) // lives as long as the waiter, not as long as a packet
	return &readWaiter{raw: raw, poll: func(fd uintptr) bool {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(fds, 0)
		return n != 0 || err != nil // an error shows when the socket is read
	}}
}

// readable blocks until the socket can be read or is closed.
func (w *readWaiter) readable() error {
	if w.raw == nil {
		return net.ErrClosed
	}
	return w.raw.Read(w.poll)
}

func truncated(flags int) bool { return flags&unix.MSG_TRUNC != 0 }
