//go:build !unix

package turnserver

// readWaiter cannot wait without a buffer here: the read itself blocks, holding one.
type readWaiter struct{}

func newReadWaiter(any) *readWaiter { return &readWaiter{} }

func (*readWaiter) waits() bool { return false }

func (*readWaiter) readable() error { return nil }

// truncated is always false: these systems report a datagram that does not fit as an error.
func truncated(int) bool { return false }

// writeNonblocking leaves writing to the goroutine that may block.
func writeNonblocking(uintptr, []byte) int { return 0 }
