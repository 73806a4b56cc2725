package coturn

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// span is a range of addresses of one family, both ends included.
type span struct{ first, last netip.Addr }

// parseSpan reads an address, a range "a-b", or a prefix.
func parseSpan(s string) (span, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		p = p.Masked()
		return span{p.Addr(), lastOf(p)}, nil
	}
	from, to, isRange := strings.Cut(s, "-")
	first, err := netip.ParseAddr(strings.TrimSpace(from))
	if err != nil {
		return span{}, errors.New("is no address, and no range of them")
	}
	last := first
	if isRange {
		if last, err = netip.ParseAddr(strings.TrimSpace(to)); err != nil {
			return span{}, errors.New("is no range of addresses")
		}
	}
	first, last = first.Unmap().WithZone(""), last.Unmap().WithZone("")
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return span{}, errors.New("is no range of addresses: its end is not behind its beginning")
	}
	return span{first, last}, nil
}

// lastOf returns the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// prefixes returns the fewest prefixes that make up the span.
func (s span) prefixes() (out []netip.Prefix) {
	for first := s.first; ; {
		bits := first.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1)
			if wider.Masked().Addr() != first || s.last.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(first, bits)
		out = append(out, p)
		end := lastOf(p)
		if end == s.last {
			return out
		}
		first = end.Next()
	}
}

// without returns the spans without the addresses of holes.
func without(spans, holes []span) []span {
	for _, hole := range holes {
		var rest []span
		for _, s := range spans {
			if s.first.BitLen() != hole.first.BitLen() || s.last.Less(hole.first) || hole.last.Less(s.first) {
				rest = append(rest, s)
				continue
			}
			if s.first.Less(hole.first) {
				rest = append(rest, span{s.first, hole.first.Prev()})
			}
			if hole.last.Less(s.last) {
				rest = append(rest, span{hole.last.Next(), s.last})
			}
		}
		spans = rest
	}
	return spans
}

// prefixList is the value of a key of turnpike.
func prefixList(spans []span) string {
	var out []string
	for _, s := range spans {
		for _, p := range s.prefixes() {
			if text := p.String(); !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return strings.Join(out, ",")
}
