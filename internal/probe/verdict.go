package probe

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a [Network] means for calls, in one word.
type Verdict string

// The verdicts, best first.
const (
	VerdictOpen        Verdict = "open"          // anybody reaches this machine directly
	VerdictDirect      Verdict = "direct"        // direct paths to most networks
	VerdictMostly      Verdict = "relayed-often" // direct paths to open networks only
	VerdictRelayed     Verdict = "relayed"       // no direct path; relays work
	VerdictUnknown     Verdict = "unknown"
	VerdictPortal      Verdict = "captive-portal"
	VerdictUnreachable Verdict = "unreachable" // the server
)

// judge draws the conclusion.
func (n *Network) judge() {
	n.Verdict = n.verdict()
	n.Summary = strings.Join(append([]string{n.sentence()}, n.remarks()...), " ")
}

// relaysWork reports whether a relay was made. tried is false if none could be asked for.
func (n *Network) relaysWork() (works, tried bool) {
	for _, r := range n.Relays {
		works = works || is(r.Allocated)
		tried = tried || r.Allocated != nil
	}
	return works, tried
}

// answers reports whether anything of the server does.
func (n *Network) answers() bool {
	return isNot(n.CaptivePortal.Found) || is(n.UDP) || slices.ContainsFunc(n.Relays, func(r Relay) bool { return r.OK })
}

// decisive returns the family that the verdict is about: IPv4 if the server is reached by it, as more peers have that.
func (n *Network) decisive() *Family {
	if n.IPv4.Mapped.IsValid() {
		return &n.IPv4
	}
	return &n.IPv6
}

// inside reports whether the server is on this machine or in its own network, where no packet meets what is outside.
func (f *Family) inside() bool { return isInside(f.Server) && isNot(f.NAT) }

func (f *Family) verdict() Verdict {
	if f.inside() {
		return VerdictUnknown
	}
	switch f.Mapping.Kind {
	case AddressDependent, AddressAndPortDependent, DestinationDependent:
		return VerdictMostly
	}
	switch {
	case f.Filtering.Kind == EndpointIndependent && isNot(f.NAT):
		return VerdictOpen
	case f.Mapping.Kind == DependenceUnknown:
		return VerdictUnknown
	}
	return VerdictDirect
}

func (n *Network) verdict() Verdict {
	works, _ := n.relaysWork()
	switch {
	case is(n.CaptivePortal.Found):
		return VerdictPortal
	case !n.answers():
		return VerdictUnreachable
	case is(n.UDP):
		return n.decisive().verdict()
	case isNot(n.UDP) && works:
		return VerdictRelayed
	}
	return VerdictUnknown
}

// sentence says it to a person.
func (n *Network) sentence() string {
	works, tried := n.relaysWork()
	switch n.verdict() {
	case VerdictPortal:
		if n.CaptivePortal.At != "" {
			return fmt.Sprintf("This network wants you to sign in first: open %s in a browser.", n.CaptivePortal.At)
		}
		return "This network wants you to sign in first: open any page in a browser."
	case VerdictUnreachable:
		switch {
		case n.IPv4.Local.IsValid() || n.IPv6.Local.IsValid():
			return "Nothing of the server answers here, so that no call comes about: it is down, or a firewall stands between."
		case n.IPv4.Server.IsValid() || n.IPv6.Server.IsValid():
			return "This machine has no network that leads to the server, so that no call comes about."
		}
		return "The server cannot be found from here, so that no call comes about."
	case VerdictOpen:
		return "Everybody whose network lets UDP through reaches this machine directly."
	case VerdictDirect:
		if n.decisive().Filtering.Kind == EndpointIndependent {
			return "Calls from here connect directly to all networks that let UDP through."
		}
		return "Calls from here connect directly to most networks."
	case VerdictMostly:
		return "Calls from here connect directly to open networks only, and most go through a relay: the NAT here takes a new port for each peer."
	case VerdictRelayed:
		return fmt.Sprintf("UDP does not get through here: every call goes through a relay, over %s, and with more delay.", n.streams())
	}
	switch {
	case is(n.UDP) && n.decisive().inside():
		return "The server is inside this network, so that what calls meet outside is not known."
	case is(n.UDP):
		return "UDP gets through here, but what the NAT does with it is not known: calls may be direct or go through a relay."
	case isNot(n.UDP) && tried && !works:
		return "UDP does not get through here, and no relay works, so that no call comes about."
	case isNot(n.UDP):
		return "UDP does not get through here: every call needs a relay, and whether one works was not tried."
	}
	return "Whether UDP gets through here is not known, and so what calls do."
}

// streams names the networks over which a relay was made.
func (n *Network) streams() string {
	var names []string
	for _, r := range n.Relays {
		if name := strings.ToUpper(r.Network); is(r.Allocated) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " and ")
}

// remarks are what else a person should know.
func (n *Network) remarks() (out []string) {
	if works, tried := n.relaysWork(); is(n.UDP) && tried && !works {
		out = append(out, "No relay works from here, so that the other calls fail.")
	}
	switch four, six := n.IPv4.Mapped.IsValid(), n.IPv6.Mapped.IsValid(); {
	case six && !four && is(n.UDP):
		out = append(out, "That holds for peers with IPv6; calls with others go through a relay.")
	case six && n.IPv4.verdict() == VerdictMostly && n.IPv6.verdict() != VerdictMostly:
		out = append(out, "Calls with peers that have IPv6, too, connect directly by that.")
	}
	if outside := n.PortMapping.outside(); outside.IsValid() && is(n.IPv4.NAT) && outside != n.IPv4.Mapped.Addr() {
		out = append(out, fmt.Sprintf("Behind the router, whose address outside is %s, there is another NAT.", outside))
	}
	const quic = 1200 // bytes of UDP payload that QUIC needs (RFC 9000 §14)
	for _, f := range []*Family{&n.IPv4, &n.IPv6} {
		if f.PathMTU.Bytes > 0 && f.PathMTU.Bytes < quic+ipOverhead(f.Server) {
			out = append(out, fmt.Sprintf("Packets longer than %d bytes get lost on the way, which keeps QUIC and many calls from working.", f.PathMTU.Bytes))
			break
		}
	}
	return out
}
