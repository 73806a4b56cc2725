package main

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/pion/stun/v3"

	"turnpike/auth"
	"turnpike/signal/wire"
)

// ownListener is a listener of the configuration, and where this machine reaches it.
type ownListener struct {
	network string // udp, tcp, tls or dtls
	addr    netip.AddrPort
}

// ownListeners lists the TURN listeners of cfg, on http listeners too. Those whose port the system chooses are not known here, and
// those over TCP are behind the load balancer if there is one.
func ownListeners(cfg *Config) (out []ownListener) {
	add := func(network string, addr netip.AddrPort) {
		if addr.Addr().IsUnspecified() {
			ip := netip.IPv6Loopback()
			if addr.Addr().Is4() {
				ip = netip.MustParseAddr("127.0.0.1")
			}
			addr = netip.AddrPortFrom(ip, addr.Port())
		}
		stream := network == "tcp" || network == "tls"
		if addr.Port() != 0 && !(stream && cfg.HTTP.ProxyProtocol) {
			out = append(out, ownListener{network, addr})
		}
	}
	for _, l := range cfg.TURN.Listen {
		add(l.Network, l.Addr)
	}
	network := "tcp"
	if cfg.TLS.Mode == tlsFiles {
		network = "tls"
	}
	for _, listen := range cfg.HTTP.Listen {
		host, port, err := net.SplitHostPort(listen)
		if n, e := strconv.ParseUint(port, 10, 16); err == nil && e == nil && cfg.HTTP.TURN {
			if ip, err := netip.ParseAddr(cmp.Or(host, "0.0.0.0")); err == nil {
				add(network, netip.AddrPortFrom(ip.Unmap(), uint16(n)))
			}
		}
	}
	return out
}

// checkOwn tries the listeners that no client is told of, DTLS among them, one of each network and port. servers have been tried.
func (c *checker) checkOwn(ctx context.Context, servers []wire.ICEServer) {
	type kind struct {
		network string
		port    uint16
	}
	var tried []kind
	var cred auth.Credential
	for _, server := range servers {
		if server.Username != "" {
			cred = auth.Credential{Username: server.Username, Password: server.Credential}
		}
		for _, raw := range server.URLs {
			if uri, err := stun.ParseURI(raw); err == nil && server.Username != "" {
				tried = append(tried, kind{iceTarget{uri: uri}.network(), uint16(uri.Port)})
			}
		}
	}
	base, err := url.Parse(c.base)
	if err != nil || cred.Username == "" {
		return
	}
	for _, l := range c.own {
		if k := (kind{l.network, l.addr.Port()}); !slices.Contains(tried, k) {
			tried = append(tried, k)
			target := iceTarget{uri: l.uri(), credential: cred, name: base.Hostname()}
			c.step(ctx, "turn "+l.network, target.uri.String(), target.relay)
		}
	}
}

// uri is the one by which RFC 7065 names the listener.
func (l ownListener) uri() *stun.URI {
	uri := &stun.URI{Scheme: stun.SchemeTypeTURN, Host: l.addr.Addr().String(), Port: int(l.addr.Port()), Proto: stun.ProtoTypeUDP}
	if l.network == "tcp" || l.network == "tls" {
		uri.Proto = stun.ProtoTypeTCP
	}
	if l.network == "tls" || l.network == "dtls" {
		uri.Scheme = stun.SchemeTypeTURNS
	}
	return uri
}
