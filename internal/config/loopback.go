package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// LocalOnly reports whether the configuration leaves no way by which a stranger's request could come to the pages and the
// API. A name that others know, a trusted proxy, TLS and PROXY headers each tell of strangers, even on a loopback listener: a
// reverse proxy or a forwarder may connect from this machine and not say for whom.
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
