package turnserver

import (
	"time"

	"turnpike/turnserver/tokenbucket"
	"turnpike/turnserver/wire"
)

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
	w.flush() // the answer's memory may be in use
	a.home.Load().deliver(w, wire.PutICMPIndication(w.answer[:], m), notRelayed)
	w.flush()
	w.counters.icmp.Add(1)
}
