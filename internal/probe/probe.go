// Package probe tries everything that a server offers, as a client would, and reports findings. `turnpike check` shows
// them. It also looks at the network of the machine that it runs on, with the help of a server: `turnpike netcheck` shows that.
//
//	probe.go          Server.Run: all steps in turn, each with a Finding
//	web.go            the pages and the metrics, over HTTP
//	signin.go         the way in: a ticket, then a session of signaling
//	ice.go            each STUN and TURN address: a Binding; two relays and a packet each way between them
//	client.go         pion's TURN client, over UDP, TCP, TLS and DTLS
//	families.go       the same over IPv4 and over IPv6
//	relayports.go     packets between a relayed address and a socket of this machine, through all firewalls
//	gateway.go        a gateway whose address stands for all clients
//	unnamed.go        what the server has besides, such as DTLS, which signaling names to no browser
//	unverified.go     what can be judged of a server whose certificate nobody trusts
//	ownlisteners.go   the listeners of this machine's own server
//	offload.go        the flows that the kernel forwards
//	proxy.go          a proxy whose clients the server cannot tell apart
//	nat.go            the NAT that this machine is behind (RFC 5780), and its sockets
//	problem.go        what an error means for the operator, and what to do
//
//	netcheck.go       NetworkCheck.Run: what this machine's network does to calls, as a Network (netreport.go)
//	netsession.go     the way in, kept between runs
//	netrelay.go       each address of the server: round trip, allocation
//	natview.go        mapping, filtering and hairpins, with the help of discovery, of relays, or of several servers
//	mtu.go            the longest packet that gets to the server
//	portmap.go        what the router offers: upnp.go, pcp.go (and NAT-PMP)
//	captive.go        what answers in the place of the server
//	verdict.go        what all that means, in a sentence
//
// It judges the server from outside: its TURN client is pion's, and it decodes the API's answers itself. Nothing here
// prints.
package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

// Finding is the outcome of one step.
type Finding struct {
	Check   string // the step: web, ticket, signaling, "stun udp", "turn tls", ...
	Target  string // the URL that it tried
	OK      bool
	Note    bool     // nothing was tried, and Detail says what and why. OK is true then
	Detail  string   // of a success
	Problem string   // of a failure: what is wrong and what to do
	Relayed []string // the relayed addresses, of a TURN step
	Took    time.Duration
}

// Server is the server to try, and how to get in.
type Server struct {
	Base    string        // scheme://host[:port]
	Timeout time.Duration // of each step
	Dial    Dialer        // leads to Base

	Ticket string                            // empty: the server gives one
	Invite string                            // exchanged for the ticket; empty: a guest's
	Mint   func(name string) (string, error) // makes a ticket if guests need an invite; nil: this machine cannot

	Own *config.Config // of a server on this machine; nil: the server is elsewhere

	ClosedRelayPorts bool // the relay ports are meant to be closed, as for a container that publishes none
}

// Dialer is net.Dialer's DialContext, or one that leads elsewhere.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Run does each step that the steps before it allow, and reports it as it ends.
func (s *Server) Run(ctx context.Context, report func(Finding)) {
	r := &run{Server: s, report: report}
	r.web = web{s.Base, &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: s.Dial, DisableKeepAlives: true}}}
	r.all(ctx)
}

// run is one pass over a server.
type run struct {
	*Server
	web    web
	report func(Finding)

	untrusted bool // the pages have a certificate that clients do not trust
}

func (r *run) all(ctx context.Context) {
	token := r.Ticket
	if !r.overFamilies(ctx) {
		if r.untrusted {
			r.unverified(ctx)
		}
		return
	}
	if token == "" && !r.step(ctx, "ticket", r.Base+ticketsPath, func(ctx context.Context, f *Finding) (err error) {
		token, err = r.getTicket(ctx, f)
		return err
	}) {
		return
	}
	socket, servers := (*websocket.Conn)(nil), []wire.ICEServer(nil)
	if !r.step(ctx, "signaling", r.signalURL(), func(ctx context.Context, f *Finding) (err error) {
		socket, servers, err = r.signIn(ctx, token, f)
		return err
	}) {
		return
	}
	signOut, _ := keepSession(socket)
	defer signOut()
	var found []reached
	for _, server := range servers {
		for _, raw := range server.URLs {
			found = append(found, r.ice(ctx, raw, auth.Credential{Username: server.Username, Password: server.Credential})...)
		}
	}
	cred := credentialOf(servers)
	if r.Own == nil {
		found = append(found, r.unnamed(ctx, servers, cred)...)
	}
	r.relayPorts(ctx, found)
	r.gateway(found)
	if r.Own != nil {
		r.ownListeners(ctx, servers, cred)
		r.ownRest(ctx)
	} else { // its own listener is past any proxy
		r.proxies(ctx, r.web, servers)
	}
	r.nat(ctx, servers)
}

// ownRest tries what only this machine's own server shows.
func (r *run) ownRest(ctx context.Context) {
	r.ownWeb(ctx)
	r.ownOffload(ctx)
	r.ownIssuers(ctx)
}

// credentialOf returns the credential for relaying; the zero value if there is none.
func credentialOf(servers []wire.ICEServer) (cred auth.Credential) {
	for _, server := range servers {
		if server.Username != "" {
			cred = auth.Credential{Username: server.Username, Password: server.Credential}
		}
	}
	return cred
}

// note reports what was not tried.
func (r *run) note(check, target, format string, args ...any) {
	r.report(Finding{Check: check, Target: target, OK: true, Note: true, Detail: oneLine(fmt.Sprintf(format, args...))})
}

// step runs one step and reports it. It returns whether it succeeded.
func (r *run) step(ctx context.Context, check, target string, do func(ctx context.Context, f *Finding) error) bool {
	f := step(ctx, r.Timeout, check, target, do)
	r.report(f)
	return f.OK
}

// step runs one step within the timeout. It measures the time, unless do has set it.
func step(ctx context.Context, timeout time.Duration, check, target string, do func(ctx context.Context, f *Finding) error) Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	f := Finding{Check: check, Target: target}
	start := time.Now()
	err := do(ctx, &f)
	if f.Took == 0 {
		f.Took = time.Since(start)
	}
	f.OK = err == nil
	if err != nil {
		f.Detail, f.Problem = "", oneLine(err.Error())
	}
	return f
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
