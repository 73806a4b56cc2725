// Package node is one server process. It joins signaling and relaying, which do not know each other, and serves HTTP.
//
// New makes the parts from the configuration: auth's judges of tickets and credentials, the TURN server, the signaling
// server, the HTTP API and the pages. Open opens every socket. Run serves until it is told to stop:
//
//	http listener -> turnserver (TLS, PROXY header) -> TURN, or webConns -> http.Server -> API, /signal, pages
//	turn listener -> turnserver
//
// A drain refuses new relays and sessions and waits for the relays that are there. Close ends everything.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/httpapi"
	"example.org/turnpike/signal"
	"example.org/turnpike/signal/wire"
	"example.org/turnpike/turnserver"
	"example.org/turnpike/web"
)

// maxUsernames bounds the hashes that are kept so that clients need not send their TURN usernames: about 12 MB.
const maxUsernames = 1 << 16

// Options are what a node needs beside the configuration.
type Options struct {
	Processors int    // as many loops serve UDP
	Version    string // for the banner
	Container  bool   // this is a container
	Terminal   bool   // the banner goes to a person, so that it may have an invite link
	Log        *slog.Logger

	idleRelay time.Duration // for tests: how long a relay that carries nothing holds up a drain

	Hangup <-chan os.Signal // a SIGHUP asks for the certificate to be read again; nil: none comes

	acme acmeTimes // for tests
}

// Node is a server process.
type Node struct {
	// Static after New.
	cfg     *config.Config
	options Options
	log     *slog.Logger
	relays  []turnserver.RelayAddress // at the start
	finder  *relayFinder              // of those later

	secret      *auth.SecretFile
	credentials *auth.Credentials
	tickets     *auth.Tickets
	invites     *auth.Invites
	verifier    *auth.Verifier // of every ticket, also those of outside apps
	ledger      *auth.Ledger   // of invites
	machines    *auth.Machines // that have joined
	unrevoked   unrevoked
	ended       *ended // what resume tokens must not bring back

	originRefused func(origin string) // logs it, now and then

	people    *people
	onRevoked func(inviteIDs []string) // ends the sessions of users who came by these invites, and revokes machines
	onKicked  func(auth.Kick)          // ends what the user has that is of before
	certs     *certificates            // nil: no TLS
	turn      *turnserver.Server
	signal    *signal.Server
	api       *httpapi.API
	web       *http.Server
	webConns  *webConns
	metrics   *http.Server
	admin     *http.Server // for the commands on this machine

	redirects     *http.Server // of plain http
	redirectConns *webConns

	// Static after Open.
	ice             httpapi.ICEServers
	webListeners    []net.Listener // their connections go to web, unless they carry TURN
	metricsListener net.Listener   // nil: off
	adminSocket     *adminSocket   // nil: there is none

	redirectListeners []net.Listener // their connections go to redirects

	drainingSince atomic.Pointer[time.Time] // nil: nobody has called turnpike drain
}

