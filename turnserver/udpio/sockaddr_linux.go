package udpio

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sockaddrSpace is the room for a sockaddr_in6, the longer of the two kinds.
const sockaddrSpace = unix.SizeofSockaddrInet6

// decodeSockaddr reads a sockaddr_in or sockaddr_in6. The family is in the machine's byte order, the port in the
// network's.
func decodeSockaddr(raw *[sockaddrSpace]byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(raw[2:])
	if binary.NativeEndian.Uint16(raw[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(raw[8:24]))
	if zone := binary.NativeEndian.Uint32(raw[24:]); zone != 0 {
		ip = ip.WithZone(strconv.Itoa(int(zone)))
	}
	return netip.AddrPortFrom(ip, port)
}

// encodeSockaddr is the inverse of decodeSockaddr. It returns the length.
func encodeSockaddr(raw *[sockaddrSpace]byte, addr netip.AddrPort) uint32 {
	binary.BigEndian.PutUint16(raw[2:], addr.Port())
	ip := addr.Addr()
	if ip.Is4() {
		binary.NativeEndian.PutUint16(raw[:], unix.AF_INET)
		v4 := ip.As4()
		copy(raw[4:], v4[:])
		clear(raw[8:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(raw[:], unix.AF_INET6)
	clear(raw[4:8])
	v6 := ip.As16()
	copy(raw[8:], v6[:])
	binary.NativeEndian.PutUint32(raw[24:], zoneIndex(ip.Zone()))
	return unix.SizeofSockaddrInet6
}

// zoneIndex is the number of the interface that a link-local address belongs to.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// Sockaddr is an address as package unix takes it.
func Sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16(), ZoneId: zoneIndex(addr.Addr().Zone())}
}

// BoundTo returns the local address of a socket.
func BoundTo(fd int) (netip.AddrPort, error) {
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
