//go:build !unix

package udpio

import "net"

// ReadWaiter cannot wait without a buffer here: the read itself blocks and holds one.
type ReadWaiter struct{}

// NewReadWaiter makes a waiter.
func NewReadWaiter(any) *ReadWaiter { return &ReadWaiter{} }

// Waits is always false.
func (*ReadWaiter) Waits() bool { return false }

// Readable returns at once.
func (*ReadWaiter) Readable() error { return nil }

// LazyReader cannot be had here.
type LazyReader struct{}

// NewLazyReader always returns nil.
func NewLazyReader(any, func() []byte, func()) *LazyReader { return nil }

// Read is never called.
func (*LazyReader) Read() (int, error) { return 0, net.ErrClosed }

// Truncated is always false: these systems report a datagram that does not fit as an error.
func Truncated(int) bool { return false }

// WriteNonblocking writes nothing, and leaves it to a goroutine that may block.
func WriteNonblocking(uintptr, []byte) int { return 0 }
