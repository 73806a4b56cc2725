package udpio

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ICMP is what an ICMP message, or the kernel itself, says of a datagram that a socket has sent.
type ICMP struct {
	To         netip.AddrPort // of the datagram
	Type, Code uint8
	MTU        uint32 // of the next hop, if type and code are about it
}

// The types and codes for a datagram that is too large for a link.
const (
	icmpv4Unreachable = 3
	icmpv4TooBig      = 4 // a code of icmpv4Unreachable
	icmpv6TooBig      = 2
)

// keepErrors lets the kernel queue the ICMP messages that the datagrams of a relayed socket draw (ip(7), IP_RECVERR).
// Anybody can forge such messages; setHeaderInfo sees to it that they shrink nothing.
//
// The kernel also returns a message's error from the socket's next call, as if that call had failed; see Sender.send.
// With path MTU discovery off, it does not queue "packet too big" of ICMPv6.
func keepErrors(fd int, is4 bool) error {
	if is4 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// ICMP returns the ICMP message that the last ReadErrors put at i, or reports false if it is of another kind.
func (r *Reader) ICMP(i int) (ICMP, bool) {
	if r.headers[i].hdr.Namelen == 0 {
		return ICMP{}, false
	}
	return parseICMP(r.control(i), decodeSockaddr(&r.names[i]))
}

// parseICMP reads struct sock_extended_err (recvmsg(2)): four bytes of error, then origin, type, code and padding, then
// the MTU, for messages that are about one.
func parseICMP(control []byte, to netip.AddrPort) (ICMP, bool) {
	for len(control) >= unix.SizeofCmsghdr { // the parser does not check it
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		is4 := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR
		is6 := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR
		if !is4 && !is6 || len(data) < 12 || is4 != to.Addr().Unmap().Is4() {
			continue
		}
		errno, mtu := unix.Errno(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[8:])
		switch origin := data[4]; {
		case is4 && origin == unix.SO_EE_ORIGIN_ICMP, is6 && origin == unix.SO_EE_ORIGIN_ICMP6:
			return ICMP{to, data[5], data[6], mtu}, true
		case origin != unix.SO_EE_ORIGIN_LOCAL || errno != unix.EMSGSIZE: // LOCAL with EMSGSIZE: too large for the first link, and not to be fragmented
		case is4:
			return ICMP{to, icmpv4Unreachable, icmpv4TooBig, mtu}, true
		default:
			return ICMP{to, icmpv6TooBig, 0, mtu}, true
		}
	}
	return ICMP{}, false
}
