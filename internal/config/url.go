package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// PublicURL returns the URL, without a path, by which others reach the pages: that of public_host, else that of the
// first listener which is not on loopback, else of the first. addrs are the HTTP listeners.
func (c *Config) PublicURL(addrs []string) string {
	i := max(0, slices.IndexFunc(addrs, func(addr string) bool { return !ListensOnLoopback(addr) }))
	if c.PublicHost == "" {
		return c.ListenerURL(addrs[i])
	}
	if len(c.HTTP.TrustedProxies) > 0 && c.TLS.Mode == TLSOff { // the proxy has the certificate
		return "https://" + bracket(c.PublicHost)
	}
	_, port, _ := net.SplitHostPort(addrs[i])
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.Itoa(int(c.PublicPort(c.webNetwork(), uint16(n))))
	}
	return c.url(c.PublicHost, port)
}

// WebURLs returns the URLs that the operator may open: the public one and the listeners' own.
func (c *Config) WebURLs(addrs []string) []string {
	urls := []string{c.PublicURL(addrs)}
	for _, addr := range addrs {
		if u := c.ListenerURL(addr); !slices.Contains(urls, u) && (c.PublicHost == "" || ListensOnLoopback(addr)) {
			urls = append(urls, u)
		}
	}
	return urls
}

// ListenerURL returns the URL by which this machine reaches a listener.
func (c *Config) ListenerURL(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if a, err := netip.ParseAddr(host); host == "" || err == nil && (a.IsUnspecified() || a == netip.MustParseAddr("127.0.0.1")) {
		host = "localhost"
	}
	return c.url(host, port)
}

func (c *Config) url(host, port string) string {
	scheme, usual := "http", "80"
	if c.TLS.Mode != TLSOff {
		scheme, usual = "https", "443"
	}
	if port == usual {
		return scheme + "://" + bracket(host)
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
