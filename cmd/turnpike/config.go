package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/secure/precis"

	"turnpike/auth"
	"turnpike/turnserver"
)

// Config is everything that an operator can set. The names of the keys are a contract; keys() binds
// each to its field, and the file, the variables, the flags, `turnpike config` and the help all go by that one table.
type Config struct {
	PublicHost   string // without brackets when it is an IPv6 address; empty: found out
	StateDir     string
	DrainTimeout time.Duration

	HTTP struct {
		Listen         []string // as net.Listen takes it
		AllowedOrigins []string
		TrustedProxies []netip.Prefix
		ProxyProtocol  bool
		TURN           bool // STUN and TURN on the same ports
	}
	TLS struct {
		Mode     string // off or files
		CertFile string
		KeyFile  string
	}
	TURN struct {
		Realm             string
		Listen            []turnserver.Listener
		RelayAddresses    []netip.Addr // empty: the default route's source addresses
		ExternalAddresses map[netip.Addr]netip.Addr
		RelayPorts        portRange
		SharedSecrets     []auth.Secret
		AllowPeers        []netip.Prefix
		DenyPeers         []netip.Prefix
		TCPRelaying       bool
		Mobility          bool
		NATDiscoveryPort  int // 0: off
		AlternateServer   []turnserver.Alternate
		AlternateDomain   string
		Offload           string
	}
	Auth struct {
		Guests        string // loopback, always or never
		TicketTTL     time.Duration
		CredentialTTL time.Duration
		APIKeys       []auth.Secret
		Issuers       []issuerConfig
	}
	Signal struct {
		ResumeWindow time.Duration
	}
	Limits  limits
	Metrics struct {
		Listen string // empty: off
	}

	file    string            // the file that was read; empty: none
	sources map[string]string // key -> where its value came from; absent: the default
}

// portRange is inclusive at both ends.
type portRange struct{ min, max uint16 }

func (r portRange) String() string { return fmt.Sprintf("%d-%d", r.min, r.max) }

func parsePortRange(s string) (portRange, error) {
	low, high, ok := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	if !ok || err1 != nil || err2 != nil || first == 0 {
		return portRange{}, fmt.Errorf("%q is not a range of ports; write it like %q", s, "49152-65535")
	}
	if first > last {
		return portRange{}, fmt.Errorf("%q ends before it begins; write %q", s, fmt.Sprintf("%d-%d", last, first))
	}
	return portRange{uint16(first), uint16(last)}, nil
}

