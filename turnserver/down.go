package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
)

// carrier is how data from a peer travels to the client.
type carrier uint8

const (
	carryNothing    carrier = iota // no permission
	carryChannel                   // ChannelData
	carryIndication                // Data indication
)

// fromPeer relays buf[start:end], which peer sent to the relayed address.
func (a *allocation) fromPeer(w *worker, buf []byte, start, end int, peer endpoint) {
	how, channel := a.carrierFor(peer, w.now())
	a.toClient(w, how, channel, buf, start, end, peer)
}

// fromRelay relays buf[start:end], which another allocation of this node sent here. Permissions and channels name
// it by the address that peers see, or, if this client knows the inside of a 1:1 NAT, by the local one.
func (a *allocation) fromRelay(w *worker, from *relayed, buf []byte, start, end int) {
	peer := from.external
	how, channel := a.carrierFor(peer, w.now())
	if how == carryNothing && from.local != peer {
		peer = from.local
		how, channel = a.carrierFor(peer, w.now())
	}
	a.toClient(w, how, channel, buf, start, end, peer)
}

// carrierFor looks up what becomes of a packet from peer (RFC 8656 §11.3, §12.7).
func (a *allocation) carrierFor(peer endpoint, now clock) (carrier, uint16) {
	if f, ok := a.shard.flows.down.Load(downKey{a.relayedTo(&peer).local, peer}); ok && f.channel != 0 && f.live(now) {
		return carryChannel, f.channel
	}
	if a.permits(peer.ip, now) {
		return carryIndication, 0
	}
	return carryNothing, 0
}

func (a *allocation) toClient(w *worker, how carrier, channel uint16, buf []byte, start, end int, peer endpoint) {
	size := end - start
	switch {
	case how == carryNothing:
		a.drop(w, dropNoPermission)
		return
	case !w.srv.bandwidth.admits(a, down, size, w.now()):
		a.drop(w, dropBandwidth)
		return
	}
	home := a.home.Load()
	switch how {
	case carryChannel:
		start, end = wrapChannelData(channel, buf, start, end, home.stream != nil)
	default:
		if w.adjoining {
			w.flush() // the header takes the place of packets before this one, which may be waiting still
		}
		start, end = wrapDataIndication(peer, buf, start, end)
	}
	if end-start > maxMessage {
		a.drop(w, dropTooLarge)
		return
	}
	a.traffic[down].add(size)
	home.send(w, buf[start:end], size)
}

// maxMessage is the longest STUN message: its length field is 16 bits of a multiple of four.
const maxMessage = stunHeaderSize + 65532

// wrapChannelData puts a ChannelData header before buf[start:end], and on streams the padding after it (RFC 8656 §12.5).
func wrapChannelData(channel uint16, buf []byte, start, end int, stream bool) (int, int) {
	size := end - start
	start -= channelHeaderSize
	binary.BigEndian.PutUint16(buf[start:], channel)
	binary.BigEndian.PutUint16(buf[start+2:], uint16(size))
	if stream {
		end = pad(buf, end, size)
	}
	return start, end
}

// wrapDataIndication makes buf[start:end] the DATA of a Data indication (RFC 8656 §11.4).
func wrapDataIndication(peer endpoint, buf []byte, start, end int) (int, int) {
	size := end - start
	addressSize := xorAddressSize(peer.addr().Is4())
	end = pad(buf, end, size)
	start -= stunHeaderSize + attrHeaderSize + addressSize + attrHeaderSize
	m := buf[start:end]

	binary.BigEndian.PutUint16(m, typeDataIndication)
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-stunHeaderSize))
	binary.BigEndian.PutUint32(m[4:], magicCookie)
	binary.BigEndian.PutUint64(m[8:], rand.Uint64())
	binary.BigEndian.PutUint32(m[16:], rand.Uint32())

	binary.BigEndian.PutUint16(m[stunHeaderSize:], attrXORPeerAddress)
	binary.BigEndian.PutUint16(m[stunHeaderSize+2:], uint16(addressSize))
	putXORAddress(m[stunHeaderSize+attrHeaderSize:], peer, m[8:stunHeaderSize])

	dataHeader := stunHeaderSize + attrHeaderSize + addressSize
	binary.BigEndian.PutUint16(m[dataHeader:], attrData)
	binary.BigEndian.PutUint16(m[dataHeader+2:], uint16(size))
	return start, end
}

// pad writes zeroes after end until size is a multiple of four.
func pad(buf []byte, end, size int) int {
	padded := end + pad4(size) - size
	clear(buf[end:padded])
	return padded
}
