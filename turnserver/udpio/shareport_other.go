//go:build !unix

package udpio

import "syscall"

// PortSharing is false: on these systems, a port that two sockets share is open to every other program, too.
const PortSharing = false

// SharePort does nothing.
func SharePort(string, string, syscall.RawConn) error { return nil }
