package turnserver

import (
	"encoding/binary"

	"github.com/pion/stun/v3"
)

// channelData relays a ChannelData message from a client (RFC 8656 §12.6). On UDP what follows the data is padding or
// noise and is cut off; a stream hands over the frame with its padding.
func (w *worker) channelData(c *client, buf []byte, start, end int) {
	channel := binary.BigEndian.Uint16(buf[start:])
	data := start + channelHeaderSize
	dataEnd := data + int(binary.BigEndian.Uint16(buf[start+2:]))
	if dataEnd > end {
		w.srv.counters.drop(dropMalformed)
		return
	}
	now := w.srv.now()
	w.shard.mu.RLock()
	f := w.shard.flows.up[upKey{c.tuple, channel}]
	live := f != nil && f.live(now)
	w.shard.mu.RUnlock()
	if !live {
		w.srv.counters.drop(dropNoChannel)
		return
	}
	f.alloc.toPeer(&f.peer, buf, data, dataEnd)
}

// sendIndication relays the data of a Send indication (RFC 8656 §11.2). Whatever is wrong with it, it is dropped in silence.
func (w *worker) sendIndication(c *client, buf []byte, start, end int) {
	pkt := buf[start:end]
	var peer endpoint
	havePeer, haveData := false, false
	var data, dataEnd int
	for attrs := attributesOf(pkt); ; {
		typ, from, to, more, bad := attrs.next()
		if bad {
			w.srv.counters.drop(dropMalformed)
			return
		}
		if !more {
			break
		}
		switch {
		case typ == attrXORPeerAddress && !havePeer:
			if peer, havePeer = parseXORAddress(pkt[from:to], pkt[8:stunHeaderSize]); !havePeer {
				w.srv.counters.drop(dropMalformed)
				return
			}
		case typ == attrData && !haveData:
			data, dataEnd, haveData = start+from, start+to, true
		case typ == attrFingerprint:
			if !fingerprintHolds(pkt, from) {
				w.srv.counters.drop(dropMalformed)
				return
			}
		case required(typ) && !known(stun.AttrType(typ)):
			w.srv.counters.drop(dropUnexpected)
			return
		}
	}
	if !havePeer || !haveData {
		w.srv.counters.drop(dropMalformed)
		return
	}
	w.send(c, peer, buf, data, dataEnd)
}

// send relays data to peer if the client's allocation permits it.
func (w *worker) send(c *client, peer endpoint, buf []byte, start, end int) {
	now := w.srv.now()
	w.shard.mu.RLock()
	a := w.shard.allocations[c.tuple]
	permitted := a != nil && a.permits(peer.ip, now)
	w.shard.mu.RUnlock()
	switch {
	case a == nil:
		w.srv.counters.drop(dropNoAllocation)
	case !permitted:
		w.srv.counters.drop(dropNoPermission)
	default:
		d := w.srv.destinationOf(peer)
		a.toPeer(&d, buf, start, end)
	}
}

// toPeer sends buf[start:end] from the relayed address, or hands it over if the peer is a relayed address of this node.
func (a *allocation) toPeer(d *destination, buf []byte, start, end int) {
	srv := a.shard.srv
	if d.own != nil {
		to := d.own.holder(d.endpoint.port)
		if to == nil {
			srv.counters.drop(dropNoRelay)
			return
		}
		if end-start > largestPayload { // as on the wire, which a stream's frames can exceed
			srv.counters.drop(dropTooLarge)
			return
		}
		srv.counters.relayed(up, end-start)
		srv.counters.hops.Add(1)
		to.fromRelay(a, buf, start, end)
		return
	}
	if _, err := a.conn.WriteToUDPAddrPort(buf[start:end], d.addr); err != nil {
		srv.counters.drop(sendFailure(end - start))
		return
	}
	srv.counters.relayed(up, end-start)
}
