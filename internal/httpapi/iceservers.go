package httpapi

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// Listener is an address on which the server speaks TURN.
type Listener struct {
	Network string // "udp", "tcp", "tls" or "dtls"
	Addr    netip.AddrPort
}

// ICEServers makes the iceServers of RTCPeerConnection. Its fields do not change once the server serves.
type ICEServers struct {
	PublicHost string              // empty: the host that the client reached us by
	Listeners  []Listener          // those really open, ports resolved
	Web        []Listener          // http listeners on which TURN is spoken too: "tcp" or "tls"
	Relays     func() []netip.Addr // local addresses that we relay from now; nil: none

	// While the server drains, the list names other servers, if there are any.
	Draining      func() bool // nil: it never does
	Alternates    []Alternate
	AlternateHost string // name in the certificate of those with TLS; empty: PublicHost

	// PublicPort returns the port by which clients from elsewhere reach a listener; nil: its own.
	PublicPort func(network string, port uint16) uint16
}

// Alternate is another server with the same secrets.
type Alternate struct {
	Addr    netip.AddrPort
	Secured bool // it is for clients over TLS, else for those over UDP and TCP
}

// drainRetry is when a client may ask again that was refused because the server drains: the next process is there then.
const drainRetry = 30 * time.Second

// drained refuses to name a server that takes no new relays, if there is no other to name.
func (a *API) drained() *apiError {
	if s := a.cfg.ICEServers; s.draining() && len(s.Alternates) == 0 {
		return &apiError{Status: http.StatusServiceUnavailable, Code: "internal", Message: "This server is about to stop, and takes no new relays; try again soon.", retryAfter: drainRetry}
	}
	return nil
}

func (s *ICEServers) draining() bool { return s.Draining != nil && s.Draining() }

// alternates lists the URLs of the first other server of each kind, as own does.
func (s *ICEServers) alternates() (stun, turn []string) {
	first := func(secured bool) (netip.AddrPort, bool) {
		i := slices.IndexFunc(s.Alternates, func(a Alternate) bool { return a.Secured == secured })
		if i < 0 {
			return netip.AddrPort{}, false
		}
		return s.Alternates[i].Addr, true
	}
	if addr, ok := first(false); ok {
		stun = append(stun, "stun:"+addr.String())
		turn = append(turn, "turn:"+addr.String()+"?transport=udp", "turn:"+addr.String()+"?transport=tcp")
	}
	if addr, ok := first(true); ok {
		host := cmp.Or(s.AlternateHost, s.PublicHost, addr.Addr().String())
		turn = append(turn, "turns:"+net.JoinHostPort(host, strconv.Itoa(int(addr.Port())))+"?transport=tcp")
	}
	return stun, turn
}

type iceAnswer struct {
	ICEServers []wire.ICEServer `json:"iceServers"`
	Expires    time.Time        `json:"expires"`
	TTL        int64            `json:"ttl"` // seconds until then, for clients whose clock is off
}

