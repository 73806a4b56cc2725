package turnserver

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// Config says what to serve. It is not changed after New.
type Config struct {
	Realm    string // of the long-term credentials; must be the one that Credentials was made with
	Software string // SOFTWARE attribute of Allocate answers; empty sends none

	Listen []Listener
	Relay  []RelayAddress // at least one; those of a family share its relayed addresses

	// FindRelays returns the addresses to relay from as they are now, in place of Relay, which is what they are at the
	// start. The server asks when the host's addresses change, from time to time, and after LookAgain; it must get its
	// answer at once. It uses those that the host really has. Nil: those are Relay, for good.
	FindRelays func() []RelayAddress

	Discovery []DiscoveryPair // at most one of each family; none: no NAT behaviour discovery

	Alternates      []Alternate // servers for new clients while this one drains; none: it refuses them
	AlternateDomain string      // name in the certificate of the Alternates, if this server's has another

	MinPort, MaxPort uint16 // relayed ports, both included; default 49152 and 65535

	Credentials *auth.Credentials
	Scope       Scope // nil: sessions' credentials reach live relayed addresses only
	// Revoked reports whether a credential makes no more allocations, although it has not expired. It must not block. Nil: none is.
	Revoked func(*auth.Grant) bool

	AllowPeers []netip.Prefix // opens ranges that the default peer policy denies
	DenyPeers  []netip.Prefix // closes further ranges; deny wins
	// AllowOwnPorts are the UDP ports of other programs on this host that AllowPeers opens where it names a relay's own address. None:
	// all ports.
	AllowOwnPorts []PortRange
	Limits        Limits // zero fields take their defaults

	NoTCPRelaying bool // relay datagrams only, and no TCP connections (RFC 6062); systems other than Unix never relay TCP

	// Loops is how many goroutines serve UDP, on systems that have loops. By default there is one for each processor
	// that Go may use (runtime.GOMAXPROCS).
	Loops int

	// SpareProcessors is called with true when loops have become busy, and with false when they no longer are. In
	// between, loops sleep in the kernel for moments without giving their processor to other goroutines, which saves a
	// good part of a busy relay's work. So that other goroutines do not lack processors, the function must raise
	// GOMAXPROCS by Loops for that time. Nil: loops never keep a processor.
	SpareProcessors func(spare bool)

	// Mobility lets clients that ask for it take their allocations along when their address changes (RFC 8016).
	Mobility bool

	// Offload says whether the kernel forwards established flows; see package offload.
	Offload OffloadMode

	// GetCertificate returns the certificate for each handshake on tls:// and dtls:// listeners and on those of
	// ServeStreams. On dtls:// it learns the server name only. It may be nil where there is no such listener.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// ProxyProtocol makes a PROXY header (version 1 or 2) mandatory at the beginning of every stream, and lets only
	// TrustedProxies connect. Without it, connections from TrustedProxies are not counted by address, as they carry
	// many clients.
	ProxyProtocol  bool
	TrustedProxies []netip.Prefix

	NonceKey auth.Secret // signs nonces; several nodes that share it accept each other's
	Log      *slog.Logger

	portable bool // serves UDP on the portable path though there could be loops; for tests
}

// Listener is an address to receive STUN and TURN on.
type Listener struct {
	Network  string // "udp", "tcp", "tls" or "dtls"
	Addr     netip.AddrPort
	Optional bool // where the host lacks the address family, the listener is left out with a log line, and Start does not fail
}

func (l Listener) String() string { return l.Network + "://" + l.Addr.String() }

// secure reports whether the listener needs a certificate.
func (l Listener) secure() bool { return l.Network == "tls" || l.Network == "dtls" }

// PortRange is the ports from Min to Max, both included.
type PortRange struct{ Min, Max uint16 }

func (r PortRange) has(port uint16) bool { return r.Min <= port && port <= r.Max }

// RelayAddress is an address that relayed sockets are bound to, with the address by which peers know it.
type RelayAddress struct {
	Local    netip.Addr
	External netip.Addr // equal to Local unless a 1:1 NAT stands in front
}

