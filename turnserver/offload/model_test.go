package offload

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/pion/stun/v3"
)

// datagram is a UDP datagram with the parts of its headers that matter.
type datagram struct {
	from, to    netip.AddrPort
	class, hops uint8
	data        []byte
	noChecksum  bool // over IPv4
	indication  bool // the data is a Data indication, whose id is zero here and random in the program's
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

// parseFrame reads a frame that carries a UDP datagram and nothing unusual, or returns false. It is the inverse of
// frame, and leaves the UDP checksum to syndrome.
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

// model does in Go what the program must do, with the flows that it knows, all of them alive and confirmed.
type model struct {
	flows []Flow
	mtu   int
}

// relay returns the datagram that a frame becomes, or false if the program must pass the frame up.
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

// up relays a client's datagram.
func (m model) up(in datagram) (datagram, bool) {
	for _, f := range m.flows {
		if in.from != f.Client || in.to != f.Local {
			continue
		}
		data, ok := unwrap(f, in.data)
		if !ok {
			continue
		}
		if len(data) == 0 {
			return datagram{}, false
		}
		if !f.PeerRelay.IsValid() {
			return datagram{from: f.Relayed, to: f.Peer, data: data}, !in.noChecksum || in.to.Addr().Is4() && f.Peer.Addr().Is4()
		}
		out, ok := m.down(datagram{from: f.External, to: f.PeerRelay, data: data})
		return out, ok && !in.noChecksum
	}
	return datagram{}, false
}

// down relays a peer's datagram.
func (m model) down(in datagram) (datagram, bool) {
	for _, f := range m.flows {
		if in.from != f.Peer || in.to != f.Relayed {
			// In a hop, a peer is known by one address and comes from it.
			continue
		}
		bothIPv4 := in.to.Addr().Is4() && f.Client.Addr().Is4()
		return datagram{from: f.Local, to: f.Client, data: wrap(f, in.data), indication: f.Channel == 0}, !in.noChecksum || bothIPv4
	}
	return datagram{}, false
}

// unwrap returns the data that a client sends in a flow, or false if it is not of the flow, or not in the usual form.
func unwrap(f Flow, b []byte) (data []byte, ok bool) {
	if f.Channel == 0 {
		peer, data, ok := readSend(b)
		return data, ok && peer == f.Peer
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	padding := len(b) - 4 - size
	if binary.BigEndian.Uint16(b) != f.Channel || padding < 0 || padding > 3 {
		return nil, false
	}
	return b[4 : 4+size], true
}

// wrap returns the message that the client of a flow gets for data from the peer.
func wrap(f Flow, data []byte) []byte {
	if f.Channel == 0 {
		return indication(stun.MethodData, f.Peer, data, [stun.TransactionIDSize]byte{})
	}
	return channelData(f.Channel, data, 0)
}

// channelData frames data for a channel.
func channelData(channel uint16, data []byte, padding int) []byte {
	b := binary.BigEndian.AppendUint16(nil, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(append(b, data...), bytes.Repeat([]byte{0xa5}, padding)...)
}

// readSend reads a Send indication that has a peer and data, in this order, and nothing else but perhaps a FINGERPRINT.
func readSend(b []byte) (peer netip.AddrPort, data []byte, ok bool) {
	m := stun.Message{Raw: bytes.Clone(b)}
	if m.Decode() != nil || len(b) != 20+int(m.Length) || binary.BigEndian.Uint16(b) != 0x0016 || len(m.Attributes) < 2 {
		return peer, nil, false
	}
	for _, more := range m.Attributes[2:] {
		if more.Type != stun.AttrFingerprint || more.Length != 4 || len(m.Attributes) > 3 {
			return peer, nil, false
		}
	}
	var address stun.XORMappedAddress
	first, second := m.Attributes[0], m.Attributes[1]
	if first.Type != stun.AttrXORPeerAddress || second.Type != stun.AttrData || address.GetFromAs(&m, stun.AttrXORPeerAddress) != nil {
		return peer, nil, false
	}
	if size := map[bool]int{true: 8, false: 20}[len(address.IP) == net.IPv4len]; int(first.Length) != size {
		return peer, nil, false
	}
	ip, _ := netip.AddrFromSlice(address.IP)
	return netip.AddrPortFrom(ip, uint16(address.Port)), second.Value, true
}

// indication is a Send or Data indication about a peer.
func indication(method stun.Method, peer netip.AddrPort, data []byte, id [stun.TransactionIDSize]byte) []byte {
	m := stun.New()
	m.Type = stun.NewType(method, stun.ClassIndication)
	m.TransactionID = id
	m.WriteHeader()
	address := stun.XORMappedAddress{IP: peer.Addr().AsSlice(), Port: int(peer.Port())}
	if err := address.AddToAs(m, stun.AttrXORPeerAddress); err != nil {
		panic(err)
	}
	m.Add(stun.AttrData, data)
	return m.Raw
}

// withoutID returns a Data indication as it would be with the id zero, or nil if it is none about a peer with data.
func withoutID(b []byte) []byte {
	if len(b) < 36 {
		return nil
	}
	out := bytes.Clone(b)
	clear(out[8:20])
	if binary.BigEndian.Uint16(b[24:]) == 2 && len(b) >= 48 {
		for i := range 12 {
			out[32+i] ^= b[8+i]
		}
	}
	return out
}
