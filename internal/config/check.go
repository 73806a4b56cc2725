package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// check refuses combinations that cannot work.
func (c *Config) check() []error {
	var bad []error
	refuse := func(name, format string, args ...any) { bad = append(bad, c.Errorf(name, format, args...)) }

	if c.HTTP.ProxyProtocol && len(c.HTTP.TrustedProxies) == 0 {
		refuse("http.proxy_protocol", `is true, but http.trusted_proxies is empty, so nobody could connect; name your load balancer there, like ["10.0.0.2"]`)
	}
	for i, app := range c.TURN.Apps {
		if slices.ContainsFunc(c.TURN.SharedSecrets, app.Secret.same) {
			refuse(fmt.Sprintf("turn.apps[%d].secret", i), "is among turn.shared_secrets, too, so that nobody could tell whose a credential is; remove it there")
		}
	}
	if c.Signal.ResumeWindow > maxResumeWindow {
		refuse("signal.resume_window", "%s is too long: the server keeps every message that a session misses until then; use at most %s",
			showDuration(c.Signal.ResumeWindow), showDuration(maxResumeWindow))
	}
	for _, f := range []struct{ key, value string }{{"tls.cert_file", c.TLS.CertFile}, {"tls.key_file", c.TLS.KeyFile}} {
		switch {
		case c.TLS.Mode == TLSFiles && f.value == "":
			refuse(f.key, `is empty, but tls.mode is "files"; name the PEM file`)
		case c.TLS.Mode != TLSFiles && f.value != "":
			refuse(f.key, `is set, but tls.mode is %q; set tls.mode = "files", or remove it`, c.TLS.Mode)
		}
	}
	switch {
	case len(c.HTTP.Listen) == 0 && c.TLS.Mode == TLSACME && len(c.HTTP.RedirectListen) > 0:
		refuse("http.listen", `has only port 80, which with tls.mode = "acme" answers challenges and sends browsers to https; add the port of https, like [":443", ":80"]`)
	case len(c.HTTP.Listen) == 0:
		refuse("http.listen", `is empty; write at least one address, like "127.0.0.1:8080"`)
	}
	for i, addr := range c.HTTP.Listen {
		if !strings.HasSuffix(addr, ":0") && slices.Contains(c.HTTP.Listen[:i], addr) {
			refuse(fmt.Sprintf("http.listen[%d]", i), "%q stands there twice; remove one", addr)
		}
	}
	return append(append(bad, c.checkACME()...), c.checkTURN()...)
}

func (c *Config) checkTURN() []error {
	var bad []error
	refuse := func(name, format string, args ...any) { bad = append(bad, c.Errorf(name, format, args...)) }

	if len(c.TURN.Listen) == 0 && !c.HTTP.TURN {
		refuse("turn.listen", `is empty, and http.turn is false; write at least one listener, like "udp://0.0.0.0:3478"`)
	}
	for i, l := range c.TURN.Listen {
		name := fmt.Sprintf("turn.listen[%d]", i)
		if (l.Network == "tls" || l.Network == "dtls") && c.TLS.Mode == TLSOff {
			refuse(name, `%q needs a certificate, but tls.mode is "off"; set tls.mode = "acme", or "files" with tls.cert_file and tls.key_file`, l)
		}
		if l.Addr.Port() == 0 {
			continue
		}
		if slices.Contains(c.TURN.Listen[:i], l) {
			refuse(name, "%q stands there twice; remove one", l)
			continue
		}
		for _, other := range c.TURN.Listen[:i] {
			if portKind(l) == portKind(other) && l.Addr == other.Addr {
				refuse(name, "%q has the port of %q; give one of them a port of its own", l, other)
			}
		}
		for _, addr := range c.HTTP.Listen {
			if portKind(l) == "tcp" && sameAddress(addr, l.Addr) {
				refuse(name, "%q has the port of http.listen %q, which carries TURN itself; remove this listener", l, addr)
			}
		}
	}
	for i, a := range c.TURN.RelayAddresses {
		for _, other := range c.TURN.RelayAddresses[:i] {
			name, seen := fmt.Sprintf("turn.relay_addresses[%d]", i), c.seenAs(a)
			switch {
			case a == other:
				refuse(name, "%q stands there twice; remove one", a)
			case seen == c.seenAs(other) || seen == other.String() || a.String() == c.seenAs(other):
				refuse(name, "%q and %q look like one address from outside, by turn.external_addresses; give each an external address of its own", other, a)
			}
		}
	}
	if len(c.TURN.RelayAddresses) > 0 {
		for _, local := range c.Externals() {
			if !local.IsUnspecified() && !slices.Contains(c.TURN.RelayAddresses, local) && !c.InDiscovery(local) {
				refuse("turn.external_addresses", "%q is not among turn.relay_addresses; write a local address on the left and the one the world sees on the right", local)
			}
		}
	}
	bad = append(bad, c.checkPublicPorts()...)
	_, problems := c.discovery()
	bad = append(bad, problems...)
	return append(bad, c.CheckAlternates(c.ownAddresses())...)
}

// seenAs returns the address, or its name, that the world sees for a local address.
func (c *Config) seenAs(local netip.Addr) string {
	every := netip.IPv6Unspecified()
	if local.Is4() {
		every = netip.IPv4Unspecified()
	}
	for _, row := range []netip.Addr{local, every} {
		if external, ok := c.TURN.ExternalAddresses[row]; ok {
			return external.String()
		}
		if name, ok := c.TURN.ExternalNames[row]; ok {
			return name
		}
	}
	return local.String()
}

// portKind returns udp or tcp: the protocol whose port a listener takes.
func portKind(l Listener) string {
	if l.Network == "udp" || l.Network == "dtls" {
		return "udp"
	}
	return "tcp"
}

// sameAddress reports whether an address as net.Listen takes it would surely collide with addr.
func sameAddress(listen string, addr netip.AddrPort) bool {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port != strconv.Itoa(int(addr.Port())) {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" && addr.Addr().IsUnspecified() || err == nil && ip.Unmap() == addr.Addr()
}
