package main

import (
	"fmt"
	"strings"

	"example.org/turnpike/internal/probe"
)

// networkLine is a line of the report of netcheck.
type networkLine struct {
	label, text string
	of          string // what tells lines with one label apart; it is in the text
	same        string // what --every compares; empty: the text
	brief       string // what --every prints; empty: the text
	hidden      bool   // it counts for changes only
}

func (l networkLine) name() string { return strings.TrimSpace(strings.TrimSpace(l.label) + " " + l.of) }

func (l networkLine) key() string {
	if l.same != "" {
		return l.same
	}
	return l.text
}

func (l networkLine) short() string {
	if l.brief != "" {
		return l.brief
	}
	return l.text
}

// networkLines is a report in lines. Ports and round trips vary from run to run, and are no change.
func networkLines(n *probe.Network) []networkLine {
	lines := []networkLine{{label: "UDP", text: known(n.UDP, "yes", "no: nothing of the server answers over UDP", "not known: no server answers there, and none was named")}}
	lines = append(lines, familyLines("IPv4", &n.IPv4)...)
	lines = append(lines, familyLines("IPv6", &n.IPv6)...)
	for _, m := range []struct {
		name string
		probe.Mapper
	}{{"UPnP", n.PortMapping.UPnP}, {"NAT-PMP", n.PortMapping.NATPMP}, {"PCP", n.PortMapping.PCP}} {
		lines = append(lines, networkLine{label: m.name, text: mapperText(m.Mapper)})
	}
	lines = append(lines, networkLine{label: "captive portal", text: portalText(n.CaptivePortal)})
	for _, r := range n.Relays {
		lines = append(lines, relayLine(r))
	}
	for _, u := range n.NotTried {
		lines = append(lines, networkLine{label: "not tried", text: u.What + ": " + u.Why, of: u.What, brief: u.Why})
	}
	return append(lines, networkLine{label: "verdict", text: n.Summary, hidden: true})
}

func problemLines(n *probe.Network) (lines []networkLine) {
	for i, problem := range n.Problems {
		lines = append(lines, networkLine{label: "problem", text: problem, of: fmt.Sprint(i + 1)})
	}
	return lines
}

func known(b *bool, yes, no, unknown string) string {
	switch {
	case b == nil:
		return unknown
	case *b:
		return yes
	}
	return no
}

// because adds a reason.
func because(text, why string) string {
	if why == "" {
		return text
	}
	return text + ": " + why
}

func familyLines(name string, f *probe.Family) []networkLine {
	here := f.Local.String()
	if f.Interface != "" {
		here += " on " + f.Interface
	}
	var text, same string
	switch {
	case f.Mapped.IsValid() && f.NAT != nil && *f.NAT:
		text, same = fmt.Sprintf("yes: %s, behind a NAT (here %s)", f.Mapped, here), fmt.Sprintf("%s %s", f.Mapped.Addr(), here)
	case f.Mapped.IsValid():
		text, same = fmt.Sprintf("yes: %s, without a NAT (on %s)", f.Mapped, f.Interface), fmt.Sprintf("%s %s", f.Mapped.Addr(), here)
	case f.Works != nil && *f.Works:
		text = fmt.Sprintf("yes, but not over UDP (here %s)", here)
	default:
		text = because(known(f.Works, "yes", "no", "not tried"), f.Why)
	}
	lines := []networkLine{{label: name, text: text, same: same}}
	if !f.Mapped.IsValid() {
		return lines
	}
	mtu := because("not known", f.PathMTU.Why)
	if f.PathMTU.Bytes > 0 {
		mtu = fmt.Sprintf("%d bytes", f.PathMTU.Bytes)
		if f.PathMTU.Link > f.PathMTU.Bytes {
			mtu += fmt.Sprintf(" (of %d on %s)", f.PathMTU.Link, f.Interface)
		}
	}
	for _, l := range []networkLine{
		{label: "  mapping", text: mappingText(f)},
		{label: "  filtering", text: filteringText(f)},
		{label: "  hairpin", text: because(known(f.Hairpin.Works, "yes", "no", "not tried"), f.Hairpin.Why)},
		{label: "  path MTU", text: mtu},
	} {
		l.of = "of " + name
		lines = append(lines, l)
	}
	return lines
}

func mappingText(f *probe.Family) string {
	d := f.Mapping
	switch d.Kind {
	case probe.EndpointIndependent:
		if d.Why != "" {
			return "none: " + d.Why
		}
		return "the same for each destination (endpoint-independent)"
	case probe.PortIndependent:
		return "the same for two ports of one address; another address was not tried"
	case probe.AddressDependent:
		return "another one for each address (address-dependent)"
	case probe.AddressAndPortDependent:
		return "another one for each destination (address and port-dependent)"
	case probe.DestinationDependent:
		return "another one for each address, at least (address-dependent, or address and port-dependent)"
	}
	return because("not known", d.Why)
}

func filteringText(f *probe.Family) string {
	d := f.Filtering
	switch d.Kind {
	case probe.EndpointIndependent:
		return "none: anybody gets in (endpoint-independent)"
	case probe.PortIndependent:
		return "another port of an address gets in that was sent to; another address was not tried"
	case probe.AddressDependent:
		return "only addresses get in that were sent to (address-dependent)"
	case probe.AddressAndPortDependent:
		return "only answers get in (address and port-dependent)"
	case probe.DestinationDependent:
		return "strangers do not get in (address-dependent, or address and port-dependent)"
	}
	return because("not known", d.Why)
}

func mapperText(m probe.Mapper) string {
	switch {
	case m.Found == nil:
		return because("not tried", m.Why)
	case !*m.Found:
		return because("not found", m.Why)
	}
	text := "found at " + m.At
	if m.Name != "" {
		text += " (" + m.Name + ")"
	}
	if m.External.IsValid() {
		text += ", which is " + m.External.String() + " outside"
	}
	return because(text, m.Why)
}

func portalText(c probe.CaptivePortal) string {
	text := known(c.Found, "yes", "no", "not known")
	if c.At != "" {
		text += ": " + c.At
	}
	return because(text, c.Why)
}

// relayLine tells how an address of the server answers. That a guess is wrong counts for changes only.
func relayLine(r probe.Relay) networkLine {
	family := strings.Replace(r.Family, "ipv", "IPv", 1)
	state := r.Problem
	switch {
	case r.Allocated != nil && *r.Allocated:
		state = "a relay was made"
	case r.OK && strings.HasPrefix(r.URL, "turn"):
		state = "answers; no relay was asked for"
	case r.OK:
		state = "answers"
	}
	rtt := "-"
	if r.RTT != nil {
		rtt = fmt.Sprintf("%.1f ms", *r.RTT)
	}
	kind := "turn "
	if strings.HasPrefix(r.URL, "stun") {
		kind = "stun "
	}
	return networkLine{label: kind + r.Network, text: fmt.Sprintf("%s %10s  %s  %s", family, rtt, r.URL, state), of: family + " " + r.URL, same: state, brief: state, hidden: r.Guessed && !r.OK}
}
