package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
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

// who says for whom the server is, and by which command others are invited.
func (c *Config) who() string {
	switch {
	case c.Auth.Guests == guestsAlways:
		return "anyone (guests = always)"
	case c.Auth.Guests == guestsLoopback && c.localOnly():
		return "anyone on this machine (guests = loopback); others need an invite: " + c.inviteCommand()
	case c.Auth.Guests == guestsLoopback:
		return "those with an invite, because others can reach this server (guests = loopback): " + c.inviteCommand()
	}
	return "those with an invite (guests = never): " + c.inviteCommand()
}

// admitsGuests reports whether anybody gets in without an invite.
func (c *Config) admitsGuests() bool {
	return c.Auth.Guests == guestsAlways || c.Auth.Guests == guestsLoopback && c.localOnly()
}

// inviteCommand is the command that makes an invite for this server, from the folder in which the server was started.
func (c *Config) inviteCommand() string {
	command := "turnpike invite --room NAME"
	if c.file != "" && c.file != defaultConfigFile {
		command += " --config " + shellWord(c.file)
	}
	if strings.HasPrefix(c.sources["state_dir"], "--") {
		command += " --state " + shellWord(c.StateDir)
	}
	return command
}

// shellWord quotes a word for a POSIX shell, if it needs that.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
