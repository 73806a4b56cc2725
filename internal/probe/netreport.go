package probe

import (
	"net/netip"
	"time"
)

// NetworkSchema is the number of the form that a [Network] has as JSON. Fields are added under the same number; a number that grows says
// that one has another meaning.
const NetworkSchema = 1

// Network is what [NetworkCheck.Run] finds out about the network that this machine is in. A nil pointer and an empty kind mean that
// something is not known: NotTried or a Why says why. As JSON it is what `turnpike netcheck --json` prints, and docs/netcheck.md explains it.
type Network struct {
	Schema  int       `json:"schema"`
	Time    time.Time `json:"time"` // of the start
	Server  string    `json:"server"`
	Version string    `json:"version,omitempty"` // of the server
	Verdict Verdict   `json:"verdict"`
	Summary string    `json:"summary"` // the verdict for a person

	UDP           *bool         `json:"udp"`
	IPv4          Family        `json:"ipv4"`
	IPv6          Family        `json:"ipv6"`
	PortMapping   PortMapping   `json:"portMapping"`
	CaptivePortal CaptivePortal `json:"captivePortal"`
	Relays        []Relay       `json:"relays"`
	NotTried      []Skipped     `json:"notTried"`
	Problems      []string      `json:"problems"` // what kept the check itself from its work
}

// Family is what holds for IPv4 or for IPv6.
type Family struct {
	Works     *bool          `json:"works"` // the server answers over it
	Why       string         `json:"why,omitempty"`
	Server    netip.Addr     `json:"server,omitzero"`
	Local     netip.Addr     `json:"local,omitzero"` // this machine's own address on the way there
	Interface string         `json:"interface,omitempty"`
	Gateway   netip.Addr     `json:"gateway,omitzero"`
	Mapped    netip.AddrPort `json:"mapped,omitzero"` // this machine's address as the server sees it, by UDP
	NAT       *bool          `json:"nat"`
	Mapping   Dependence     `json:"mapping"`
	Filtering Dependence     `json:"filtering"`
	Hairpin   Hairpin        `json:"hairpin"`
	PathMTU   PathMTU        `json:"pathMTU"`
}

// Dependence says on what a NAT's mapping or filtering depends (RFC 4787 §4.1, §5).
type Dependence struct {
	Kind DependenceKind `json:"kind"`
	By   string         `json:"by,omitempty"` // what it was found out with: "discovery" (RFC 5780), "relay", "servers"
	Why  string         `json:"why,omitempty"`
}

// DependenceKind is one of RFC 4787's three, or what is known if the server has one address only.
type DependenceKind string

// The kinds.
const (
	DependenceUnknown       DependenceKind = ""
	EndpointIndependent     DependenceKind = "endpoint-independent"
	AddressDependent        DependenceKind = "address-dependent"
	AddressAndPortDependent DependenceKind = "address-and-port-dependent"
	PortIndependent         DependenceKind = "port-independent"      // the same for all ports of an address; another address was not tried
	DestinationDependent    DependenceKind = "destination-dependent" // of the address, or of address and port
)

// Hairpin says whether two sockets behind the NAT reach each other by their mapped addresses (RFC 4787 §6).
type Hairpin struct {
	Works *bool  `json:"works"`
	Why   string `json:"why,omitempty"`
}

// PathMTU is the length of the longest IP packet that gets to the server whole.
type PathMTU struct {
	Bytes int    `json:"bytes"` // 0: not known
	Link  int    `json:"link,omitempty"`
	Why   string `json:"why,omitempty"`
}

// PortMapping is what the router offers to programs that want a port. Nothing is mapped.
type PortMapping struct {
	UPnP   Mapper `json:"upnp"`
	NATPMP Mapper `json:"natPMP"`
	PCP    Mapper `json:"pcp"`
}

// Mapper is a service that maps ports.
type Mapper struct {
	Found    *bool      `json:"found"`
	At       string     `json:"at,omitempty"`
	Name     string     `json:"name,omitempty"`
	External netip.Addr `json:"external,omitzero"` // the router's address outside, as it says
	Why      string     `json:"why,omitempty"`
}

// CaptivePortal says whether something answers in the place of the server, as in hotels until one has signed in.
type CaptivePortal struct {
	Found *bool  `json:"found"`
	At    string `json:"at,omitempty"` // where it sends people
	Why   string `json:"why,omitempty"`
}

// Relay is an address of the server for STUN or TURN, over one family.
type Relay struct {
	URL       string         `json:"url"`
	Network   string         `json:"network"` // udp, tcp, tls or dtls
	Family    string         `json:"family"`  // ipv4 or ipv6
	Guessed   bool           `json:"guessed,omitempty"`
	Address   netip.AddrPort `json:"address,omitzero"`
	OK        bool           `json:"ok"`
	RTT       *float64       `json:"rttMs"`     // milliseconds
	Allocated *bool          `json:"allocated"` // a relay was made; null: not tried
	Relayed   string         `json:"relayed,omitempty"`
	Problem   string         `json:"problem,omitempty"`
}

// Skipped is something that was not tried.
type Skipped struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// is reports whether b is known and true; isNot whether it is known and false.
func is(b *bool) bool    { return b != nil && *b }
func isNot(b *bool) bool { return b != nil && !*b }
