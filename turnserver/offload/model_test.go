package offload

import (
	"encoding/binary"
	"net/netip"
)

// datagram is a UDP datagram with what matters of its headers.
type datagram struct {
	from, to    netip.AddrPort
	class, hops uint8
	data        []byte
	noChecksum  bool // over IPv4
}

const ethernetSize = 14

// frame builds the Ethernet frame that carries d. It is sent to hardware address zero, the loopback interface's.
func (d datagram) frame() []byte {
	udp := binary.BigEndian.AppendUint16(nil, d.from.Port())
	udp = binary.BigEndian.AppendUint16(udp, d.to.Port())
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(d.data)))
	udp = append(udp, 0, 0)
	udp = append(udp, d.data...)
	ip := d.ipHeader(len(udp))
	if !d.noChecksum {
		sum := ^onesSum(pseudoHeader(d.from.Addr(), d.to.Addr(), len(udp)), udp)
		if sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(udp[6:], sum)
	}
	typ := []byte{0x08, 0x00}
	if d.to.Addr().Is6() {
		typ = []byte{0x86, 0xdd}
	}
	frame := append(make([]byte, 12), typ...)
	return append(append(frame, ip...), udp...)
}

func (d datagram) ipHeader(payload int) []byte {
	from, to := d.from.Addr().AsSlice(), d.to.Addr().AsSlice()
	if d.to.Addr().Is6() {
		h := binary.BigEndian.AppendUint32(nil, 6<<28|uint32(d.class)<<20)
		h = binary.BigEndian.AppendUint16(h, uint16(payload))
		h = append(h, 17, d.hops)
		return append(append(h, from...), to...)
	}
	h := []byte{0x45, d.class}
	h = binary.BigEndian.AppendUint16(h, uint16(20+payload))
	h = append(h, 0, 0, 0x40, 0, d.hops, 17, 0, 0)
	h = append(append(h, from...), to...)
	binary.BigEndian.PutUint16(h[10:], ^onesSum(h))
	return h
}

// parseFrame reads a frame that carries a UDP datagram and nothing unusual, or returns false. It is the inverse of frame, and leaves
// the UDP checksum to syndrome.
func parseFrame(frame []byte) (d datagram, ok bool) {
	if len(frame) < ethernetSize || [6]byte(frame) != [6]byte{} {
		return d, false
	}
	ip, size := frame[ethernetSize:], 20
	var from, to netip.Addr
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		if len(ip) < 20 || ip[0] != 0x45 || ip[9] != 17 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || onesSum(ip[:20]) != 0xffff {
			return d, false
		}
		if binary.BigEndian.Uint16(ip[6:])&^0x4000 != 0 {
			return d, false
		}
		d.class, d.hops = ip[1], ip[8]
		from, to = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	case 0x86dd:
		size = 40
		if len(ip) < 40 || ip[0]>>4 != 6 || ip[6] != 17 || int(binary.BigEndian.Uint16(ip[4:])) != len(ip)-40 {
			return d, false
		}
		d.class, d.hops = ip[0]<<4|ip[1]>>4, ip[7]
		from, to = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	default:
		return d, false
	}
	udp := ip[size:]
	if len(udp) < 8 || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
		return d, false
	}
	d.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(udp))
	d.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(udp[2:]))
	d.data = udp[8:]
	d.noChecksum = binary.BigEndian.Uint16(udp[6:]) == 0
	return d, true
}

// syndrome is the sum that tells a right UDP checksum, for which it is 0xffff, from wrong ones.
func syndrome(frame []byte) uint16 {
	d, _ := parseFrame(frame)
	udp := frame[len(frame)-len(d.data)-8:]
	return onesSum(pseudoHeader(d.from.Addr(), d.to.Addr(), len(udp)), udp)
}

func pseudoHeader(from, to netip.Addr, size int) []byte {
	b := append(from.AsSlice(), to.AsSlice()...)
	return append(b, 0, 17, byte(size>>8), byte(size))
}

// onesSum is the one's complement sum of 16-bit words (RFC 1071); each part but the last is of even size.
func onesSum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for ; len(p) > 1; p = p[2:] {
			sum += uint32(binary.BigEndian.Uint16(p))
		}
		if len(p) == 1 {
			sum += uint32(p[0]) << 8
		}
		for sum>>16 != 0 {
			sum = sum&0xffff + sum>>16
		}
	}
	return uint16(sum)
}

// model is what the program is to do, with Go's words: the flows that it knows, all of them alive and confirmed.
type model struct {
	flows []Flow
	mtu   int
}

// relay says what becomes of a frame: the datagram that is sent on, or false if the frame is passed up.
func (m model) relay(frame []byte) (datagram, bool) {
	in, ok := parseFrame(frame)
	if !ok || len(in.data) < 4 {
		return datagram{}, false
	}
	out, ok := m.up(in)
	if !ok {
		out, ok = m.down(in)
	}
	if !ok || in.hops <= 1 {
		return datagram{}, false
	}
	out.class, out.hops, out.noChecksum = in.class, in.hops-1, in.noChecksum
	header := 20
	if out.to.Addr().Is6() {
		header = 40
	}
	return out, header+8+len(out.data) <= m.mtu
}

// up is the way of ChannelData from a client.
func (m model) up(in datagram) (datagram, bool) {
	channel, size := binary.BigEndian.Uint16(in.data), int(binary.BigEndian.Uint16(in.data[2:]))
	for _, f := range m.flows {
		if in.from != f.Client || in.to != f.Local || channel != f.Channel {
			continue
		}
		if padding := len(in.data) - 4 - size; size == 0 || padding < 0 || padding > 3 {
			return datagram{}, false
		}
		data := in.data[4 : 4+size]
		if !f.PeerRelay.IsValid() {
			return datagram{from: f.Relayed, to: f.Peer, data: data}, !in.noChecksum || in.to.Addr().Is4() && f.Peer.Addr().Is4()
		}
		out, ok := m.down(datagram{from: f.External, to: f.PeerRelay, data: data})
		return out, ok && !in.noChecksum
	}
	return datagram{}, false
}

// down is the way of a peer's datagram.
func (m model) down(in datagram) (datagram, bool) {
	for _, f := range m.flows {
		if in.from != f.Peer || in.to != f.Relayed {
			// In a hop, a peer is known by one address and comes from it.
			continue
		}
		header := binary.BigEndian.AppendUint16(nil, f.Channel)
		header = binary.BigEndian.AppendUint16(header, uint16(len(in.data)))
		bothIPv4 := in.to.Addr().Is4() && f.Client.Addr().Is4()
		return datagram{from: f.Local, to: f.Client, data: append(header, in.data...)}, !in.noChecksum || bothIPv4
	}
	return datagram{}, false
}
