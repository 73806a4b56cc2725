package udpio

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// PacketInfo says that a socket on the unspecified address learns which address a packet came to, and can answer from
// it.
const PacketInfo = true

// PacketInfoSpace returns the room that the control message of one datagram takes.
func PacketInfoSpace() int { return unix.CmsgSpace(unix.SizeofInet6Pktinfo) }

// RequestPacketInfo is a net.ListenConfig's Control for sockets on the unspecified address.
func RequestPacketInfo(network, _ string, raw syscall.RawConn) error {
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

// DestinationAddr reads the address that a datagram came to from its control messages.
func DestinationAddr(control []byte) (netip.Addr, bool) {
	to := ParseHeader(control).To
	return to, to.IsValid()
}

// SendFrom makes the control message that sends a datagram from ip. The routing table chooses the interface.
func SendFrom(ip netip.Addr) []byte {
	if ip.Is4() {
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: ip.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: ip.As16()})
}
