//go:build unix

package signal

import (
	"io"
	"os"
	"syscall"
)

const canReadRaw = true

// fill waits until the socket is readable, and reads.
func (c *lazyConn) fill() error {
	c.failed = nil
	if err := c.raw.Read(c.doRead); err != nil {
		return err
	}
	return c.failed
}

// readRaw reads once, and reports false if nothing is there. It takes a buffer only for as long as the read takes, unless that
// brings something.
func (c *lazyConn) readRaw(fd uintptr) bool {
	buffer := c.pool.Get().(*[readAhead]byte)
	n, err := readNow(int(fd), buffer[:])
	switch {
	case err == syscall.EAGAIN:
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

// peekRaw reports whether there is something to read, be it an error.
func (c *lazyConn) peekRaw(fd uintptr) bool { return peekNow(int(fd)) != syscall.EAGAIN }

// writeAtOnce writes as much as the socket takes now.
func (c *lazyConn) writeAtOnce(b []byte) (n int, err error) {
	c.writing = b
	failed := c.raw.Write(c.doWrite)
	n, err = c.wrote, c.failedWrite
	c.writing, c.wrote, c.failedWrite = nil, 0, nil
	if failed != nil {
		return 0, failed
	}
	return n, err
}

func (c *lazyConn) writeRaw(fd uintptr) bool {
	n, err := writeNow(int(fd), c.writing)
	if err != nil && err != syscall.EAGAIN {
		c.failedWrite = os.NewSyscallError("write", err)
	}
	c.wrote = n
	return true
}
