package path

import (
	"encoding/binary"
	"net/netip"
)

// kind says who gets a packet.
type kind uint8

const (
	dropped kind = iota
	toQUIC
	toICE    // STUN between peers
	toServer // STUN of a STUN or TURN server
)

// Ranges of the first byte (RFC 9443 §3). ChannelData and QUIC share 64 to 79: the source tells them apart.
const (
	stunLast    = 3
	channelLow  = 64
	channelHigh = 79
	quicLow     = 64
)

const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112a442
	maxChannel    = 0x4fff
)

func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] <= stunLast && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// isAnswer tells whether a STUN message is the success response to a Binding request.
func isAnswer(b []byte) bool { return len(b) >= stunHeader && b[0] == 1 && b[1] == 1 }

func isQUIC(b []byte) bool { return len(b) > 0 && b[0] >= quicLow }

// channelData takes a ChannelData message apart. Bytes beyond the length that it states are padding.
func channelData(b []byte) (channel uint16, data []byte, ok bool) {
	if len(b) < channelHeader || b[0] < channelLow || b[0] > channelHigh {
		return 0, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-channelHeader {
		return 0, nil, false
	}
	return binary.BigEndian.Uint16(b), b[channelHeader : channelHeader+n], true
}

// appendChannelData puts each segment of b into a ChannelData message of its own. Only the last may be shorter.
func appendChannelData(to []byte, channel uint16, b []byte, segment int) []byte {
	for len(b) > 0 {
		n := min(segment, len(b))
		to = binary.BigEndian.AppendUint16(to, channel)
		to = binary.BigEndian.AppendUint16(to, uint16(n))
		to = append(to, b[:n]...)
		b = b[n:]
	}
	return to
}

// sources is what the reader knows of addresses. It never changes: a new one takes its place.
type sources struct {
	servers map[netip.AddrPort]*server
	peers   map[netip.AddrPort]struct{} // Each has sent an authenticated check.
}

// classify judges a packet that came to the socket. The source decides first. For a packet in a channel it returns what
// is inside, with the address of the peer.
func (s *sources) classify(from netip.AddrPort, b []byte) (k kind, data []byte, srv *server, peer netip.AddrPort) {
	if srv := s.servers[from]; srv != nil {
		if isSTUN(b) {
			return toServer, b, srv, from
		}
		channel, data, ok := channelData(b)
		if !ok {
			return dropped, nil, nil, from
		}
		peer, ok := srv.peerOf(channel)
		switch {
		case !ok:
			return dropped, nil, nil, from
		case isSTUN(data):
			return toICE, data, srv, peer
		case isQUIC(data) && s.knows(peer):
			return toQUIC, data, srv, peer
		}
		return dropped, nil, nil, peer
	}
	switch {
	case isSTUN(b):
		return toICE, b, nil, from
	case isQUIC(b) && s.knows(from):
		return toQUIC, b, nil, from
	}
	return dropped, nil, nil, from
}

func (s *sources) knows(a netip.AddrPort) bool {
	_, ok := s.peers[a]
	return ok
}

func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
