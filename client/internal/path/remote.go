package path

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"
)

const (
	// maxRemotes bounds what the other side can have us check.
	maxRemotes = 64
	// maxLine bounds a candidate's line.
	maxLine = 512
	// looksAfter is at how many ticks the pairs are looked at again after a candidate. ICE takes it in on its own time.
	looksAfter = 2
)

// maxAccepted bounds the addresses that the other side has named or sent checks from: it may say that it sent from any.
const maxAccepted = 2 * maxRemotes

// mayAccept is asked by ICE before it takes one more address.
func (p *Path) mayAccept() bool { return p.accepted.Add(1) <= maxAccepted }

var errCandidate = errors.New("not a candidate for UDP")

// AddCandidate takes a candidate of the other side. One that leads nowhere is an error, and is not tried.
func (p *Path) AddCandidate(line string) error {
	c, err := parseCandidate(line, p.local())
	if err != nil {
		return err
	}
	if list, err := p.agent.GetRemoteCandidates(); err == nil && len(list) >= maxRemotes {
		return errors.New("the other side has named too many candidates")
	}
	if err := p.agent.AddRemoteCandidate(c); err != nil {
		return err
	}
	// It may tell that an address which a check came from is a relay's.
	p.named.Store(looksAfter)
	return nil
}

// local tells whether the other side may be on this machine's loopback: this machine has nothing else, or its own server is
// there.
func (p *Path) local() bool {
	p.mu.Lock()
	urls := p.urls
	p.mu.Unlock()
	for _, e := range parse(urls, nil) {
		if a, err := netip.ParseAddr(e.host); e.host == "localhost" || err == nil && a.IsLoopback() {
			return true
		}
	}
	_, loopback := hostAddresses()
	return loopback
}

// parseCandidate reads a line. Names are not looked up, and the ranges in which nobody else can be are refused: a loopback
// address is good only where the caller knows that the other side may be there.
func parseCandidate(line string, loopback bool) (ice.Candidate, error) {
	if len(line) > maxLine {
		return nil, errCandidate
	}
	c, err := ice.UnmarshalCandidate(strings.TrimPrefix(line, "candidate:"))
	if err != nil {
		return nil, err
	}
	a, err := netip.ParseAddr(c.Address())
	if err != nil || !c.NetworkType().IsUDP() || c.Port() < 1 || c.Port() > 65535 {
		return nil, errCandidate
	}
	a = a.Unmap()
	if a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback() && !loopback || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return nil, errCandidate
	}
	return c, nil
}
