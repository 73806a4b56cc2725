//go:build linux && (amd64 || arm64)

package offload

import (
	"encoding/binary"
	"net/netip"
	"structs"
	"time"

	"github.com/cilium/ebpf"
)

// This file translates between Flow and the maps' structures, in which addresses and ports stand as they do in packets.

// address is struct address of bpf/forward.c.
type address = struct {
	_    structs.HostLayout
	Word [4]uint32
}

// Flags of forwardFlow, as bpf/forward.c has them.
const (
	flowHop uint8 = 1 << iota
	flowV6
	flowData
)

// mapEntry is where a map has the entry of one direction.
type mapEntry struct {
	entries *ebpf.Map
	key     any // pointer to forwardKey or forwardSendKey, as the map wants
}

func (p *Path) entryFor(k Key) mapEntry {
	from := keyOf(k)
	if k.Peer.IsValid() {
		return mapEntry{p.objects.Sends, &forwardSendKey{From: from, Peer: addressOf(k.Peer.Addr()), PeerPort: networkOrder(k.Peer.Port())}}
	}
	return mapEntry{p.objects.Flows, &from}
}

func keyOf(k Key) forwardKey {
	return forwardKey{
		Remote: addressOf(k.Remote.Addr()), RemotePort: networkOrder(k.Remote.Port()),
		Local: addressOf(k.Local.Addr()), LocalPort: networkOrder(k.Local.Port()),
		Channel: networkOrder(k.Channel),
	}
}

func (k *forwardKey) read() Key {
	return Key{
		Remote:  netip.AddrPortFrom(addrOf(k.Remote), networkOrder(k.RemotePort)),
		Local:   netip.AddrPortFrom(addrOf(k.Local), networkOrder(k.LocalPort)),
		Channel: networkOrder(k.Channel),
	}
}

func (k *forwardSendKey) read() Key {
	key := k.From.read()
	key.Peer = netip.AddrPortFrom(addrOf(k.Peer), networkOrder(k.PeerPort))
	return key
}

// upEntry says that a packet from the client leaves the relayed address for the peer. If the peer is a relayed address
// of this node, the packet goes on as if it had come there.
func upEntry(f *Flow, expires uint64) forwardFlow {
	from, to := f.Relayed, f.Peer
	var flags uint8
	if f.PeerRelay.IsValid() {
		from, to, flags = f.External, f.PeerRelay, flowHop
	}
	e := entryOf(f.Client, f.Local, from, to, expires)
	e.Flags |= flags
	e.Meters = f.UpMeters
	return e
}

// downEntry says that a packet from the peer leaves the listener for the client, with the channel or in a Data
// indication.
func downEntry(f *Flow, expires uint64) forwardFlow {
	e := entryOf(f.Peer, f.Relayed, f.Local, f.Client, expires)
	e.Meters = f.DownMeters
	e.Channel = networkOrder(f.Channel)
	if f.Channel == 0 {
		e.Flags |= flowData
	}
	return e
}

// entryOf is the entry for packets that come from remote to local, and leave as packets from `from` to `to`.
func entryOf(remote, local, from, to netip.AddrPort, expires uint64) forwardFlow {
	e := forwardFlow{
		Expires: expires,
		From:    addressOf(from.Addr()), FromPort: networkOrder(from.Port()),
		To: addressOf(to.Addr()), ToPort: networkOrder(to.Port()),
		SumIn:  addressSum(remote.Addr(), local.Addr()),
		SumOut: addressSum(from.Addr(), to.Addr()),
	}
	if to.Addr().Unmap().Is6() {
		e.Flags |= flowV6
	}
	return e
}

func addressOf(ip netip.Addr) (a address) {
	b := ip.As16()
	for i := range a.Word {
		a.Word[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	return a
}

func addrOf(a address) netip.Addr {
	var b [16]byte
	for i, w := range a.Word {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	return netip.AddrFrom16(b).Unmap()
}

// networkOrder swaps a word between the machine's byte order and the network's; it is its own inverse.
func networkOrder(w uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, w))
}

// addressSum is the addresses' part of an Internet checksum (RFC 1071), of words in the machine's byte order.
func addressSum(ips ...netip.Addr) uint16 {
	var sum uint32
	for _, ip := range ips {
		b := ip.Unmap().AsSlice()
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.NativeEndian.Uint16(b[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

func usageOf(f *forwardFlow) Usage {
	u := Usage{Packets: f.Packets, Bytes: f.Bytes, Dropped: uint64(f.Dropped)}
	if f.Seen != 0 {
		u.Seen = time.Now().Add(time.Duration(int64(f.Seen) - now()))
	}
	return u
}
