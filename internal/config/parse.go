package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/secure/precis"
)

func notEmpty(example string) func(string) (string, error) {
	return func(s string) (string, error) {
		if s == "" {
			return "", fmt.Errorf("is empty; write it like %q", example)
		}
		return s, nil
	}
}

func parseRealm(s string) (string, error) {
	// RFC 8489 §14.9: fewer than 128 characters, at most 763 bytes.
	if s == "" || len(s) > 127 || strings.ContainsAny(s, "\"\\\r\n") {
		return "", fmt.Errorf("%q is not a realm; use 1 to 127 characters without quotes, like %q", s, "turnpike")
	}
	// Newer clients make their keys of the prepared form, older ones of the form that they receive: both must be the
	// same.
	if prepared, err := precis.OpaqueString.String(s); err != nil || prepared != s {
		return "", fmt.Errorf("%q is not a realm as clients prepare it (RFC 8265); use plain letters, like %q", s, "turnpike")
	}
	return s, nil
}

func parseRelayAddr(s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		return netip.Addr{}, fmt.Errorf("%q is not the address of one machine; write one of this machine, like %q", s, "203.0.113.9")
	}
	return a, err
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address; write it like %q or %q", s, "203.0.113.9", "2001:db8::9")
	}
	return a.Unmap(), nil
}

// parsePrefix accepts a CIDR whose host bits are zero; a bare address stands for itself alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a CIDR; write it like %q", s, "10.0.0.0/8")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits set after its length; write %q, or %q for that address alone", s, p.Masked(), p.Addr())
	}
	return p, nil
}

// parseHost accepts a host name or an IP address with neither scheme nor port, or nothing.
func parseHost(s string) (string, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if a, err := netip.ParseAddr(bare); err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	if strings.ContainsAny(s, ":/@?# \t\"'<>[]\\,%") || len(s) > 253 {
		return "", fmt.Errorf("%q is not a plain host; write it like %q, without scheme or port", s, "turn.example.org")
	}
	return strings.ToLower(s), nil
}

// parseName accepts a DNS name with a letter in its last part, so that no mistyped address passes for one.
func parseName(s string) (string, bool) {
	name, err := parseHost(s)
	if err != nil || len(name) > 253 {
		return "", false
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, strings.ContainsAny(labels[len(labels)-1], "abcdefghijklmnopqrstuvwxyz")
}

func parseHostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, "/@ ") {
		return "", fmt.Errorf("%q is not an address to listen on; write it like %q or %q", s, "127.0.0.1:8080", ":8080")
	}
	return s, nil
}

// optional also accepts the empty string, which turns the thing off.
func optional[T any](parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		if s == "" {
			var zero T
			return zero, nil
		}
		return parse(s)
	}
}

// parseOrigin takes the Origin header that a site's pages send, or that of an app that brings its pages along: those have a
// scheme of their own, as in capacitor://localhost, and some no host.
func parseOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	if s == "null" || err == nil && slices.Contains([]string{"file", "data", "blob", "about"}, u.Scheme) {
		return "", fmt.Errorf(`%q would let in every page: those from files and data all send "null" as their origin; give the app a scheme or an address of its own`, s)
	}
	isWeb := err == nil && (u.Scheme == "https" || u.Scheme == "http")
	isApp := err == nil && !isWeb && u.Scheme != "" && !slices.Contains([]string{"ws", "wss", "ftp", "javascript"}, u.Scheme)
	if !isWeb && !isApp || isWeb && u.Host == "" || !strings.Contains(s, "://") ||
		u.User != nil || u.Path != "" || strings.ContainsAny(s, "?#*, ") {
		return "", fmt.Errorf("%q is not an origin; write it like %q, with nothing after the host", s, "https://app.example.org")
	}
	return strings.ToLower(s), nil
}

// duration refuses less than least.
func duration(least time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration; write it like %q, %q or %q", s, "30s", "10m", "24h")
		}
		if d < least {
			return 0, fmt.Errorf("%q is too short; use %q or longer", s, showDuration(least))
		}
		return d, nil
	}
}

// showDuration writes 10m for 10m0s and 24h for 24h0m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// oneOf accepts some words.
func oneOf(words []string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			quoted := make([]string, len(words))
			for i, w := range words {
				quoted[i] = strconv.Quote(w)
			}
			return "", fmt.Errorf("%q is none of its values; use %s", s, strings.Join(quoted, " or "))
		}
		return s, nil
	}
}
