package udpio

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// OpenShared opens a listener's socket that shares its address with the sockets of other loops. The kernel spreads
// clients over them, and a client's packets come to one socket for as long as the number of sockets stays. anyAddr asks
// for packet information. roomy says whether the socket got all the room for bursts that it asked for.
func OpenShared(addr netip.AddrPort, anyAddr bool) (fd int, roomy bool, err error) {
	fd, err = open(addr, func(fd int, is4 bool) error {
		received := grow(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, ListenerBuffer)
		roomy = grow(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, ListenerBuffer) && received
		if anyAddr {
			if err := setPacketInfo(fd, is4); err != nil {
				return err
			}
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return fd, roomy, err
}

// OpenRelayed opens a socket that has its address for itself, and keeps the ICMP messages that come back. roomy says
// whether the socket got all the room for bursts from peers that it asked for.
func OpenRelayed(addr netip.AddrPort) (fd int, roomy bool, err error) {
	fd, err = open(addr, func(fd int, is4 bool) error {
		roomy = grow(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, RelayedBuffer)
		return keepErrors(fd, is4)
	})
	return fd, roomy, err
}

// open opens a UDP socket that never blocks, and binds it once it is set up.
func open(addr netip.AddrPort, setUp func(fd int, is4 bool) error) (int, error) {
	is4 := addr.Addr().Is4()
	domain := unix.AF_INET6
	if is4 {
		domain = unix.AF_INET
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if !is4 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = setHeaderInfo(fd, is4)
	}
	if err == nil {
		err = setUp(fd, is4)
	}
	err = os.NewSyscallError("setsockopt", err)
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, Sockaddr(addr)))
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// grow asks for a buffer of so many bytes, beyond the system's limit if the process may, else up to it. It reports
// whether the socket has got it.
func grow(fd, force, ask, bytes int) bool {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bytes) == nil {
		return true
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ask, bytes)
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, ask)
	return err == nil && got >= 2*bytes // the kernel also counts its own share (socket(7))
}

// ForbidFragments sets whether this host, and for IPv4 routers, may fragment what the socket sends. If they must not, a
// datagram fails that is too large for the first link. Either way, the kernel remembers no path MTU.
func ForbidFragments(fd int, is4, forbid bool) error {
	if !is4 {
		value := 0
		if forbid {
			value = 1
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, value)
	}
	value := unix.IP_PMTUDISC_OMIT
	if forbid {
		value = unix.IP_PMTUDISC_PROBE
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, value)
}
