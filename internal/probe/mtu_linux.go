package probe

import (
	"net"

	"golang.org/x/sys/unix"
)

// forbidFragments lets neither this machine nor a router cut up what a socket sends, and has the system forget what ICMP told it of
// the path. It returns why that cannot be.
func forbidFragments(conn *net.UDPConn, six bool) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if six {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			if failed == nil {
				failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
			}
			return
		}
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
