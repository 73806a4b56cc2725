//go:build linux && (amd64 || arm64)

package turnserver

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// openReusable opens a listener's socket that shares its address with the sockets of the other loops: the kernel spreads clients
// over them, always the same client to the same socket as long as their number stays. It also says whether the socket got
// all the room for bursts that it asked for.
func openReusable(addr netip.AddrPort, anyAddr bool) (fd int, roomy bool, err error) {
	fd, err = openDatagram(addr, func(fd int, is4 bool) error {
		roomy = growBuffers(fd)
		if anyAddr {
			if err := setPacketInfo(fd, is4); err != nil {
				return err
			}
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return fd, roomy, err
}

// openRelayed opens a socket that has its address to itself, and keeps the ICMP messages that come back.
func openRelayed(addr netip.AddrPort) (int, error) { return openDatagram(addr, keepErrors) }

// openDatagram opens a UDP socket that never blocks, and binds it once it is set up.
func openDatagram(addr netip.AddrPort, setUp func(fd int, is4 bool) error) (int, error) {
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
		err = os.NewSyscallError("bind", unix.Bind(fd, sockaddr(addr)))
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// growBuffers asks for room for bursts: beyond the system's limit where the process may, else up to it. It reports whether
// that was enough.
func growBuffers(fd int) (enough bool) {
	enough = true
	for _, o := range []struct{ force, ask int }{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, listenerBuffer) == nil {
			continue
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.ask, listenerBuffer)
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, o.ask)
		enough = enough && err == nil && got >= 2*listenerBuffer // the kernel counts its own share as well (socket(7))
	}
	return enough
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zoneIndex(addr.Addr().Zone())}
}

func boundTo(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	default:
		return netip.AddrPort{}, fmt.Errorf("a socket of an unknown family, %T", sa)
	}
}
