package turnserver

import (
	"time"

	"turnpike/turnserver/wire"
)

// icmpInterval is how often the client of a relayed socket is told of an ICMP message, and icmpBurst how many times at once: enough to
// discover a path's MTU, and too little to flood the client by forged messages.
const (
	icmpInterval = time.Second / 16
	icmpBurst    = 16
)

// pacer spaces events out. Its value is when all that were let through would be over at their proper pace.
type pacer clock

func (p *pacer) admits(now clock) bool {
	next := max(clock(*p), now).add(icmpInterval)
	if next-now > clock(icmpBurst*icmpInterval) {
		return false
	}
	*p = pacer(next)
	return true
}

// fromICMP tells the client of an ICMP message (RFC 8656 §11.5). Where it came from is not looked at, only which peer it is about.
func (a *allocation) fromICMP(w *worker, m *wire.ICMPMessage, told *pacer) {
	switch {
	case !m.ForClients(), !a.permits(m.Peer.IP, w.now()):
		w.counters.drop(dropICMP)
		return
	case !told.admits(w.now()):
		w.counters.drop(dropICMPLimit)
		return
	}
	w.flush() // the answer's memory may be in use
	a.home.Load().send(w, wire.PutICMPIndication(w.answer[:], m), control)
	w.flush()
	w.counters.icmp.Add(1)
}
