//go:build unix

package signal

import (
	"errors"
	"io"
	"os"
	"syscall"
)

const canReadRaw = true

// fill waits until the socket is readable, and reads. It takes a buffer only for as long as a read takes, unless that
// brings something.
func (c *lazyConn) fill() error {
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
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
			failed = os.NewSyscallError("read", err)
		case n == 0:
			failed = io.EOF
		default:
			c.buffer, c.ahead = buffer, buffer[:n]
			return true
		}
		c.pool.Put(buffer)
		return true
	})
	if err != nil {
		return err
	}
	return failed
}
