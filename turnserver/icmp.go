package turnserver

import (
	"time"

	"turnpike/turnserver/tokenbucket"
	"turnpike/turnserver/wire"
)

// icmpInterval is how often the client of a relayed socket is told of an ICMP message, and icmpBurst how many times at once: enough to
// discover a path's MTU, and too little to flood the client by forged messages.
const (
	icmpInterval = time.Second / 16
	icmpBurst    = 16
)

// fromICMP tells the client of an ICMP message (RFC 8656 §11.5). Where it came from is not looked at, only which peer it is about.
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
