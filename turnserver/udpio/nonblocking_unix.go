//go:build unix

package udpio

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// ReadWaiter waits until a socket has something to read, and holds no buffer meanwhile.
type ReadWaiter struct {
	raw  syscall.RawConn // nil: the connection is no socket
	poll func(fd uintptr) bool
}

// NewReadWaiter makes a waiter for a connection.
func NewReadWaiter(conn any) *ReadWaiter {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return &ReadWaiter{}
	}
	raw, err := socket.SyscallConn()
	if err != nil { // TLS, or an invalid connection, which the first read reports
		return &ReadWaiter{}
	}
	fds := make([]unix.PollFd, 1) // lives as long as the waiter, not as long as a packet
	return &ReadWaiter{raw: raw, poll: func(fd uintptr) bool {
		fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(fds, 0)
		return n != 0 || err != nil // an error shows when the socket is read
	}}
}

// Waits reports whether Readable waits.
func (w *ReadWaiter) Waits() bool { return w.raw != nil }

// Readable blocks until the socket can be read or is closed. Where the connection is no socket, it returns at once, and
// the read must wait with a buffer.
func (w *ReadWaiter) Readable() error {
	if w.raw == nil {
		return nil
	}
	return w.raw.Read(w.poll)
}

// LazyReader reads a socket of package net, and takes a buffer only once there is something to read. It belongs to one
// goroutine.
type LazyReader struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool // made once, not for each read

	n   int
	err error
}

// NewLazyReader makes a reader, or returns nil if conn is no socket that it can read. lend returns the buffer to read
// into, and back takes it back when nothing has come after all.
func NewLazyReader(conn any, lend func() []byte, back func()) *LazyReader {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	r := &LazyReader{raw: raw}
	r.read = func(fd uintptr) bool {
		r.n, r.err = readNow(int(fd), lend())
		if r.n <= 0 {
			back()
		}
		return r.err != unix.EAGAIN
	}
	return r
}

// readNow reads what has come.
func readNow(fd int, b []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

// Read waits until something has come, and returns how many bytes of it are in the buffer that lend returned. The
// buffer is the caller's until the next Read. After an error no buffer is lent. The error is io.EOF at the end.
func (r *LazyReader) Read() (int, error) {
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.read); err != nil {
		return 0, err
	}
	if r.n <= 0 && r.err == nil {
		return 0, io.EOF
	}
	return max(r.n, 0), r.err
}

// Truncated reports whether a datagram that was read with flags did not fit its buffer.
func Truncated(flags int) bool { return flags&unix.MSG_TRUNC != 0 }

// WriteNonblocking writes as much as a non-blocking socket takes at once, and returns how much that is: 0 after an
// error, which the next write reports.
func WriteNonblocking(fd uintptr, b []byte) int {
	n, err := unix.Write(int(fd), b)
	if err != nil {
		return 0
	}
	return n
}
