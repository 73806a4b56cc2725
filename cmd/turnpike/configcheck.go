package main

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"turnpike/turnserver"
)

// check refuses combinations that cannot work, and what only a later version does.
func (c *Config) check() []error {
	var bad []error
	refuse := func(name, format string, args ...any) { bad = append(bad, c.errorf(name, format, args...)) }

	if c.HTTP.ProxyProtocol && len(c.HTTP.TrustedProxies) == 0 {
		refuse("http.proxy_protocol", `is true, but http.trusted_proxies is empty, so nobody could connect; name your load balancer there, like ["10.0.0.2"]`)
	}
	if len(c.Auth.APIKeys) > 0 && len(c.TURN.SharedSecrets) == 0 {
		refuse("auth.api_keys", "has keys for credentials that the first of turn.shared_secrets signs, but there is none; make one with: openssl rand -hex 32")
	}
	if c.Signal.ResumeWindow > maxResumeWindow {
		refuse("signal.resume_window", "%s is too long: what a session misses is kept for it until then; use at most %s",
			showDuration(c.Signal.ResumeWindow), showDuration(maxResumeWindow))
	}
	for _, f := range []struct{ key, value string }{{"tls.cert_file", c.TLS.CertFile}, {"tls.key_file", c.TLS.KeyFile}} {
		switch {
		case c.TLS.Mode == tlsFiles && f.value == "":
			refuse(f.key, `is empty, but tls.mode is "files"; name the PEM file`)
		case c.TLS.Mode == tlsOff && f.value != "":
			refuse(f.key, `is set, but tls.mode is "off"; set tls.mode = "files", or remove it`)
		}
	}
	if len(c.HTTP.Listen) == 0 {
		refuse("http.listen", `is empty; write at least one address, like "127.0.0.1:8080"`)
	}
	for i, addr := range c.HTTP.Listen {
		if !strings.HasSuffix(addr, ":0") && slices.Contains(c.HTTP.Listen[:i], addr) {
			refuse(fmt.Sprintf("http.listen[%d]", i), "%q stands there twice; remove one", addr)
		}
	}
	return append(bad, c.checkTURN()...)
}

func (c *Config) checkTURN() []error {
	var bad []error
	refuse := func(name, format string, args ...any) { bad = append(bad, c.errorf(name, format, args...)) }

	if len(c.TURN.Listen) == 0 && !c.HTTP.TURN {
		refuse("turn.listen", `is empty, and http.turn is false; write at least one listener, like "udp://0.0.0.0:3478"`)
	}
	for i, l := range c.TURN.Listen {
		name := fmt.Sprintf("turn.listen[%d]", i)
		if (l.Network == "tls" || l.Network == "dtls") && c.TLS.Mode == tlsOff {
			refuse(name, `%q needs a certificate, but tls.mode is "off"; set tls.mode = "files", tls.cert_file and tls.key_file`, l)
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
		if slices.ContainsFunc(c.TURN.RelayAddresses[:i], func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			refuse(fmt.Sprintf("turn.relay_addresses[%d]", i), "%q is the second of its family; this version relays from one IPv4 and one IPv6 address", a)
		}
	}
	if len(c.TURN.RelayAddresses) > 0 {
		for _, local := range slices.SortedFunc(maps.Keys(c.TURN.ExternalAddresses), netip.Addr.Compare) {
			if !slices.Contains(c.TURN.RelayAddresses, local) && !c.inDiscovery(local) {
				refuse("turn.external_addresses", "%q is not among turn.relay_addresses; write a local address on the left and the one the world sees on the right", local)
			}
		}
	}
	_, problems := c.discovery()
	bad = append(bad, problems...)
	return append(bad, c.checkAlternates(c.ownAddresses())...)
}

// portKind is what a listener's port is a port of.
func portKind(l turnserver.Listener) string {
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

// warnings are what starts, but hardly as meant. relays are the addresses that relaying will use.
func (c *Config) warnings(relays []netip.Addr) []string {
	var out []string
	warn := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }

	loopback := c.listensOnLoopbackOnly()
	proxied := len(c.HTTP.TrustedProxies) > 0
	switch {
	case c.PublicHost != "" && !loopbackHost(c.PublicHost) && loopback && !proxied:
		warn("public_host is %q, but http.listen has only loopback addresses, so nobody outside reaches the pages: "+
			"set http.listen = [\":443\"] with tls.mode = \"files\", or name your reverse proxy in http.trusted_proxies", c.PublicHost)
	case !loopback && c.TLS.Mode == tlsOff && !proxied:
		warn("http.listen is open to the network without TLS: browsers give no camera or microphone to pages without https; " +
			"set tls.mode = \"files\", or put a reverse proxy with a certificate in front and name it in http.trusted_proxies")
	}
	if publicName(c.PublicHost) && len(c.TURN.ExternalAddresses) == 0 {
		for _, a := range relays {
			if a.Is4() && (a.IsPrivate() || a.IsLoopback() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)) {
				warn("the relay address %s is private, while public_host is %q: peers outside cannot reach it; "+
					"behind 1:1 NAT set turn.external_addresses = { %q = \"your public address\" }", a, c.PublicHost, a)
			}
		}
	}
	if c.Metrics.Listen != "" && !listensOnLoopback(c.Metrics.Listen) {
		warn("metrics.listen is %q, where others may reach it: pprof is off there, and a firewall should keep strangers out", c.Metrics.Listen)
	}
	return out
}

// localOnly reports whether the configuration leaves no way by which a stranger's request could come to the pages and the
// API. A name that others know, a trusted proxy, TLS and PROXY headers each tell of strangers, even on a loopback listener: a
// reverse proxy or a forwarder may connect from this machine and not say for whom.
func (c *Config) localOnly() bool {
	return (c.PublicHost == "" || loopbackHost(c.PublicHost)) && len(c.HTTP.TrustedProxies) == 0 &&
		c.TLS.Mode == tlsOff && !c.HTTP.ProxyProtocol && c.listensOnLoopbackOnly()
}

func (c *Config) listensOnLoopbackOnly() bool {
	return !slices.ContainsFunc(c.HTTP.Listen, func(addr string) bool { return !listensOnLoopback(addr) })
}

// listensOnLoopback reports whether only this machine reaches a listening address.
func listensOnLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && loopbackHost(host)
}

// loopbackHost reports whether host, without a port, can only mean this machine.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// publicName guesses whether the whole world is meant to reach host.
func publicName(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.IsGlobalUnicast() && !a.IsPrivate()
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