func (r RelayAddress) String() string {
	if r.External.IsValid() && r.External != r.Local {
		return r.Local.String() + " (seen as " + r.External.String() + ")"
	}
	return r.Local.String()
}

func (r RelayAddress) canonical() RelayAddress {
	r.Local, r.External = wire.Canonical(r.Local), wire.Canonical(r.External)
	if !r.External.IsValid() {
		r.External = r.Local
	}
	return r
}

// sharesWith reports whether a peer could not tell the two apart by an address.
func (r RelayAddress) sharesWith(other RelayAddress) bool {
	a, b := r.canonical(), other.canonical()
	return a.Local == b.Local || a.Local == b.External || a.External == b.Local || a.External == b.External
}

// Scope narrows what the credentials minted by signaling may do. Calls come from any goroutine and must not block.
type Scope interface {
	// MayRelay reports whether the session's relays may send to ip, which is canonical.
	MayRelay(session string, ip netip.Addr) bool
	// SessionLive reports whether the session may make new allocations.
	SessionLive(session string) bool
	// UserOf returns the user whose budgets the session's relays are charged to, by the name that the user's other credentials carry
	// (auth.Grant.User). Empty: nobody knows, and the session has budgets of its own.
	UserOf(session string) string
}

// Limits bound what one client can take, and what all clients together can.
type Limits struct {
	AllocationsPerSession    int            // default 256: Chrome makes one for each interface, URL and connection
	AllocationsPerUser       int            // default 256; a user of REST credentials at one address, or of others that belong to no session
	AllocationsOfApp         map[string]int // instead of AllocationsPerUser, for users of an app; absent: AllocationsPerUser
	AllocationsPerAddress    int            // default 1024; of an IPv4 address or an IPv6 /64: an office behind one NAT is one
	Allocations              int            // default 131072; a relay address has fewer ports
	PermissionsPerAllocation int            // default 128
	ChannelsPerAllocation    int            // default 128
	AllocationMaxAge         time.Duration  // default 24 h; then an allocation ends, refreshed or not

	// RequestsPerSecond bounds requests that change something: of a user, with all sessions, and an eighth of it for each allocation.
	// 32 times as many may come at once. The server ignores more. Default 256.
	RequestsPerSecond int

	// Connections with clients.
	Streams               int // with TURN over TCP, TLS and DTLS at a time; default 16384
	ConnectionsPerAddress int // of an IPv4 address or an IPv6 /64, whatever they carry; default 1024
	// Openings bounds three kinds of connections, each kind apart: streams that have not shown yet what they carry,
	// DTLS associations that are not past their handshake, and pending connections with peers. Default 1024.
	Openings int

	// Bytes that wait for clients over TCP, TLS and DTLS that read slowly. 16 KiB for each client are not counted.
	WaitingBytes        int // default 256 MiB
	WaitingBytesPerUser int // default 8 MiB

	// TCP relaying.
	PendingConnectionsPerAllocation int           // connections with peers that are being made or wait for the client; default 16
	PendingConnectionsPerUser       int           // likewise; default 64
	PeerConnectionsPerUser          int           // that carry data; default 256
	ConnectsPerMinute               int           // Connect requests of a user, as many at once; default 120
	ConnectTimeout                  time.Duration // default 30 s, the least that RFC 6062 §5.2 allows

	// Bits a second of relayed data, in each direction apart. 0 is no limit. Datagrams beyond a limit are lost,
	// connections wait.
	BandwidthPerAllocation int64
	BandwidthPerUser       int64 // of a user with all sessions; of REST credentials: of a user at one address
	Bandwidth              int64 // of the whole node

	// Both are for an IPv4 address or an IPv6 /64.
	UnauthenticatedAnswersPerSecond int // over UDP, four times as many at once; default 100. Beyond it, no answer is longer than its request
	FailedCredentialsPerMinute      int // as many at once; default 60. Beyond it, the server ignores log-ins
}

