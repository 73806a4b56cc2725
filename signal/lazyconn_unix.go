//go:build unix

package signal

import (
	"errors"
	"io"
	"os"
	"syscall"
)

const canReadRaw = true

// fill waits until the socket is readable, and reads.
func (c *lazyConn) fill() error {
	c.failed = nil
	if err := c.raw.Read(c.readRaw); err != nil {
		return err
	}
	return c.failed
}

// readRaw reads once, and reports false if nothing is there. It takes a buffer only for as long as the read takes, unless that
// brings something.
func (c *lazyConn) readRaw(fd uintptr) bool {
	buffer := c.pool.Get().(*[readAhead]byte)
	n, err := syscall.Read(int(fd), buffer[:])
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), buffer[:])
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		c.pool.Put(buffer)
		return false
	case err != nil:
		c.failed = os.NewSyscallError("read", err)
	case n == 0:
		c.failed = io.EOF
	default:
		c.buffer, c.ahead = buffer, buffer[:n]
		return true
	}
	c.pool.Put(buffer)
	return true
}
