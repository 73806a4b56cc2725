//go:build !unix

package udpio

// ReadWaiter cannot wait without a buffer here: the read itself blocks, holding one.
type ReadWaiter struct{}

func NewReadWaiter(any) *ReadWaiter { return &ReadWaiter{} }

func (*ReadWaiter) Waits() bool { return false }

func (*ReadWaiter) Readable() error { return nil }

// Truncated is always false: these systems report a datagram that does not fit as an error.
func Truncated(int) bool { return false }

// WriteNonblocking leaves writing to the goroutine that may block.
func WriteNonblocking(uintptr, []byte) int { return 0 }
