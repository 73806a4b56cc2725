//go:build !unix

package udpio

import "syscall"

// PortSharing is false where a port that two sockets share is open to every other program, too.
const PortSharing = false

func SharePort(string, string, syscall.RawConn) error { return nil }
