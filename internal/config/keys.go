package config

import (
	"net/netip"
	"strings"
	"time"
)

// key is one line of the configuration.
type key struct {
	name   string // as the file has it: turn.realm
	value  value
	help   string
	secret bool // it has no flag, which `ps` would show, and is never printed
	needed bool // the server cannot do without a value, so that an empty variable sets none
}

// env is the variable that sets the key: TURNPIKE_TURN_REALM.
func (k key) env() string {
	return "TURNPIKE_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// flag is the flag that sets the key, without its dashes: turn-realm.
func (k key) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(k.name) }

func (c *Config) keys() []key {
	str := func(p *string, parse func(string) (string, error), example string) value {
		return scalar[string]{p, parse, asIs, example}
	}
	strs := func(p *[]string, parse func(string) (string, error), example string) value {
		return list[string]{p, parse, asIs, example}
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
		{name: "state_dir", value: str(&c.StateDir, notEmpty("./"+defaultStateName), "/var/lib/turnpike"),
			help: "where the generated secret and the list of invites live"},
		{name: "drain_timeout", value: dur(&c.DrainTimeout, 0),
			help: "how long a stopping server waits for its relays to end"},

		{name: "http.listen", value: strs(&c.HTTP.Listen, parseHostPort, "127.0.0.1:8080"), needed: true,
			help: "addresses of the web pages and signaling, and of TURN over TCP, or over TLS with a certificate"},
		{name: "http.redirect_listen", value: strs(&c.HTTP.RedirectListen, parseHostPort, ":80"),
			help: "addresses that only send browsers to https, and answer ACME challenges; default with tls.mode acme: :80"},
		{name: "http.turn", value: toggle{&c.HTTP.TURN},
			help: "answer STUN and TURN there too"},
		{name: "http.allowed_origins", value: strs(&c.HTTP.AllowedOrigins, parseOrigin, "https://app.example.org"),
			help: "other origins that may use signaling and the SDK"},
		{name: "http.trusted_proxies", value: prefixes(&c.HTTP.TrustedProxies),
			help: "CIDRs of your proxies; the server believes their X-Forwarded-For or PROXY header"},
		{name: "http.proxy_protocol", value: toggle{&c.HTTP.ProxyProtocol},
			help: "a PROXY header is mandatory on all TCP listeners, and only trusted_proxies may connect"},

		{name: "tls.mode", value: str(&c.TLS.Mode, oneOf([]string{TLSOff, TLSFiles, TLSACME}), TLSFiles),
			help: "off; or https on every http listener, and tls:// and dtls://, with the certificate of files, or of acme: got and renewed for public_host"},
		{name: "tls.cert_file", value: str(&c.TLS.CertFile, anything, "fullchain.pem"), help: "PEM certificate, followed by its chain; the server reads a changed file again"},
		{name: "tls.key_file", value: str(&c.TLS.KeyFile, anything, "privkey.pem"), help: "PEM private key"},
		{name: "tls.acme_email", value: str(&c.TLS.ACMEEmail, optional(parseEmail), "you@example.org"),
			help: "where the certificate authority may write to you; empty: it has no address"},
		{name: "tls.acme_directory", value: str(&c.TLS.ACMEDirectory, parseDirectory, LetsEncrypt), needed: true,
			help: "the certificate authority's ACME directory"},
		{name: "tls.acme_ca_file", value: str(&c.TLS.ACMECAFile, anything, "ca.pem"),
			help: "PEM certificates to trust for a directory of your own; empty: the system's"},

		{name: "turn.realm", value: str(&c.TURN.Realm, parseRealm, "turnpike"), help: "realm of the TURN credentials"},
		{name: "turn.listen", value: list[Listener]{&c.TURN.Listen, parseListener, Listener.String, "udp://0.0.0.0:3478"},
			help: "STUN and TURN listeners: udp://, tcp://, tls:// and dtls://"},
		{name: "turn.relay_addresses", value: list[netip.Addr]{&c.TURN.RelayAddresses, parseRelayAddr, netip.Addr.String, "203.0.113.9"},
			help: "local addresses to relay from; the relays of a family share them; default: those of the default route"},
		{name: "turn.external_addresses", value: addrPairs{&c.TURN.ExternalAddresses, &c.TURN.ExternalNames},
			help: "behind 1:1 NAT: local address, or 0.0.0.0 or ::, = address that the world sees, or its name"},
		{name: "turn.public_ports", value: portPairs{&c.TURN.PublicPorts},
			help: "behind a container or load balancer that maps ports: port of turn.listen or http.listen = port that clients reach"},
		{name: "turn.relay_ports", value: scalar[PortRange]{&c.TURN.RelayPorts, parsePortRange, PortRange.String, "49152-65535"},
			help: "UDP and TCP ports to relay from"},
		{name: "turn.tcp_relaying", value: toggle{&c.TURN.TCPRelaying},
			help: "relay TCP connections to and from peers too (RFC 6062), for clients that ask for it; browsers do not"},
		{name: "turn.mobility", value: toggle{&c.TURN.Mobility},
			help: "clients that ask for it keep their relay when their address changes (RFC 8016); browsers do not"},
		{name: "turn.shared_secrets", value: newSecretList(&c.TURN.SharedSecrets),
			secret: true, help: "TURN REST API secrets of other apps; the first signs, all verify"},
		{name: "turn.apps", value: appList{&c.TURN.Apps}, secret: true,
			help: "[[turn.apps]] tables: other apps that have a REST secret, and a number of relays, of their own"},
		{name: "turn.allow_peers", value: prefixes(&c.TURN.AllowPeers), help: "CIDRs that open the default peer policy"},
		{name: "turn.deny_peers", value: prefixes(&c.TURN.DenyPeers), help: "CIDRs that close it further; deny wins"},
		{name: "turn.allow_own_ports", value: list[PortRange]{&c.TURN.AllowOwnPorts, parsePorts, showPorts, "7882"},
			help: "UDP ports of other programs here, such as an SFU's, where allow_peers names a relay's own address; empty: all"},
		{name: "turn.nat_discovery_port", value: number{&c.TURN.NATDiscoveryPort, 0},
			help: "a second UDP port, to tell clients what NAT they are behind; needs two addresses in turn.listen; 0: off"},
		{name: "turn.alternate_server", value: list[Alternate]{&c.TURN.AlternateServer, parseAlternate, showAlternate, "203.0.113.20:3478"},
			help: "where this server sends clients while it drains: one address of each family, and one with tls:// for clients over TLS"},
		{name: "turn.alternate_domain", value: str(&c.TURN.AlternateDomain, parseHost, "turn2.example.org"),
			help: "the name in that server's certificate, if it is not the name in ours"},
		{name: "turn.offload", value: str(&c.TURN.Offload, oneOf([]string{OffloadAuto, OffloadOff, OffloadRequire}), OffloadAuto),
			help: "forward established flows in the kernel (Linux, with privileges): auto if possible, off never, require or do not start"},

		{name: "auth.guests", value: str(&c.Auth.Guests, oneOf([]string{GuestsLoopback, GuestsAlways, GuestsNever}), GuestsLoopback),
			help: "who gets in without an invite: loopback (people on this machine, if nothing here tells of others), always (as guests) or never"},
		{name: "auth.ticket_ttl", value: dur(&c.Auth.TicketTTL, 10*time.Second), help: "how long a ticket is valid"},
		{name: "auth.invite_max_ttl", value: dur(&c.Auth.InviteMaxTTL, 0),
			help: "how long an invite that a user makes may be valid at most; a day if the user does not say; 0s: users make none"},
		{name: "auth.guest_invites", value: toggle{&c.Auth.GuestInvites},
			help: "guests make invites to the rooms that they are in; otherwise only to rooms that they host"},
		{name: "auth.credential_ttl", value: dur(&c.Auth.CredentialTTL, time.Minute), help: "how long a TURN credential can make relays"},
		{name: "auth.api_keys", value: newSecretList(&c.Auth.APIKeys),
			secret: true, help: "keys of your apps' servers, for /api/v1/admin, and with turn.shared_secrets for GET /api/v1/turn-credentials"},
		{name: "auth.issuers", value: issuerList{&c.Auth.Issuers, c.checkIssuer}, secret: true,
			help: "[[auth.issuers]] tables: apps whose own tokens admit their users"},

		{name: "signal.resume_window", value: dur(&c.Signal.ResumeWindow, 0),
			help: "how long a session that lost its connection can resume; 0s: never"},
	}
	keys = append(keys, c.Limits.keys()...)
	return append(keys, key{name: "metrics.listen", value: str(&c.Metrics.Listen, optional(parseHostPort), "127.0.0.1:9090"),
		help: "Prometheus metrics, and pprof if the address is loopback; empty: off"})
}
