//go:build linux && (amd64 || arm64)

package turnserver

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"turnpike/turnserver/wire"
)

// keepErrors has the kernel queue the ICMP messages that a relayed socket's datagrams draw (ip(7), IP_RECVERR). That they shrink nothing,
// because anyone may forge them, is setHeaderInfo's doing.
//
// To such a socket, the kernel also returns a message's error from the next call, as if that one had failed; see sendBatch.send. With
// path MTU discovery off it does not queue ICMPv6's "packet too big".
func keepErrors(fd int, is4 bool) error {
	if is4 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// forbidFragments sets whether what the socket sends may be fragmented, here and for IPv4 by routers. That a datagram is too large for
// the first link then fails; no path MTU is remembered either way.
func forbidFragments(fd int, is4, forbid bool) error {
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

// mayBeICMP reports whether a call may have failed because of an ICMP message for an earlier datagram.
func mayBeICMP(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENONET, unix.ENOPROTOOPT,
		unix.EOPNOTSUPP, unix.EPROTO, unix.EMSGSIZE, unix.EACCES:
		return true
	default:
		return false
	}
}

// errorBatches bounds how much of an error queue is read before others have their turn. What is left is read when the next message, or
// the next datagram, comes.
const errorBatches = 4

// serveErrors reads the error queue of a relayed socket.
func (l *loop) serveErrors(fd int) {
	r := l.relays[int32(fd)]
	if r == nil {
		return
	}
	for range errorBatches {
		n, more := l.in.readErrors(fd)
		for i := range n {
			if m, ok := l.in.icmp(i); ok {
				r.alloc.fromICMP(l.worker, &m, &r.told)
			} else {
				l.worker.counters.drop(dropICMP)
			}
		}
		if !more {
			return
		}
	}
}

// icmp returns the ICMP message that entry i of an error queue is.
func (b *recvBatch) icmp(i int) (wire.ICMPMessage, bool) {
	h := &b.headers[i].hdr
	if h.Namelen == 0 {
		return wire.ICMPMessage{}, false
	}
	return parseICMP(b.controls[i][:h.Controllen], wire.EndpointOf(decodeSockaddr(&b.names[i])))
}

// parseICMP reads struct sock_extended_err (recvmsg(2)): the error, four bytes, then origin, type, code and padding, then, for messages
// that are about it, the MTU.
func parseICMP(control []byte, peer wire.Endpoint) (wire.ICMPMessage, bool) {
	for len(control) >= unix.SizeofCmsghdr { // which the parser does not check
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		is4 := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR
		is6 := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR
		if !is4 && !is6 || len(data) < 12 || is4 != peer.Is4() {
			continue
		}
		errno, mtu := unix.Errno(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint32(data[8:])
		switch origin := data[4]; {
		case is4 && origin == unix.SO_EE_ORIGIN_ICMP, is6 && origin == unix.SO_EE_ORIGIN_ICMP6:
			return wire.NewICMPMessage(peer, data[5], data[6], mtu), true
		case origin != unix.SO_EE_ORIGIN_LOCAL || errno != unix.EMSGSIZE: // what may not be fragmented and is too large for the first link
		case is4:
			return wire.NewICMPMessage(peer, wire.ICMPv4Unreachable, wire.ICMPv4TooBig, mtu), true
		default:
			return wire.NewICMPMessage(peer, wire.ICMPv6TooBig, 0, mtu), true
		}
	}
	return wire.ICMPMessage{}, false
}
