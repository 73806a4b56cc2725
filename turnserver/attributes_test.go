package turnserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// attribute is one attribute as it is.
type attribute struct {
	typ   stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.typ, a.value)
	return nil
}

func transport(protocol byte) attribute {
	return attribute{stun.AttrRequestedTransport, []byte{protocol, 0, 0, 0}}
}

func addressFamily(f wire.Family) attribute {
	return attribute{stun.AttrRequestedAddressFamily, []byte{byte(f), 0, 0, 0}}
}

func lifetime(seconds uint32) attribute {
	return attribute{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, seconds)}
}

func channelNumber(n uint16) attribute {
	return attribute{stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0}}
}

// peerAddr is an XOR-PEER-ADDRESS as pion encodes it.
type peerAddr netip.AddrPort

func (p peerAddr) AddTo(m *stun.Message) error {
	ap := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: ap.Addr().AsSlice(), Port: int(ap.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func peersOf(peers ...netip.AddrPort) (out []stun.Setter) {
	for _, p := range peers {
		out = append(out, peerAddr(p))
	}
	return out
}