// New makes the parts, and opens no socket.
func New(cfg *config.Config, o Options) (*Node, error) {
	file, err := auth.OpenSecretFile(cfg.SecretFile(), rand.Reader)
	if err != nil {
		return nil, stateProblem(cfg, err)
	}
	secret := file.Secret()
	n := &Node{cfg: cfg, options: o, log: o.Log, secret: file, webConns: newWebConns(), redirectConns: newWebConns()}
	n.originRefused = httpapi.OriginNotice(cfg.HTTP.AllowedOrigins, time.Now, n.log)
	n.finder = newRelayFinder(cfg, n.log)
	if n.relays, err = n.finder.first(); err != nil {
		return nil, err
	}
	if o.Container {
		if err := checkContainer(cfg, n.relays); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(cfg.CheckAlternates(addressesOf(n.relays))...); err != nil {
		return nil, err
	}
	if cfg.TLS.Mode != config.TLSOff {
		if n.certs, err = loadCertificates(cfg, o.acme, n.log); err != nil {
			return nil, err
		}
	}
	if err := n.makeAuth(secret); err != nil {
		return nil, err
	}
	proxies := forwarders(cfg)
	n.makeSignal(secret, proxies)
	if n.turn, err = turnserver.New(n.turnConfig(secret)); err != nil {
		n.closeAuth()
		_ = n.signal.Shutdown(context.Background()) // it has no sessions to wait for before it is served
		return nil, err
	}
	n.makeAPI(proxies)
	n.makeWeb()
	n.makeAdmin()
	n.metrics = newMetricsServer(cfg, n.turn, n.signal, n.certs, n.verifier, n.ended, o.Version, n.log)
	return n, nil
}

// makeAuth makes what judges credentials, tickets and invites.
func (n *Node) makeAuth(secret auth.Secret) (err error) {
	n.credentials = auth.NewCredentials(n.cfg.TURN.Realm, secret, secretsOf(n.cfg.TURN.SharedSecrets), time.Now)
	for _, app := range n.cfg.TURN.Apps {
		n.credentials.AddApp(app.Name, auth.NewSecret(app.Secret.Bytes()))
	}
	n.credentials.RememberUsernames(maxUsernames, n.cfg.Auth.CredentialTTL)
	n.tickets = auth.NewTickets(secret, time.Now, rand.Reader)
	n.invites = auth.NewInvites(secret, time.Now, rand.Reader)
	if n.ledger, err = openLedger(n.cfg, n.log); err != nil {
		return err
	}
	if n.machines, err = openMachines(n.cfg, n.log); err != nil {
		_ = n.ledger.Close()
		return err
	}
	if n.ended, err = openEnded(n.cfg, n.log); err != nil {
		_ = n.machines.Close()
		_ = n.ledger.Close()
		return err
	}
	if n.verifier, err = NewVerifier(n.cfg, n.tickets, n.refuses, n.log); err != nil {
		n.ended.close()
		_ = n.machines.Close()
		_ = n.ledger.Close()
		return err
	}
	n.verifier.AdmitMachines(n.machines)
	n.revokeMissed()
	return nil
}

// refuses returns why a ticket or a resume token does not admit its user any more: because of what has happened since, or of
// auth.guests as it is now.
func (n *Node) refuses(t auth.Ticket) error {
	if t.WalkIn && !n.cfg.AdmitsWalkIn(t.Role == auth.RoleMember) {
		return auth.ErrNoWalkIns
	}
	if err := n.machines.Refuses(t); err != nil {
		return err
	}
	return n.ledger.Refuses(t)
}

// NewVerifier makes the judge of tickets: ours, and those of the configured issuers.
func NewVerifier(cfg *config.Config, tickets *auth.Tickets, refuses func(auth.Ticket) error, log *slog.Logger) (*auth.Verifier, error) {
	apps, err := issuers(cfg)
	if err != nil {
		return nil, err
	}
	v, err := auth.NewVerifier(tickets, refuses, apps, time.Now, log)
	if err != nil {
		return nil, cfg.Errorf("auth.issuers", "%w", err)
	}
	return v, nil
}

// publicOrigin is the origin of the pages, if public_host tells.
func (n *Node) publicOrigin() string {
	if n.cfg.PublicHost == "" {
		return ""
	}
	return n.cfg.PublicURL(n.cfg.HTTP.Listen)
}

func (n *Node) makeSignal(secret auth.Secret, proxies httpapi.TrustedProxies) {
	origins := n.cfg.HTTP.AllowedOrigins
	if own := n.publicOrigin(); own != "" {
		origins = append(slices.Clone(origins), own)
	}
	n.signal = signal.New(signal.Config{
		VerifyTicket:   n.verifier.Verify,
		ICEServers:     n.sessionICE,
		EndRelays:      func(session string) { n.turn.EndSession(session) },
		ResumeWindow:   n.cfg.Signal.ResumeWindow,
		ResumeTokens:   auth.NewResumeTokens(secret, time.Now, rand.Reader),
		KickedFrom:     n.ledger.RefusesRoom,
		Revoked:        func(t auth.Ticket) bool { return n.refuses(t) != nil || !n.verifier.Knows(t.User) },
		Ended:          n.ended.Ended,
		KeepsName:      n.machines.Keeps,
		Presence:       presenceOf(n.cfg),
		MaxSession:     maxSessions(n.cfg),
		AllowedOrigins: origins,
		OriginRefused:  n.originRefused,
		ClientAddr:     proxies.ClientAddr,
		Limits:         signalLimits(&n.cfg.Limits),
		Log:            n.log,
	})
	n.people = &people{Node: n, out: kickedOut{ttl: n.cfg.Auth.CredentialTTL}}
	n.people.remember()
	n.onKicked = func(who auth.Kick) { n.people.carryOut(who) }
	n.onRevoked = func(invites []string) {
		n.revokeInvited(invites...)
		revoked := map[string]bool{}
		for _, id := range invites {
			revoked[id] = true
		}
		n.signal.EndWhere(func(_ string, t auth.Ticket) bool { return revoked[t.Invite] })
	}
}

// sessionICE gives signaling the ICE servers of a session's welcome and renewals. Their credential ends with the session.
func (n *Node) sessionICE(session string, user auth.User, host string, until time.Time) ([]wire.ICEServer, time.Time) {
	ttl := n.cfg.Auth.CredentialTTL
	if !until.IsZero() {
		ttl = min(ttl, time.Until(until))
	}
	cred := n.credentials.MintSession(session, user.String(), ttl)
	return n.ice.List(host, cred), cred.Expires
}

// turnConfig is what turnserver takes: the configuration, and the parts that it calls.
func (n *Node) turnConfig(secret auth.Secret) turnserver.Config {
	turn := turnserver.Config{
		Realm:       n.cfg.TURN.Realm,
		Software:    "turnpike",
		Listen:      turnListeners(n.cfg),
		Relay:       n.relays,
		FindRelays:  n.finder.now,
		MinPort:     n.cfg.TURN.RelayPorts.Min,
		MaxPort:     n.cfg.TURN.RelayPorts.Max,
		Credentials: n.credentials,
		Scope:       scope{n.signal, n.credentials},
		Revoked:     n.people.out.voids,
		AllowPeers:  n.cfg.TURN.AllowPeers,
		DenyPeers:   n.cfg.TURN.DenyPeers,

		AllowOwnPorts: ownPorts(n.cfg),
		Limits:        n.turnLimits(),
		Loops:         n.options.Processors,
		Offload:       offloadMode(n.cfg),
		Mobility:      n.cfg.TURN.Mobility,
		NonceKey:      secret.Derive("turnpike turn nonce"),
		Log:           n.log,

		NoTCPRelaying: !n.cfg.TURN.TCPRelaying,

		ProxyProtocol:  n.cfg.HTTP.ProxyProtocol,
		TrustedProxies: n.cfg.HTTP.TrustedProxies,

		Discovery:       discoveryPairs(n.cfg),
		Alternates:      alternates(n.cfg),
		AlternateDomain: n.cfg.TURN.AlternateDomain,

		SpareProcessors: func(spare bool) {
			if spare {
				runtime.GOMAXPROCS(2 * n.options.Processors)
			} else {
				runtime.GOMAXPROCS(n.options.Processors)
			}
		},
	}
	if n.certs != nil {
		turn.GetCertificate = n.certs.get
	}
	return turn
}

func (n *Node) makeAPI(proxies httpapi.TrustedProxies) {
	n.api = httpapi.New(httpapi.Config{
		Version:              n.options.Version,
		Guests:               httpapi.Guests(n.cfg.Auth.Guests),
		LocalOnly:            n.cfg.LocalOnly(),
		TicketTTL:            n.cfg.Auth.TicketTTL,
		CredentialTTL:        n.cfg.Auth.CredentialTTL,
		TrustedProxies:       proxies,
		AllowedOrigins:       n.cfg.HTTP.AllowedOrigins,
		PublicOrigin:         n.publicOrigin(),
		Tickets:              n.tickets,
		VerifyTicket:         n.verifier.Verify,
		Invites:              n.invites,
		UseInvite:            n.ledger.Use,
		Credentials:          n.credentials,
		APIKeys:              secretsOf(n.cfg.Auth.APIKeys),
		People:               n.people,
		RecordInvite:         n.ledger.Record,
		Sessions:             callers{n.signal},
		OwnInvites:           n.ledger,
		GuestInvites:         n.cfg.Auth.GuestInvites,
		InviteMaxTTL:         n.cfg.Auth.InviteMaxTTL,
		InvitesEach:          n.cfg.Limits.InvitesPerUser,
		InvitesPerMinute:     n.cfg.Limits.InviteRequestsPerMinute,
		MaxSession:           maxSessions(n.cfg),
		Refuses:              n.refuses,
		RefusesRoom:          n.ledger.RefusesRoom,
		Rand:                 rand.Reader,
		Codes:                n.cfg.Limits.Codes,
		CodesEach:            n.cfg.Limits.CodesPerUser,
		CodesPerAddress:      n.cfg.Limits.CodesPerAddress,
		CodesPerMinute:       n.cfg.Limits.CodeRequestsPerMinute,
		CodeTriesPerMinute:   n.cfg.Limits.CodeTriesPerMinute,
		OriginRefused:        n.originRefused,
		PublicURL:            func() string { return n.cfg.PublicURL(n.webAddrs()) },
		Machines:             n.machines,
		MachinesAtMost:       n.cfg.Limits.Machines,
		RevokeMachine:        n.people.RevokeMachine,
		NameTaken:            n.nameTaken,
		ICEServers:           &n.ice,
		Unready:              n.turn.Unready,
		Offloads:             n.turn.Offloads,
		FailuresPerMinute:    n.cfg.Limits.FailedTicketsPerMinute,
		KeyFailuresPerMinute: n.cfg.Limits.FailedKeysPerMinute,
		GrantsPerMinute:      n.cfg.Limits.TicketsPerMinute,
		AdminPerSecond:       n.cfg.Limits.APIRequestsPerSecond,
		Now:                  time.Now,
		Log:                  n.log,
	})
}

// forwarders are the proxies whose X-Forwarded-For is believed. Behind the PROXY protocol there are none: its header has the client's
// address already, and all headers after it are the client's own.
func forwarders(cfg *config.Config) httpapi.TrustedProxies {
	if cfg.HTTP.ProxyProtocol {
		return nil
	}
	return cfg.HTTP.TrustedProxies
}

// noticeForwarding logs forwarding headers that count for nothing and perhaps should.
func (n *Node) noticeForwarding(next http.Handler) http.Handler {
	if n.cfg.HTTP.ProxyProtocol {
		return next
	}
	return httpapi.ForwardingNotice(forwarders(n.cfg), time.Now, n.log, next)
}

// makeAdmin makes the server of the socket for the commands on this machine.
func (n *Node) makeAdmin() {
	mux := http.NewServeMux()
	mux.Handle("/", n.api.Local())
	mux.HandleFunc("POST /api/v1/admin/drain", n.postDrain)
	n.admin = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}

func (n *Node) makeWeb() {
	mux := http.NewServeMux()
	n.api.Register(mux)
	mux.Handle("/signal", n.signal)
	mux.Handle("/", web.Handler(web.Options{AllowedOrigins: n.cfg.HTTP.AllowedOrigins}))
	n.web = n.webServer(n.noticeForwarding(mux))
	n.redirects = n.webServer(http.HandlerFunc(n.redirect))
}

// webServer makes a server for strangers.
func (n *Node) webServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ConnState:         newWebPlaces(n.cfg.Limits.HTTPConnections).changed,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second, // it and WriteTimeout end where /signal takes the connection over
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
}
