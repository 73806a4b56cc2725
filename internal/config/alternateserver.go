package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Alternate is an entry of turn.alternate_server.
type Alternate struct {
	Addr    netip.AddrPort
	Secured bool // for clients on TLS or DTLS, else for those on UDP or TCP
}

const alternateTLS = "tls://"

// parseAlternate reads "203.0.113.20:3478" or "tls://203.0.113.20:5349".
func parseAlternate(s string) (Alternate, error) {
	rest, secured := strings.CutPrefix(s, alternateTLS)
	addr, err := netip.ParseAddrPort(rest)
	ip := addr.Addr().Unmap()
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0 {
		return Alternate{}, fmt.Errorf("%q is not the address of another server; write it like %q, or %q for clients on TLS",
			s, "203.0.113.20:3478", "tls://203.0.113.20:5349")
	}
	return Alternate{Addr: netip.AddrPortFrom(ip, addr.Port()), Secured: secured}, nil
}

func showAlternate(a Alternate) string {
	if a.Secured {
		return alternateTLS + a.Addr.String()
	}
	return a.Addr.String()
}

// CheckAlternates refuses servers that are this one, and servers that no rule could choose between. own are addresses
// of this machine.
func (c *Config) CheckAlternates(own []netip.Addr) (bad []error) {
	refuse := func(i int, format string, args ...any) {
		name := fmt.Sprintf("turn.alternate_server[%d]", i)
		bad = append(bad, c.Errorf(name, "%q "+format, append([]any{showAlternate(c.TURN.AlternateServer[i])}, args...)...))
	}
	secured := false
	for i, a := range c.TURN.AlternateServer {
		secured = secured || a.Secured
		if l := slices.IndexFunc(c.TURN.Listen, func(l Listener) bool { return c.leadsTo(a.Addr, l, own) }); l >= 0 {
			refuse(i, "leads to this server's own listener %q; name another server", c.TURN.Listen[l])
		}
		for _, b := range c.TURN.AlternateServer[:i] {
			if a.Secured == b.Secured && a.Addr.Addr().Is4() == b.Addr.Addr().Is4() {
				refuse(i, "is for the same clients as %q; write one of each family, and one of each with tls://", showAlternate(b))
			}
		}
	}
	if c.TURN.AlternateDomain != "" && !secured {
		bad = append(bad, c.Errorf("turn.alternate_domain", "is the name in a certificate, but turn.alternate_server has no tls:// address; add one, or remove it"))
	}
	return bad
}

// leadsTo reports whether a packet to addr arrives at l.
func (c *Config) leadsTo(addr netip.AddrPort, l Listener, own []netip.Addr) bool {
	ip, at := addr.Addr(), l.Addr.Addr()
	return addr.Port() == l.Addr.Port() && ip.Is4() == at.Is4() &&
		(ip == at || c.TURN.ExternalAddresses[at] == ip || at.IsUnspecified() && (ip.IsLoopback() || slices.Contains(own, ip)))
}

// ownAddresses returns this machine's own and external addresses, as far as the configuration names them.
func (c *Config) ownAddresses() []netip.Addr {
	own := slices.Clone(c.TURN.RelayAddresses)
	for local, external := range c.TURN.ExternalAddresses {
		own = append(own, local, external)
	}
	if ip, err := netip.ParseAddr(c.PublicHost); err == nil {
		own = append(own, ip)
	}
	return own
}
