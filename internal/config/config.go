// Package config reads the configuration: a TOML file, TURNPIKE_* variables and flags.
//
// Flags.Load begins with the defaults, and lays the file, the variables and the flags over them. One table has all keys
// (keys.go); each key knows its field, how to read and to print its value (value.go), and its help. Config remembers
// where each value came from, so that an error names the file and the line, the variable or the flag. Load returns all
// errors at once. The server checks what only it knows when it starts, and complains by Config.Errorf in the same way.
//
// The package imports nothing of this project and no network library: its values are plain.
package config

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"time"
)

// Config is everything that an operator can set. The names of the keys are a contract; keys() binds each to its field.
type Config struct {
	PublicHost   string // an IPv6 address has no brackets; empty: the server finds it out
	StateDir     string
	DrainTimeout time.Duration

	HTTP struct {
		Listen         []string // as net.Listen takes it
		RedirectListen []string // plain http: redirects to https, and ACME challenges
		AllowedOrigins []string
		TrustedProxies []netip.Prefix
		ProxyProtocol  bool
		TURN           bool // STUN and TURN on the same ports
	}
	TLS struct {
		Mode     string // one of the constants TLS...
		CertFile string
		KeyFile  string

		ACMEEmail     string
		ACMEDirectory string // a URL
		ACMECAFile    string // empty: the system's certificates
	}
	TURN struct {
		Realm             string
		Listen            []Listener
		RelayAddresses    []netip.Addr              // empty: the default route's source addresses
		ExternalAddresses map[netip.Addr]netip.Addr // by local address; an unspecified one stands for those that are not there
		ExternalNames     map[netip.Addr]string     // likewise, where the server must look the external address up
		PublicPorts       map[LocalPort]uint16      // where clients reach a listener by another port than its own
		RelayPorts        PortRange
		SharedSecrets     []Secret
		Apps              []App
		AllowPeers        []netip.Prefix
		DenyPeers         []netip.Prefix
		AllowOwnPorts     []PortRange // empty: all
		TCPRelaying       bool
		Mobility          bool
		NATDiscoveryPort  int // 0: off
		AlternateServer   []Alternate
		AlternateDomain   string
		Offload           string // one of the constants Offload...
	}
	Auth struct {
		Guests        string // one of the constants Guests...
		TicketTTL     time.Duration
		InviteMaxTTL  time.Duration // 0: users make no invites
		GuestInvites  bool
		CredentialTTL time.Duration
		APIKeys       []Secret
		Issuers       []Issuer
	}
	Signal struct {
		ResumeWindow time.Duration
	}
	Limits  Limits
	Metrics struct {
		Listen string // empty: off
	}

	file        string            // the file that was read; empty: none
	emptied     []string          // what Warnings says of empty variables that took away what the file has
	sources     map[string]string // key -> where its value came from; absent: the default
	texts       map[string]string // key -> what a variable or a flag has set it to; no secrets
	checkIssuer CheckIssuer       // nil: issuers are judged by their form only
}

// The words that auth.guests, presence of auth.issuers, tls.mode and turn.offload take.
const (
	GuestsLoopback = "loopback"
	GuestsAlways   = "always"
	GuestsNever    = "never"

	PresenceAll    = "all"
	PresenceIssuer = "issuer"
	PresenceNobody = "nobody"

	TLSOff   = "off"
	TLSFiles = "files"
	TLSACME  = "acme"

	OffloadAuto    = "auto"
	OffloadOff     = "off"
	OffloadRequire = "require"
)

const (
	defaultResumeWindow = 30 * time.Second
	maxResumeWindow     = 10 * time.Minute
)

// Default returns a configuration that works without a file. stateDir is the default of state_dir.
func Default(stateDir string) *Config {
	c := &Config{StateDir: stateDir, DrainTimeout: 30 * time.Second, sources: map[string]string{}, texts: map[string]string{}}
	c.HTTP.Listen = []string{"127.0.0.1:8080"}
	c.HTTP.TURN = true
	c.TLS.Mode = TLSOff
	c.TLS.ACMEDirectory = LetsEncrypt
	c.TURN.Realm = "turnpike"
	c.TURN.Listen = []Listener{
		{Network: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:3478")},
		{Network: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:3478")},
		{Network: "udp", Addr: netip.MustParseAddrPort("[::]:3478")},
		{Network: "tcp", Addr: netip.MustParseAddrPort("[::]:3478")},
	}
	c.TURN.ExternalAddresses, c.TURN.ExternalNames = map[netip.Addr]netip.Addr{}, map[netip.Addr]string{}
	c.TURN.PublicPorts = map[LocalPort]uint16{}
	c.TURN.RelayPorts = PortRange{49152, 65535}
	c.TURN.TCPRelaying = true
	c.TURN.Offload = OffloadAuto
	c.Auth.Guests = GuestsLoopback
	c.Auth.TicketTTL = 10 * time.Minute
	c.Auth.InviteMaxTTL = 7 * 24 * time.Hour
	c.Auth.CredentialTTL = time.Hour
	c.Signal.ResumeWindow = defaultResumeWindow
	c.Limits = defaultLimits()
	c.Metrics.Listen = "127.0.0.1:9090"
	return c
}

// Externals lists the local addresses that turn.external_addresses has, sorted.
func (c *Config) Externals() []netip.Addr {
	all := slices.AppendSeq(slices.Collect(maps.Keys(c.TURN.ExternalAddresses)), maps.Keys(c.TURN.ExternalNames))
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// SecretFile returns the path of the generated secret, from which the server derives all its keys.
func (c *Config) SecretFile() string { return filepath.Join(c.StateDir, "secret") }

// ACMEDir returns the directory of the certificates that an ACME directory has signed, and of their keys.
func (c *Config) ACMEDir() string { return filepath.Join(c.StateDir, "acme") }

// ACMEProblemFile returns the path of what a directory has last refused, and why. It is not there when the last try went well.
func (c *Config) ACMEProblemFile() string { return filepath.Join(c.ACMEDir(), "problem") }

// LedgerFile returns the path of the list of invites that were made, used and revoked.
func (c *Config) LedgerFile() string { return filepath.Join(c.StateDir, "invites") }

// MachinesFile returns the path of the list of machines that have joined.
func (c *Config) MachinesFile() string { return filepath.Join(c.StateDir, "machines") }

// AdminSocket returns the path of the socket by which the commands on this machine reach the running server.
func (c *Config) AdminSocket() string { return filepath.Join(c.StateDir, "admin.sock") }

// EndedFile returns the path of the list of what resume tokens must not bring back.
func (c *Config) EndedFile() string { return filepath.Join(c.StateDir, "ended") }

// File returns the name of the file that was read, empty if there was none.
func (c *Config) File() string { return c.file }

// Source says where the value of a key came from: a line of the file, a variable or a flag. It is empty for a default.
func (c *Config) Source(key string) string { return c.sources[key] }
