package signal

import (
	"net/netip"
	"strings"
	"time"

	"example.org/turnpike/signal/wire"
)

const (
	// maxScope bounds the addresses that a session's relays may reach, and maxFromMate those that one mate has signalled.
	maxScope    = 256
	maxFromMate = 16
	// scopeUse is how long an address is needed after it was signalled or a relay asked for it. A permission lives for 5
	// minutes (RFC 8656 §9), and clients renew it before.
	scopeUse = 6 * time.Minute
)

// scope is the set of addresses that a session's room mates have signalled as their candidates. The session's TURN
// credential may reach them, at any port, besides live relayed addresses: a peer behind a symmetric NAT comes from
// ports that nobody signalled. Guarded by Server.mu.
type scope struct {
	addrs []scopeAddr
	until time.Time // of a session that has ended: when its relays may go on no more; zero: not bounded so
}

type scopeAddr struct {
	addr  netip.Addr
	mate  string // the session that signalled it
	asked time.Time
}

// note adds addresses of a mate, and reports how many did not fit. isMate reports whether a session is a mate still.
//
// A mate's address makes room for its next ones once no relay needs it. If the scope is full, the addresses of those who
// are mates no more make room for all: first the one for which a relay has last asked the longest ago. So nobody can
// keep the addresses of others out.
func (sc *scope) note(mate string, addrs []netip.Addr, now time.Time, isMate func(session string) bool) (ignored int) {
	for _, addr := range addrs {
		if !sc.add(scopeAddr{addr, mate, now}, isMate) {
			ignored++
		}
	}
	return ignored
}

func (sc *scope) add(a scopeAddr, isMate func(session string) bool) (ok bool) {
	own, oldest := 0, -1 // the mate's addresses
	for i := range sc.addrs {
		known := &sc.addrs[i]
		if known.mate != a.mate {
			continue
		}
		if known.addr == a.addr {
			known.asked = a.asked
			return true
		}
		if own++; oldest < 0 || known.asked.Before(sc.addrs[oldest].asked) {
			oldest = i
		}
	}
	switch {
	case own >= maxFromMate:
		if a.asked.Sub(sc.addrs[oldest].asked) < scopeUse {
			return false
		}
		sc.addrs[oldest] = a
		return true
	case len(sc.addrs) >= maxScope:
		if oldest = sc.oldestOfNoMate(isMate); oldest < 0 {
			return false
		}
		sc.addrs[oldest] = a
		return true
	}
	sc.addrs = append(sc.addrs, a)
	return true
}

// oldestOfNoMate finds, among the addresses of those who are mates no more, the one that was needed the longest ago; -1:
// there is none.
func (sc *scope) oldestOfNoMate(isMate func(session string) bool) int {
	oldest := -1
	for i, a := range sc.addrs {
		if (oldest < 0 || a.asked.Before(sc.addrs[oldest].asked)) && !isMate(a.mate) {
			oldest = i
		}
	}
	return oldest
}

// has reports whether an address is there, and notes that a relay has asked for it.
func (sc *scope) has(addr netip.Addr, now time.Time) (found bool) {
	for i := range sc.addrs {
		if sc.addrs[i].addr == addr {
			sc.addrs[i].asked, found = now, true
		}
	}
	return found
}

// MayRelay reports whether the relays of a session may send to ip. It stays true after the mate that signalled ip has
// left, and after the session's connection was lost: clients refresh all permissions in one request, which is granted
// or denied as a whole. A bye ends it.
func (srv *Server) MayRelay(session string, ip netip.Addr) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	sc := srv.lingering.values[session]
	if s := srv.sessions[session]; s != nil {
		sc = s.scope
	}
	now := time.Now()
	return !isDue(sc.until, now) && sc.has(ip.Unmap(), now)
}

// SessionLive reports whether a session may still make allocations.
func (srv *Server) SessionLive(session string) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessions[session] != nil
}

// UserOf returns the user of a session, as auth.User prints it. Empty: there is no such session.
func (srv *Server) UserOf(session string) string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s := srv.sessions[session]; s != nil {
		return s.user.id
	}
	return ""
}

// payloadAddrs finds the addresses of the candidates in a signal, and counts the candidates that have host names.
func payloadAddrs(p *wire.Payload) (addrs []netip.Addr, names int) {
	for text := range p.Texts() {
		more, hosts := candidateAddrs(text)
		addrs, names = append(addrs, more...), names+hosts
	}
	return addrs, names
}

// candidateAddrs finds the connection addresses, in canonical form, of the candidates in text, which is an SDP or one
// candidate attribute. It counts host names, mostly of mDNS: they grant nothing.
func candidateAddrs(text string) (addrs []netip.Addr, names int) {
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(line, "a=")
		if !strings.HasPrefix(line, "candidate:") {
			continue
		}
		// RFC 8839 §5.1: foundation component transport priority address port ...
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		addr, err := netip.ParseAddr(fields[4])
		if err != nil || addr.Zone() != "" {
			names++
			continue
		}
		addrs = append(addrs, addr.Unmap())
	}
	return addrs, names
}
