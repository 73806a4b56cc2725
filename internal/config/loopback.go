package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// LocalOnly reports whether, by the configuration, only this machine can reach the pages and the API. A public name, a
// trusted proxy, TLS and PROXY headers each tell of strangers, even with loopback listeners: a reverse proxy or a
// forwarder may connect from this machine and not say for whom.
func (c *Config) LocalOnly() bool {
	return (c.PublicHost == "" || LoopbackHost(c.PublicHost)) && len(c.HTTP.TrustedProxies) == 0 &&
		c.TLS.Mode == TLSOff && !c.HTTP.ProxyProtocol && c.listensOnLoopbackOnly()
}

func (c *Config) listensOnLoopbackOnly() bool {
	return !slices.ContainsFunc(c.HTTP.Listen, func(addr string) bool { return !ListensOnLoopback(addr) })
}

// ListensOnLoopback reports whether only this machine reaches a listening address.
func ListensOnLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && LoopbackHost(host)
}

// LoopbackHost reports whether host, without a port, can only mean this machine.
func LoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
