//go:build !unix

package turnserver

import "net"

// readWaiter cannot wait without a buffer here: the read itself blocks, holding one.
type readWaiter struct{}

func newReadWaiter(*net.UDPConn) *readWaiter { return &readWaiter{} }

func (*readWaiter) readable() error { return nil }

// truncated is always false: these systems report a datagram that does not fit as an error.
func truncated(int) bool { return false }
