package probe

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// The longest packet that gets to the server whole: Binding requests of many lengths that no router may cut up, of which the server
// answers those that arrive. An ICMP message that says the answer counts for nothing, as firewalls drop those, and anybody could send them.

const (
	// mtuFiller is an attribute of no RFC. Servers ignore it, because of its number (RFC 8489 §14).
	mtuFiller = stun.AttrType(0xFFFE)

	mtuLeast     = 576  // RFC 791; below it nothing works
	mtuMost      = 9216 // of links with jumbo frames; no link that leads outside has more
	mtuStep      = 4    // STUN's lengths are multiples of four
	mtuAtOnce    = 8    // lengths in a round
	mtuTries     = 3    // of each, because UDP loses packets
	mtuFirstWait = time.Second
	mtuLeastWait = 200 * time.Millisecond
)

// pathMTU finds the longest packet that gets to a STUN server. link is the longest that leaves this machine; 0: not known.
func pathMTU(ctx context.Context, server netip.AddrPort, link int) PathMTU {
	if server.Addr().IsLoopback() {
		return PathMTU{Why: "the server is on this machine"}
	}
	s, err := newNATSocket(ctx, server)
	if err != nil {
		return PathMTU{Why: oneLine(err.Error())}
	}
	defer s.close()
	if why := forbidFragments(s.conn, server.Addr().Is6()); why != "" {
		return PathMTU{Why: why, Link: link}
	}
	top := link
	if top <= 0 || top > mtuMost {
		top = mtuMost
	}
	p := &mtuProbe{natSocket: s, server: server, wait: mtuFirstWait}
	arrived := p.longest(ctx, append([]int{top, mtuLeast}, between(mtuLeast, top)...))
	for missing := top; arrived > 0 && arrived != top && ctx.Err() == nil; {
		sizes := between(arrived, missing)
		if len(sizes) == 0 {
			return PathMTU{Bytes: arrived, Link: link}
		}
		more := max(arrived, p.longest(ctx, sizes))
		for _, size := range sizes {
			if size > more {
				missing = min(missing, size)
			}
		}
		arrived = more
	}
	switch {
	case arrived == 0:
		return PathMTU{Why: "no packet of any length was answered in time", Link: link}
	case arrived != top:
		return PathMTU{Bytes: arrived, Link: link, Why: "at least: the time was too short to find more"}
	}
	return PathMTU{Bytes: arrived, Link: link}
}

// between returns lengths that part what arrives from what does not, longest first.
func between(arrives, missing int) (out []int) {
	step := max(mtuStep, (missing-arrives)/(mtuAtOnce+1)/mtuStep*mtuStep)
	for size := arrives + step; size < missing && len(out) < mtuAtOnce+1; size += step {
		out = append(out, size)
	}
	return out
}

// mtuProbe sends packets of given lengths to a server.
type mtuProbe struct {
	*natSocket
	server netip.AddrPort
	wait   time.Duration // for answers; shorter once a round trip is known
}

// longest returns the greatest of sizes that the server answers, or 0.
func (p *mtuProbe) longest(ctx context.Context, sizes []int) int {
	best := 0
	for try := 0; try < mtuTries && ctx.Err() == nil; try++ {
		var questions []natQuestion
		var asked []int
		for _, size := range sizes {
			if size > best { // what is shorter than one that arrived arrives, too
				questions = append(questions, natQuestion{to: p.server, size: size - ipOverhead(p.server.Addr())})
				asked = append(asked, size)
			}
		}
		if len(questions) == 0 {
			break
		}
		for i, a := range p.askFor(ctx, p.wait, questions...) {
			if a != nil {
				best = max(best, asked[i])
				p.wait = min(p.wait, 3*a.rtt+mtuLeastWait)
			}
		}
	}
	return best
}

// ipOverhead is the length of the headers before the payload of a UDP packet.
func ipOverhead(to netip.Addr) int {
	if to.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// linkMTU is the longest packet that leaves by an interface; 0: not known.
func linkMTU(ifi *net.Interface) int {
	if ifi == nil {
		return 0
	}
	return ifi.MTU
}
