//go:build unix

package turnserver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readWaiter waits until a socket has something to read, without lending it a buffer meanwhile.
type readWaiter struct {
	raw  syscall.RawConn // nil: what is read from is no socket
	poll func(fd uintptr) bool
}

func newReadWaiter(conn any) *readWaiter {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return &readWaiter{}
	}
	raw, err := socket.SyscallConn()
	if err != nil { // TLS, or an invalid connection, which the first read reports
		return &readWaiter{}
	}
	fds := make([]unix.PollFd, 1) // lives as long as the waiter, not as long as a packet
	return &readWaiter{raw: raw, poll: func(fd uintptr) bool {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(fds, 0)
		return n != 0 || err != nil // an error shows when the socket is read
	}}
}

// waits reports whether readable does.
func (w *readWaiter) waits() bool { return w.raw != nil }

// readable blocks until the socket can be read or is closed. Of what is no socket the read itself has to wait, with a buffer.
func (w *readWaiter) readable() error {
	if w.raw == nil {
		return nil
	}
	return w.raw.Read(w.poll)
}

func truncated(flags int) bool { return flags&unix.MSG_TRUNC != 0 }

// writeNonblocking writes what a non-blocking socket takes at once. An error counts as nothing taken: the write that follows reports it.
func writeNonblocking(fd uintptr, b []byte) int {
	n, err := unix.Write(int(fd), b)
	if err != nil {
		return 0
	}
	return n
}
