package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Warnings names values that the server can start with, but that the operator hardly meant. relays are the addresses
// that it relays from.
func (c *Config) Warnings(relays []netip.Addr) []string {
	out := slices.Clone(c.emptied)
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	loopback := c.listensOnLoopbackOnly()
	proxied := len(c.HTTP.TrustedProxies) > 0
	switch {
	case c.PublicHost != "" && !LoopbackHost(c.PublicHost) && loopback && !proxied:
		warn("public_host is %q, but http.listen has only loopback addresses, so nobody outside reaches the pages: "+
			"set http.listen = [\":443\"] with tls.mode = \"acme\" or \"files\", or name your reverse proxy in http.trusted_proxies", c.PublicHost)
	case !loopback && c.TLS.Mode == TLSOff && !proxied:
		warn("http.listen is open to the network without TLS: browsers give no camera or microphone to pages without https; " +
			"set tls.mode = \"acme\" or \"files\", or put a reverse proxy with a certificate in front and name it in http.trusted_proxies")
	}
	if PublicName(c.PublicHost) && len(c.Externals()) == 0 {
		for _, a := range relays {
			if a.Is4() && (PrivateAddress(a) || a.IsLoopback()) {
				warn("the relay address %s is private, while public_host is %q: peers outside cannot reach it; "+
					"behind 1:1 NAT set turn.external_addresses = { %q = \"your public address\" }", a, c.PublicHost, a)
			}
		}
	}
	if c.Metrics.Listen != "" && !ListensOnLoopback(c.Metrics.Listen) {
		warn("metrics.listen is %q, where others may reach it: pprof is off there, and a firewall should keep strangers out", c.Metrics.Listen)
	}
	return out
}

// OwnPortsWarning says that turn.allow_own_ports opens nothing, since turn.allow_peers names none of the addresses that relays have here. It
// is empty if that is not so.
func (c *Config) OwnPortsWarning(own []netip.Addr) string {
	names := func(p netip.Prefix) bool { return p.IsSingleIP() && slices.Contains(own, p.Addr().Unmap()) }
	if len(c.TURN.AllowOwnPorts) == 0 || slices.ContainsFunc(c.TURN.AllowPeers, names) {
		return ""
	}
	hint := "an address that relays have here, alone"
	for _, a := range slices.Backward(own) { // the external form of an address comes after the local one, and is the one that clients know
		if a.IsValid() {
			hint = fmt.Sprintf("%q", netip.PrefixFrom(a, a.BitLen()).String())
			break
		}
	}
	return fmt.Sprintf("turn.allow_own_ports opens nothing, because turn.allow_peers names no address of this host alone: add %s to turn.allow_peers, "+
		"or remove turn.allow_own_ports", hint)
}

// PrivateAddress reports whether an address is of many networks: RFC 1918's, unique local ones, and those behind carriers' NATs.
func PrivateAddress(a netip.Addr) bool {
	return a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}

// PublicName guesses whether host is meant for the whole world.
func PublicName(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsGlobalUnicast() && !PrivateAddress(a)
	}
	_, suffix, dotted := strings.Cut(host, ".")
	if !dotted {
		return false
	}
	if i := strings.LastIndexByte(suffix, '.'); i >= 0 {
		suffix = suffix[i+1:]
	}
	return !slices.Contains([]string{"local", "localhost", "lan", "internal", "test", "arpa"}, suffix)
}