// parseListener reads "udp://0.0.0.0:3478". Port 0 lets the system choose.
func parseListener(s string) (turnserver.Listener, error) {
	network, rest, ok := strings.Cut(s, "://")
	addr, err := netip.ParseAddrPort(rest)
	if !ok || !slices.Contains([]string{"udp", "tcp", "tls", "dtls"}, network) || err != nil {
		return turnserver.Listener{}, fmt.Errorf("%q is not a listener; write it like %q or %q, with udp, tcp, tls or dtls", s, "udp://0.0.0.0:3478", "tcp://[::]:3478")
	}
	return turnserver.Listener{Network: network, Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
}

// key is one line of the configuration.
type key struct {
	name   string // as the file has it: turn.realm
	value  value
	help   string
	secret bool // neither a flag, which `ps` would show, nor ever printed
}

// env is the variable that sets the key: TURNPIKE_TURN_REALM.
func (k key) env() string {
	return "TURNPIKE_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// flag is the flag that sets the key, without its dashes: turn-realm.
func (k key) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(k.name) }

const (
	guestsLoopback = "loopback"
	guestsAlways   = "always"
	guestsNever    = "never"

	tlsOff   = "off"
	tlsFiles = "files"

	offloadAuto    = "auto"
	offloadOff     = "off"
	offloadRequire = "require"
)

func (c *Config) keys() []key {
	str := func(p *string, parse func(string) (string, error), example string) value {
		return scalar[string]{p, parse, same, example}
	}
	strs := func(p *[]string, parse func(string) (string, error), example string) value {
		return list[string]{p, parse, same, example}
	}
	dur := func(p *time.Duration, least time.Duration) value {
		return scalar[time.Duration]{p, duration(least), showDuration, "30s"}
	}
	prefixes := func(p *[]netip.Prefix) value {
		return list[netip.Prefix]{p, parsePrefix, netip.Prefix.String, "10.0.0.0/8"}
	}
	anything := func(s string) (string, error) { return s, nil }

	keys := []key{
		{name: "public_host", value: str(&c.PublicHost, parseHost, "turn.example.org"),
			help: "the name or address that clients reach; wins over the Host header"},
		{name: "state_dir", value: str(&c.StateDir, notEmpty("./turnpike-state"), "/var/lib/turnpike"),
			help: "where the generated secret lives"},
		{name: "drain_timeout", value: dur(&c.DrainTimeout, 0),
			help: "how long a stopping server waits for its relays to end"},

		{name: "http.listen", value: strs(&c.HTTP.Listen, parseHostPort, "127.0.0.1:8080"),
			help: "addresses of the web pages and signaling, and of TURN over TCP, or TLS if there is a certificate"},
		{name: "http.turn", value: toggle{&c.HTTP.TURN},
			help: "answer STUN and TURN there too"},
		{name: "http.allowed_origins", value: strs(&c.HTTP.AllowedOrigins, parseOrigin, "https://app.example.org"),
			help: "other origins that may use signaling and the SDK"},
		{name: "http.trusted_proxies", value: prefixes(&c.HTTP.TrustedProxies),
			help: "CIDRs whose X-Forwarded-For or PROXY header is believed"},
		{name: "http.proxy_protocol", value: toggle{&c.HTTP.ProxyProtocol},
			help: "a PROXY header is mandatory on all TCP listeners, and nobody but trusted_proxies may connect"},

		{name: "tls.mode", value: str(&c.TLS.Mode, oneOf([]string{tlsOff, tlsFiles}, map[string]string{
			"acme": `use "files" with tls.cert_file and tls.key_file, or a reverse proxy that holds the certificate`,
		}), tlsFiles), help: "off, or files: https on every http listener, and tls:// and dtls://"},
		{name: "tls.cert_file", value: str(&c.TLS.CertFile, anything, "fullchain.pem"), help: "PEM certificate, its chain after it; read again when it changes"},
		{name: "tls.key_file", value: str(&c.TLS.KeyFile, anything, "privkey.pem"), help: "PEM private key"},

		{name: "turn.realm", value: str(&c.TURN.Realm, parseRealm, "turnpike"), help: "realm of the TURN credentials"},
		{name: "turn.listen", value: list[turnserver.Listener]{&c.TURN.Listen, parseListener, turnserver.Listener.String, "udp://0.0.0.0:3478"},
			help: "STUN and TURN listeners: udp://, tcp://, tls:// and dtls://"},
		{name: "turn.relay_addresses", value: list[netip.Addr]{&c.TURN.RelayAddresses, parseRelayAddr, netip.Addr.String, "203.0.113.9"},
			help: "local addresses to relay from; default: those of the default route"},
		{name: "turn.external_addresses", value: addrPairs{&c.TURN.ExternalAddresses},
			help: "behind 1:1 NAT: local address = address that the world sees"},
		{name: "turn.relay_ports", value: scalar[portRange]{&c.TURN.RelayPorts, parsePortRange, portRange.String, "49152-65535"},
			help: "UDP and TCP ports to relay from"},
		{name: "turn.tcp_relaying", value: toggle{&c.TURN.TCPRelaying},
			help: "relay TCP connections to and from peers too (RFC 6062), for clients that ask for it; browsers do not"},
		{name: "turn.mobility", value: toggle{&c.TURN.Mobility},
			help: "clients that ask for it keep their relay when their address changes (RFC 8016); browsers do not"},
		{name: "turn.shared_secrets", value: list[auth.Secret]{&c.TURN.SharedSecrets, parseSecret, auth.Secret.String, "a long random string"},
			secret: true, help: "TURN REST API secrets of other apps; the first signs, all verify"},
		{name: "turn.allow_peers", value: prefixes(&c.TURN.AllowPeers), help: "CIDRs that open the default peer policy"},
		{name: "turn.deny_peers", value: prefixes(&c.TURN.DenyPeers), help: "CIDRs that close it further; deny wins"},
		{name: "turn.nat_discovery_port", value: number{&c.TURN.NATDiscoveryPort, 0},
			help: "a second UDP port, to tell clients what NAT they are behind; needs two addresses in turn.listen; 0: off"},
		{name: "turn.alternate_server", value: list[turnserver.Alternate]{&c.TURN.AlternateServer, parseAlternate, showAlternate, "203.0.113.20:3478"},
			help: "where clients are sent while this server drains: one address of each family, and with tls:// for those on TLS"},
		{name: "turn.alternate_domain", value: str(&c.TURN.AlternateDomain, parseHost, "turn2.example.org"),
			help: "the name in the certificate there, if it is another"},
		{name: "turn.offload", value: str(&c.TURN.Offload, oneOf([]string{offloadAuto, offloadOff, offloadRequire}, nil), offloadAuto),
			help: "established flows in the kernel (Linux, with privileges): auto, off, or require, which does not start without"},

		{name: "auth.guests", value: str(&c.Auth.Guests, oneOf([]string{guestsLoopback, guestsAlways, guestsNever}, nil), guestsLoopback),
			help: "who gets in with no invite: loopback (this machine, if nothing here tells of others), always (as guests) or never"},
		{name: "auth.ticket_ttl", value: dur(&c.Auth.TicketTTL, 10*time.Second), help: "how long a ticket admits"},
		{name: "auth.credential_ttl", value: dur(&c.Auth.CredentialTTL, time.Minute), help: "how long a TURN credential allocates"},
		{name: "auth.api_keys", value: list[auth.Secret]{&c.Auth.APIKeys, parseSecret, auth.Secret.String, "a long random string"},
			secret: true, help: "keys of your apps' servers, for GET /api/v1/turn-credentials"},
		{name: "auth.issuers", value: issuerList{&c.Auth.Issuers}, secret: true,
			help: "[[auth.issuers]] tables: apps whose tickets are accepted as they are"},

		{name: "signal.resume_window", value: dur(&c.Signal.ResumeWindow, 0),
			help: "how long a session without a connection can be resumed; 0: not at all"},
	}
	keys = append(keys, c.Limits.keys()...)
	return append(keys, key{name: "metrics.listen", value: str(&c.Metrics.Listen, optional(parseHostPort), "127.0.0.1:9090"),
		help: "Prometheus metrics, and pprof if the address is loopback; empty: off"})
}

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
	// Newer clients make their keys of the prepared form, older ones of what they are sent: it has to be the same.
	if prepared, err := precis.OpaqueString.String(s); err != nil || prepared != s {
		return "", fmt.Errorf("%q is not a realm as clients prepare it (RFC 8265); use plain letters, like %q", s, "turnpike")
	}
	return s, nil
}

