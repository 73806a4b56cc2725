//go:build unix

package udpio

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PortSharing says that this system lets connections leave from a port that another socket listens on.
const PortSharing = true

// SharePort is a net.ListenConfig's or net.Dialer's Control. The socket can take the port of others that do the same,
// and of connections that have just ended.
func SharePort(_, _ string, conn syscall.RawConn) error {
	var err error
	if failed := conn.Control(func(fd uintptr) {
		for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
			if err == nil {
				err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1))
			}
		}
	}); failed != nil {
		return failed
	}
	return err
}
