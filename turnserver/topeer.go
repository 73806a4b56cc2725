package turnserver

import (
	"encoding/binary"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// channelData relays a ChannelData message from a client (RFC 8656 §12.6). On UDP it cuts off padding or noise behind
// the data. On a stream the frame comes with its padding.
func (w *worker) channelData(c *client, buf []byte, start, end int) {
	channel := binary.BigEndian.Uint16(buf[start:])
	data := start + wire.ChannelHeaderSize
	dataEnd := data + int(binary.BigEndian.Uint16(buf[start+2:]))
	if dataEnd > end {
		w.counters.count(dropMalformed)
		return
	}
	key := clientKey{c.tuple, channel}
	f, ok := w.shard.flows.fromClient.Load(key)
	if !ok && w.arrives(c) {
		f, ok = w.shard.flows.fromClient.Load(key)
	}
	if !ok || !f.live(w.now()) {
		w.counters.count(dropNoChannel)
		return
	}
	f.alloc.toPeer(w, &f.peer, buf, data, dataEnd, false)
}

// sendIndication relays the data of a Send indication (RFC 8656 §11.2). It drops a bad one in silence. It does not
// check a FINGERPRINT, and neither does the kernel, which cannot. FINGERPRINT tells STUN from other protocols (RFC 8489
// §7), and nothing else begins like this. Firefox adds one to everything that it sends.
func (w *worker) sendIndication(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	var peer wire.Endpoint
	havePeer, haveData, whole := false, false, false
	var data, dataEnd int
	for attrs := wire.AttributesOf(pkt); ; {
		typ, from, to, more, bad := attrs.Next()
		if bad {
			w.counters.count(dropMalformed)
			return
		}
		if !more {
			break
		}
		switch {
		case typ == wire.AttrXORPeerAddress && !havePeer:
			if peer, havePeer = wire.ParseXORAddress(pkt[from:to], pkt[8:wire.HeaderSize]); !havePeer {
				w.counters.count(dropMalformed)
				return
			}
		case typ == wire.AttrData && !haveData:
			data, dataEnd, haveData = start+from, start+to, true
		case wire.ComprehensionRequired(typ) && !w.srv.knows(stun.AttrType(typ)):
			w.counters.count(dropUnexpected)
			return
		case typ == wire.AttrDontFragment:
			whole = true
		}
	}
	if !havePeer || !haveData {
		w.counters.count(dropMalformed)
		return
	}
	w.sendToPeer(c, peer, buf, data, dataEnd, whole && heedsDontFragment(c, &peer))
}

// heedsDontFragment reports whether a client's DONT-FRAGMENT counts. It does not where datagrams come from or go to
// IPv6 (RFC 8656 §13).
func heedsDontFragment(c *client, peer *wire.Endpoint) bool {
	return c.stream != nil || c.tuple.Client.Is4() && peer.Is4()
}

// sendToPeer relays data to peer if the client's allocation permits it. whole says that no router may fragment the
// datagram.
func (w *worker) sendToPeer(c *client, peer wire.Endpoint, buf []byte, start, end int, whole bool) {
	a := w.shard.find(c.tuple)
	if a == nil && w.arrives(c) {
		a = w.shard.find(c.tuple)
	}
	switch {
	case a == nil:
		w.counters.count(dropNoAllocation)
	case c.stream != nil && a.relaysTCP(): // it has connections instead (RFC 6062 §3)
		w.counters.count(dropUnexpected)
	case !a.permits(peer.IP, w.now()):
		a.countDropped(w, dropNoPermission)
	default:
		w.peer = w.srv.destinationOf(peer)
		a.shard.converse(a, &w.peer, w.now())
		a.toPeer(w, &w.peer, buf, start, end, whole)
	}
}

// toPeer sends buf[start:end] from the relayed address, or hands it over if the peer is a relayed address of this node.
func (a *allocation) toPeer(w *worker, d *destination, buf []byte, start, end int, whole bool) {
	if end-start > udpio.LargestPayload { // a stream's frames can exceed it
		a.countDropped(w, dropTooLarge)
		return
	}
	if !w.srv.bandwidth.allows(a, clientToPeer, end-start, w.now()) {
		a.countDropped(w, dropBandwidth)
		return
	}
	from := a.relayedTo(&d.endpoint)
	if to := d.relay(); to != nil {
		w.counters.countRelayed(w.from, clientToPeer, end-start)
		w.counters.hops.Add(1)
		a.traffic[clientToPeer].count(end - start)
		to.fromRelay(w, from, buf, start, end)
		return
	}
	if d.own != nil && !a.opensHost(&d.endpoint) {
		w.counters.count(dropNoRelay)
		return
	}
	a.traffic[clientToPeer].count(end - start)
	if whole {
		from.datagrams.sendWhole(w, d, buf[start:end])
		return
	}
	from.datagrams.sendTo(w, d, buf[start:end])
}
