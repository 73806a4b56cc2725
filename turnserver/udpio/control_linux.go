package udpio

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// setHeaderInfo asks the kernel for the class and hop limit of every datagram. It also turns path MTU discovery off:
// the two ends of a relayed flow discover the path themselves. Anybody can forge an ICMP message, which must not shrink
// what this socket sends to all.
func setHeaderInfo(fd int, is4 bool) error {
	options := []struct{ level, name, value int }{
		{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
		{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT},
	}
	if is4 {
		options = []struct{ level, name, value int }{
			{unix.IPPROTO_IP, unix.IP_RECVTOS, 1},
			{unix.IPPROTO_IP, unix.IP_RECVTTL, 1},
			{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// ParseHeader reads the control messages of a datagram (ip(7), ipv6(7)).
func ParseHeader(control []byte) (h Header) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return h
		}
		control = rest
		switch header.Level {
		case unix.IPPROTO_IP:
			switch {
			case header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
				h.To = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst, the local address even for a broadcast
			case header.Type == unix.IP_TOS && len(data) >= 1:
				h.Class = data[0]
			case header.Type == unix.IP_TTL && len(data) >= 4:
				h.HopLimit = uint8(binary.NativeEndian.Uint32(data))
			}
		case unix.IPPROTO_IPV6:
			switch {
			case header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
				h.To = netip.AddrFrom16([16]byte(data[:16]))
			case header.Type == unix.IPV6_TCLASS && len(data) >= 4:
				h.Class = uint8(binary.NativeEndian.Uint32(data))
			case header.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
				h.HopLimit = uint8(binary.NativeEndian.Uint32(data))
			}
		}
	}
	return h
}

// put writes the control messages that send a packet on with h, and one hop less. It returns the room that they take.
func (h *Header) put(b []byte, is4 bool) (n int) {
	level, class, hopLimit := unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_HOPLIMIT
	if is4 {
		level, class, hopLimit = unix.IPPROTO_IP, unix.IP_TOS, unix.IP_TTL
	}
	if h.Class != 0 {
		n += putControlInt(b[n:], level, class, uint32(h.Class))
	}
	if h.HopLimit != 0 {
		n += putControlInt(b[n:], level, hopLimit, uint32(h.HopLimit-1))
	}
	return n
}

func putControlInt(b []byte, level, typ int, value uint32) int {
	putControlHeader(b, level, typ, 4)
	binary.NativeEndian.PutUint32(b[unix.SizeofCmsghdr:], value)
	return unix.CmsgSpace(4)
}

// putControlHeader writes a struct cmsghdr for a message of size bytes: a length of 8 bytes, or 4 on 32-bit systems,
// then level and type of four bytes each.
func putControlHeader(b []byte, level, typ, size int) {
	rest := b[unix.SizeofCmsghdr-8:]
	if unix.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(size)))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(size)))
	}
	binary.NativeEndian.PutUint32(rest, uint32(level))
	binary.NativeEndian.PutUint32(rest[4:], uint32(typ))
}
