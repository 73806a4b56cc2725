package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// publicURL is the URL, without a path, by which others reach the pages: of public_host if it is set, else of the first
// listener. addrs are the HTTP listeners.
func (c *Config) publicURL(addrs []string) string {
	i := max(0, slices.IndexFunc(addrs, func(addr string) bool { return !listensOnLoopback(addr) }))
	if c.PublicHost == "" {
		return c.listenerURL(addrs[i])
	}
	if len(c.HTTP.TrustedProxies) > 0 && c.TLS.Mode == tlsOff { // the proxy has the certificate
		return "https://" + bracket(c.PublicHost)
	}
	_, port, _ := net.SplitHostPort(addrs[i])
	return c.url(c.PublicHost, port)
}

// webURLs is what the operator may open: the public URL and the listeners' own.
func (c *Config) webURLs(addrs []string) []string {
	urls := []string{c.publicURL(addrs)}
	for _, addr := range addrs {
		if u := c.listenerURL(addr); !slices.Contains(urls, u) && (c.PublicHost == "" || listensOnLoopback(addr)) {
			urls = append(urls, u)
		}
	}
	return urls
}

// listenerURL is the URL by which this machine reaches a listener.
func (c *Config) listenerURL(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if a, err := netip.ParseAddr(host); host == "" || err == nil && (a.IsUnspecified() || a == netip.MustParseAddr("127.0.0.1")) {
		host = "localhost"
	}
	return c.url(host, port)
}

func (c *Config) url(host, port string) string {
	scheme, usual := "http", "80"
	if c.TLS.Mode == tlsFiles {
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

// who says who may get in, and how to let others in.
func (c *Config) who() string {
	const invite = "turnpike invite --room NAME"
	switch c.Auth.Guests {
	case guestsAlways:
		return "anyone (guests = always)"
	case guestsNever:
		return "those with an invite (guests = never): " + invite
	}
	return "anyone on this machine (guests = loopback); others need an invite: " + invite
}