// DefaultLimits are the limits that zero fields mean. The defaults of the configuration are the same.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) withDefaults() Limits {
	l.AllocationsPerSession = cmp.Or(l.AllocationsPerSession, 256)
	l.AllocationsPerUser = cmp.Or(l.AllocationsPerUser, 256)
	l.AllocationsPerAddress = cmp.Or(l.AllocationsPerAddress, 1024)
	l.Allocations = cmp.Or(l.Allocations, 131072)
	l.PermissionsPerAllocation = cmp.Or(l.PermissionsPerAllocation, 128)
	l.ChannelsPerAllocation = cmp.Or(l.ChannelsPerAllocation, 128)
	l.Streams = cmp.Or(l.Streams, 16384)
	l.ConnectionsPerAddress = cmp.Or(l.ConnectionsPerAddress, 1024)
	l.Openings = cmp.Or(l.Openings, 1024)
	l.WaitingBytes = cmp.Or(l.WaitingBytes, 256<<20)
	l.WaitingBytesPerUser = cmp.Or(l.WaitingBytesPerUser, 8<<20)
	l.PendingConnectionsPerAllocation = cmp.Or(l.PendingConnectionsPerAllocation, 16)
	l.PendingConnectionsPerUser = cmp.Or(l.PendingConnectionsPerUser, 64)
	l.PeerConnectionsPerUser = cmp.Or(l.PeerConnectionsPerUser, 256)
	l.ConnectsPerMinute = cmp.Or(l.ConnectsPerMinute, 120)
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, 30*time.Second)
	l.RequestsPerSecond = cmp.Or(l.RequestsPerSecond, 256)
	l.AllocationMaxAge = cmp.Or(l.AllocationMaxAge, 24*time.Hour)
	l.UnauthenticatedAnswersPerSecond = cmp.Or(l.UnauthenticatedAnswersPerSecond, 100)
	l.FailedCredentialsPerMinute = cmp.Or(l.FailedCredentialsPerMinute, 60)
	return l
}

func (c *Config) validate() error {
	if c.Realm == "" {
		return errors.New("the realm is empty")
	}
	if c.Credentials == nil {
		return errors.New("no credentials are configured")
	}
	if c.NonceKey.IsZero() {
		return errors.New("the nonce key is empty")
	}
	if c.MinPort == 0 {
		return errors.New("relay ports begin at 1: 0 would let the system choose any port")
	}
	if c.MinPort > c.MaxPort {
		return fmt.Errorf("relay ports %d-%d: the first is greater than the last", c.MinPort, c.MaxPort)
	}
	if len(c.Relay) == 0 {
		return errors.New("there is no relay address")
	}
	for i, r := range c.Relay {
		if !r.Local.IsValid() || r.Local.IsUnspecified() || r.Local.IsMulticast() {
			return fmt.Errorf("relay address %v is not the address of an interface", r.Local)
		}
		if r.External.IsValid() && r.External.Unmap().Is4() != r.Local.Unmap().Is4() {
			return fmt.Errorf("relay address %v has an external address of the other family, %v", r.Local, r.External)
		}
		for _, other := range c.Relay[:i] {
			if r.sharesWith(other) {
				return fmt.Errorf("relay addresses %v and %v have an address in common, local or external", other.Local, r.Local)
			}
		}
	}
	if c.Loops < 0 {
		return fmt.Errorf("%d loops: the number must not be negative", c.Loops)
	}
	if c.ProxyProtocol && len(c.TrustedProxies) == 0 {
		return errors.New("PROXY headers are mandatory, but no proxy is trusted")
	}
	for _, l := range c.Listen {
		if l.Network != "udp" && l.Network != "tcp" && l.Network != "tls" && l.Network != "dtls" {
			return fmt.Errorf("listener %v: the network is none of udp, tcp, tls and dtls", l)
		}
		if l.secure() && c.GetCertificate == nil {
			return fmt.Errorf("listener %v: there is no certificate", l)
		}
		if !l.Addr.IsValid() {
			return fmt.Errorf("listener %v: the address is not valid", l)
		}
	}
	if err := validateDiscovery(c.Discovery, c.Listen); err != nil {
		return err
	}
	return validateAlternates(c.Alternates)
}