func parseRelayAddr(s string) (netip.Addr, error) {
	a, err := parseAddr(s)
	if err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		return netip.Addr{}, fmt.Errorf("%q is no address of one machine; write one that this machine has, like %q", s, "203.0.113.9")
	}
	return a, err
}

// defaultConfig works with no file at all. stateDir is the default of state_dir.
func defaultConfig(stateDir string) *Config {
	c := &Config{StateDir: stateDir, DrainTimeout: 30 * time.Second, sources: map[string]string{}}
	c.HTTP.Listen = []string{"127.0.0.1:8080"}
	c.HTTP.TURN = true
	c.TLS.Mode = tlsOff
	c.TURN.Realm = "turnpike"
	c.TURN.Listen = []turnserver.Listener{
		{Network: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:3478")},
		{Network: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:3478")},
		{Network: "udp", Addr: netip.MustParseAddrPort("[::]:3478")},
		{Network: "tcp", Addr: netip.MustParseAddrPort("[::]:3478")},
	}
	c.TURN.ExternalAddresses = map[netip.Addr]netip.Addr{}
	c.TURN.RelayPorts = portRange{49152, 65535}
	c.TURN.TCPRelaying = true
	c.TURN.Offload = offloadAuto
	c.Auth.Guests = guestsLoopback
	c.Auth.TicketTTL = 10 * time.Minute
	c.Auth.CredentialTTL = time.Hour
	c.Signal.ResumeWindow = defaultResumeWindow
	c.Limits = defaultLimits()
	c.Metrics.Listen = "127.0.0.1:9090"
	return c
}

const (
	defaultResumeWindow = 30 * time.Second
	maxResumeWindow     = 10 * time.Minute
)

// secretFile is the one secret that everything this server signs is derived from.
func (c *Config) secretFile() string { return filepath.Join(c.StateDir, "secret") }

// ledgerFile remembers which invites were made, used and revoked.
func (c *Config) ledgerFile() string { return filepath.Join(c.StateDir, "invites") }
