package turnserver

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// packetInfo says that one socket on the unspecified address knows which address a packet came to, and can answer from it.
const packetInfo = true

// packetInfoSpace is the room that the control message of one datagram takes.
var packetInfoSpace = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

// requestPacketInfo sets a socket up before it is bound.
func requestPacketInfo(network, _ string, raw syscall.RawConn) error {
	var err error
	controlErr := raw.Control(func(fd uintptr) { err = setPacketInfo(int(fd), network == "udp4") })
	if controlErr != nil {
		return controlErr
	}
	return err
}

func setPacketInfo(fd int, is4 bool) error {
	if is4 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
}

// destinationAddr reads the address that a datagram came to (ip(7), ipv6(7)).
func destinationAddr(control []byte) (netip.Addr, bool) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return netip.Addr{}, false
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[4:8])), true // in_pktinfo.ipi_spec_dst, the local address even for a broadcast
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])), true // in6_pktinfo.ipi6_addr
		}
		control = rest
	}
	return netip.Addr{}, false
}

// sendFrom makes the control message that sends a datagram from ip. It leaves the interface to the routing table.
func sendFrom(ip netip.Addr) []byte {
	if ip.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: ip.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: ip.As16()})
}
