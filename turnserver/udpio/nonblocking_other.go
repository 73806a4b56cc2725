//go:build !unix

package udpio

// ReadWaiter cannot wait without a buffer here: the read itself blocks and holds one.
type ReadWaiter struct{}

// NewReadWaiter makes a waiter.
func NewReadWaiter(any) *ReadWaiter { return &ReadWaiter{} }

// Waits is always false.
func (*ReadWaiter) Waits() bool { return false }

// Readable returns at once.
func (*ReadWaiter) Readable() error { return nil }

// Truncated is always false: these systems report a datagram that does not fit as an error.
func Truncated(int) bool { return false }

// WriteNonblocking writes nothing, and leaves it to a goroutine that may block.
func WriteNonblocking(uintptr, []byte) int { return 0 }
