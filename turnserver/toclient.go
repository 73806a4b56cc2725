package turnserver

import (
	"net/netip"
	"time"

	"example.org/turnpike/turnserver/tokenbucket"
	"example.org/turnpike/turnserver/wire"
)

// carrier is how data from a peer travels to the client.
type carrier uint8

const (
	carryNothing    carrier = iota // no permission
	carryChannel                   // ChannelData
	carryIndication                // Data indication
)

// fromPeer relays buf[start:end], which peer sent to the relayed address.
func (a *allocation) fromPeer(w *worker, buf []byte, start, end int, peer wire.Endpoint) {
	how, channel := a.carrierFor(peer, w.now())
	if how == carryNothing {
		if seen, ok := w.srv.externalOf(peer); ok {
			peer = seen
			how, channel = a.carrierFor(peer, w.now())
		}
	}
	a.toClient(w, how, channel, buf, start, end, peer)
}

// externalOf returns the address by which others know a program of this host that sends from the inside of a 1:1 NAT. It reports false for
// all other addresses.
func (s *Server) externalOf(peer wire.Endpoint) (seen wire.Endpoint, ok bool) {
	own := relayAddressOf(s.relays.Load().udp, peer.Addr())
	if own == nil || own.external == own.local {
		return peer, false
	}
	return wire.EndpointOf(netip.AddrPortFrom(own.external, peer.Port)), true
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

// carrierFor looks up how a packet from peer travels on (RFC 8656 §11.3, §12.7).
func (a *allocation) carrierFor(peer wire.Endpoint, now clock) (carrier, uint16) {
	if f, ok := a.shard.flows.fromPeer.Load(peerKey{a.relayedTo(&peer).local, peer}); ok && f.live(now) {
		if f.channel != 0 {
			return carryChannel, f.channel
		}
		f.hear()
	}
	if a.permits(peer.IP, now) {
		return carryIndication, 0
	}
	return carryNothing, 0
}

func (a *allocation) toClient(w *worker, how carrier, channel uint16, buf []byte, start, end int, peer wire.Endpoint) {
	size := end - start
	switch {
	case how == carryNothing:
		a.countDropped(w, dropNoPermission)
		return
	case !w.srv.bandwidth.allows(a, peerToClient, size, w.now()):
		a.countDropped(w, dropBandwidth)
		return
	}
	home := a.home.Load()
	switch how {
	case carryChannel:
		start, end = wire.WrapChannelData(channel, buf, start, end, home.stream != nil)
	default:
		if w.adjoining {
			w.flush() // the header takes the place of earlier packets, which may still wait
		}
		start, end = wire.WrapDataIndication(peer, buf, start, end)
	}
	if end-start > wire.MaxMessage {
		a.countDropped(w, dropTooLarge)
		return
	}
	a.traffic[peerToClient].count(size)
	home.deliver(w, buf[start:end], size)
}

// A client learns of one ICMP message each icmpInterval, and of icmpBurst at once, for each of its relayed sockets.
// That is enough to discover a path's MTU, and too little for forged messages to flood the client.
const (
	icmpInterval = time.Second / 16
	icmpBurst    = 16
)

// fromICMP tells the client of an ICMP message (RFC 8656 §11.5). Only the peer that the message is about counts, not
// its sender.
func (a *allocation) fromICMP(w *worker, m *wire.ICMPMessage, told *tokenbucket.Bucket) {
	switch {
	case !m.ForClients(), !a.permits(m.Peer.IP, w.now()):
		w.counters.count(dropICMP)
		return
	case !told.Take(time.Duration(w.now()), icmpInterval, icmpBurst*icmpInterval):
		w.counters.count(dropICMPLimit)
		return
	}
	a.home.Load().deliver(w, wire.PutICMPIndication(w.room(len(answer{})), m), notRelayed)
	w.flush()
	w.counters.icmp.Add(1)
}