// getICEServers gives the bearer of a ticket a credential that belongs to no session.
func (a *API) getICEServers(r *http.Request) (any, *apiError) {
	if bearer(r) != "" {
		if apiErr := a.drained(); apiErr != nil {
			return nil, apiErr
		}
	}
	ticket, apiErr := a.bearerTicket(r)
	if apiErr != nil {
		return nil, apiErr
	}
	if ticket.Seats > 0 {
		return nil, onlyForRoom()
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	cred := a.cfg.Credentials.MintRelayOnly(ticket.User.String(), a.cfg.CredentialTTL)
	return iceAnswer{a.cfg.ICEServers.List(r.Host, cred), cred.Expires, int64(a.cfg.CredentialTTL.Seconds())}, nil
}

// bearerTicket returns the ticket that a request comes with.
func (a *API) bearerTicket(r *http.Request) (auth.Ticket, *apiError) {
	token := bearer(r)
	if token == "" {
		return auth.Ticket{}, unauthorized("Send a ticket as \"Authorization: Bearer TICKET\".")
	}
	if apiErr := a.mayTry(r); apiErr != nil {
		return auth.Ticket{}, apiErr
	}
	ticket, err := a.cfg.VerifyTicket(token)
	if unavailable, ok := errors.AsType[*auth.KeysUnavailableError](err); ok {
		return auth.Ticket{}, &apiError{
			Status: http.StatusServiceUnavailable, Code: "internal", Message: "The server cannot check the ticket now; try again later.",
			retryAfter: unavailable.RetryAfter,
		}
	}
	if errors.Is(err, auth.ErrExpired) {
		a.log.Debug("ticket refused", "client", a.cfg.TrustedProxies.ClientAddr(r), "claims", auth.Claimed(token), "err", err)
		return auth.Ticket{}, &apiError{Status: http.StatusUnauthorized, Code: "expired", Message: "This ticket has expired."}
	}
	if errors.Is(err, auth.ErrKicked) { // somebody has signed it: nobody is guessing
		a.logRefused(r, "ticket", token, err)
		return auth.Ticket{}, unauthorized("This ticket is not valid.")
	}
	if err != nil {
		a.logRefused(r, "ticket", token, err)
		return auth.Ticket{}, a.failed(r, "This ticket is not valid.")
	}
	return ticket, nil
}

// List returns a STUN and a TURN server for a client that reached us by the Host header host. It names one address for
// each transport, since browsers try all and complain of more than four: UDP, TCP, and TLS for networks that let
// nothing else out, on port 443 if we are there. It leaves DTLS out, as no browser speaks it.
func (s *ICEServers) List(host string, cred auth.Credential) []wire.ICEServer {
	if s.draining() && len(s.Alternates) > 0 {
		return withCredential(cred, s.alternates)
	}
	return withCredential(cred, func() (stun, turn []string) { return s.own(hostOnly(host)) })
}

// own lists the URLs of this server, as List says.
func (s *ICEServers) own(host string) (stun, turn []string) {
	if udp := s.reach(s.Listeners, "udp", host); len(udp) > 0 {
		stun = append(stun, "stun:"+udp[0])
		turn = append(turn, "turn:"+udp[0]+"?transport=udp")
	}
	if tcp := append(s.reach(s.Listeners, "tcp", host), s.reach(s.Web, "tcp", host)...); len(tcp) > 0 {
		turn = append(turn, "turn:"+tcp[0]+"?transport=tcp")
	}
	if tls := append(s.reach(s.Web, "tls", host), s.reach(s.Listeners, "tls", host)...); len(tls) > 0 {
		best := max(0, slices.IndexFunc(tls, func(hostport string) bool { return strings.HasSuffix(hostport, ":443") }))
		turn = append(turn, "turns:"+tls[best]+"?transport=tcp")
	}
	return stun, turn
}

// all lists the URLs of this server, DTLS too, for anybody who reached it by host. A client that came by a name of loopback learns none, as it
// would learn addresses of the network behind, and a tunnel on this machine brings strangers by such a name.
func (s *ICEServers) all(host string) []string {
	if s == nil || s.local(host) { // nil: this server has no TURN
		return nil
	}
	stun, turn := s.own(host)
	if dtls := s.reach(s.Listeners, "dtls", host); len(dtls) > 0 {
		turn = append(turn, "turns:"+dtls[0]+"?transport=udp") // RFC 7350 §4.6
	}
	return append(stun, turn...)
}

// withCredential makes ICE servers of URLs.
func withCredential(cred auth.Credential, urls func() (stun, turn []string)) []wire.ICEServer {
	stun, turn := urls()
	servers := make([]wire.ICEServer, 0, 2)
	if len(stun) > 0 {
		servers = append(servers, wire.ICEServer{URLs: stun})
	}
	if len(turn) > 0 {
		servers = append(servers, wire.ICEServer{URLs: turn, Username: cred.Username, Credential: cred.Password})
	}
	return servers
}

// reach returns the host and port of each listener of network that a client can use. The client came to us by host.
func (s *ICEServers) reach(listeners []Listener, network, host string) (out []string) {
	if s.PublicHost != "" {
		host = s.PublicHost
	}
	for _, l := range listeners {
		if l.Network != network {
			continue
		}
		h := s.hostFor(l.Addr.Addr(), host)
		if secured := network == "tls" || network == "dtls"; h == "" || secured && h != host { // the certificate is for host
			continue
		}
		port := l.Addr.Port()
		if s.PublicPort != nil && !s.local(host) {
			port = s.PublicPort(network, port)
		}
		out = append(out, net.JoinHostPort(h, strconv.Itoa(int(port))))
	}
	return out
}

// local reports whether a client that reached us by host is on this machine, as far as anybody can tell.
func (s *ICEServers) local(host string) bool {
	return s.PublicHost == "" && (host == "" || loopbackHost(host))
}

// hostFor returns the host that leads a client to a listener on addr, empty if none does. The client reached us by
// host. A client on this machine gets an address of the network instead of a loopback one: its browser binds ICE
// sockets to the network's addresses, and those cannot send to 127.0.0.1.
func (s *ICEServers) hostFor(addr netip.Addr, host string) string {
	if s.local(host) {
		if !addr.IsUnspecified() {
			return addr.String()
		}
		if s.Relays == nil {
			return ""
		}
		for _, relay := range s.Relays() {
			if relay.Is4() == addr.Is4() {
				return relay.String()
			}
		}
		return ""
	}
	literal, err := netip.ParseAddr(host)
	if err == nil && literal.Unmap().Is4() != addr.Is4() {
		return "" // the address is of one family and the listener of the other
	}
	if addr.IsLoopback() && !loopbackHost(host) {
		return "" // only this machine reaches the listener, and the client came from elsewhere
	}
	return host
}
