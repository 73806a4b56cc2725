//go:build !unix

package turnserver

import "syscall"

// tcpRelaying is false where a port that two sockets share is open to every other program, too.
const tcpRelaying = false

func sharePort(string, string, syscall.RawConn) error { return nil }
