package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/internal/httpapi"
	"turnpike/signal"
	"turnpike/signal/wire"
	"turnpike/turnserver"
	"turnpike/web"
)

// node is one server process: signaling and relaying, joined here because neither knows the other, and HTTP around them.
type node struct {
	cfg    *config.Config
	log    *slog.Logger
	relays []turnserver.RelayAddress
	creds  *auth.Credentials

	verifier *auth.Verifier // of every ticket, whoever made it
	ledger   *auth.Ledger   // of invites
	invites  *auth.Invites

	onRevoked func(inviteID string) // ends the sessions of those who came by it
	certs     *certificates         // nil: no TLS
	turn      *turnserver.Server
	signal    *signal.Server
	api       *httpapi.API
	ice       httpapi.ICEServers

	web     *http.Server
	handed  *webConns
	webs    []net.Listener // whose connections are handed to web, unless they carry TURN
	metrics *http.Server
	metric  net.Listener // nil: off

	showInvite bool // the banner may have an invite link: it goes to a terminal
}

// newNode makes the parts, and opens no socket. There are so many processors, and as many loops that serve UDP.
func newNode(cfg *config.Config, processors int, log *slog.Logger) (*node, error) {
	secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
	if err != nil {
		return nil, cfg.Errorf("state_dir", "%w", err)
	}
	n := &node{cfg: cfg, log: log, handed: newWebConns()}
	if n.relays, err = relayAddresses(cfg, turnserver.DefaultRelayAddresses); err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.CheckAlternates(addressesOf(n.relays))...); err != nil {
		return nil, err
	}
	if cfg.TLS.Mode == config.TLSFiles {
		if n.certs, err = loadCertificates(cfg, log); err != nil {
			return nil, err
		}
	}
	n.creds = auth.NewCredentials(cfg.TURN.Realm, secret, secretsOf(cfg.TURN.SharedSecrets), time.Now)
	n.creds.RememberUsernames(maxUsernames, cfg.Auth.CredentialTTL)
	tickets := auth.NewTickets(secret, time.Now, rand.Reader)
	if n.ledger, err = openLedger(cfg, log); err != nil {
		return nil, err
	}
	if n.verifier, err = newVerifier(cfg, tickets, n.ledger.Revoked, log); err != nil {
		_ = n.ledger.Close()
		return nil, err
	}
	origins, publicOrigin := cfg.HTTP.AllowedOrigins, ""
	if cfg.PublicHost != "" {
		publicOrigin = cfg.PublicURL(cfg.HTTP.Listen)
		origins = append(slices.Clone(origins), publicOrigin)
	}
	proxies := httpapi.TrustedProxies(cfg.HTTP.TrustedProxies)

	n.signal = signal.New(signal.Config{
		VerifyTicket:   n.verifier.Verify,
		ICEServers:     n.sessionICE,
		EndRelays:      func(session string) { n.turn.EndSession(session) },
		ResumeWindow:   cfg.Signal.ResumeWindow,
		ResumeTokens:   auth.NewResumeTokens(secret, time.Now, rand.Reader),
		Revoked:        func(t auth.Ticket) bool { return t.Invite != "" && n.ledger.Revoked(t.Invite) },
		AllowedOrigins: origins,
		ClientAddr:     proxies.ClientAddr,
		Limits:         signalLimits(&cfg.Limits),
		Log:            log,
	})
	n.onRevoked = func(invite string) {
		n.signal.EndWhere(func(_ string, t auth.Ticket) bool { return t.Invite == invite })
	}
	turn := turnserver.Config{
		Realm:       cfg.TURN.Realm,
		Software:    "turnpike",
		Listen:      turnListeners(cfg),
		Relay:       n.relays,
		MinPort:     cfg.TURN.RelayPorts.Min,
		MaxPort:     cfg.TURN.RelayPorts.Max,
		Credentials: n.creds,
		Scope:       n.signal,
		AllowPeers:  cfg.TURN.AllowPeers,
		DenyPeers:   cfg.TURN.DenyPeers,
		Limits:      turnLimits(&cfg.Limits),
		Loops:       processors,
		Offload:     offloadMode(cfg),
		Mobility:    cfg.TURN.Mobility,
		NonceKey:    secret.Derive("turnpike turn nonce"),
		Log:         log,

		NoTCPRelaying: !cfg.TURN.TCPRelaying,

		ProxyProtocol:  cfg.HTTP.ProxyProtocol,
		TrustedProxies: cfg.HTTP.TrustedProxies,

		Discovery:       discoveryPairs(cfg),
		Alternates:      alternates(cfg),
		AlternateDomain: cfg.TURN.AlternateDomain,

		SpareProcessors: func(spare bool) {
			if spare {
				runtime.GOMAXPROCS(2 * processors)
			} else {
				runtime.GOMAXPROCS(processors)
			}
		},
	}
	if n.certs != nil {
		turn.GetCertificate = n.certs.get
	}
	if n.turn, err = turnserver.New(turn); err != nil {
		n.closeAuth()
		_ = n.signal.Shutdown(context.Background()) // it has sessions to wait for only once it is served
		return nil, err
	}
	n.invites = auth.NewInvites(secret, time.Now, rand.Reader)
	n.api = httpapi.New(httpapi.Config{
		Guests:            httpapi.Guests(cfg.Auth.Guests),
		LocalOnly:         cfg.LocalOnly(),
		TicketTTL:         cfg.Auth.TicketTTL,
		CredentialTTL:     cfg.Auth.CredentialTTL,
		TrustedProxies:    proxies,
		AllowedOrigins:    cfg.HTTP.AllowedOrigins,
		PublicOrigin:      publicOrigin,
		Tickets:           tickets,
		VerifyTicket:      n.verifier.Verify,
		Invites:           n.invites,
		UseInvite:         n.ledger.Use,
		Credentials:       n.creds,
		APIKeys:           secretsOf(cfg.Auth.APIKeys),
		NameTaken:         n.signal.NameTaken,
		ICEServers:        &n.ice,
		Offloads:          n.turn.Offloads,
		FailuresPerMinute: cfg.Limits.FailedTicketsPerMinute,
		Now:               time.Now,
		Log:               log,
	})
	mux := http.NewServeMux()
	n.api.Register(mux)
	mux.Handle("/signal", n.signal)
	mux.Handle("/", web.Handler(web.Options{AllowedOrigins: cfg.HTTP.AllowedOrigins}))
	n.web = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second, // both end where /signal takes the connection over
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	n.metrics = newMetricsServer(cfg, n.turn, n.signal, n.certs, log)
	return n, nil
}

// newVerifier makes what judges tickets: ours, and those of the configured issuers.
func newVerifier(cfg *config.Config, tickets *auth.Tickets, revoked func(string) bool, log *slog.Logger) (*auth.Verifier, error) {
	issuers, err := issuers(cfg)
	if err != nil {
		return nil, err
	}
	v, err := auth.NewVerifier(tickets, revoked, issuers, time.Now, log)
	if err != nil {
		return nil, cfg.Errorf("auth.issuers", "%w", err)
	}
	return v, nil
}

// maxUsernames bounds what is kept so that clients need not say their TURN usernames: about 12 MB.
const maxUsernames = 1 << 16

// sessionICE gives signaling what a session's welcome and renewals carry.
func (n *node) sessionICE(session string, user auth.User, host string) ([]wire.ICEServer, time.Time) {
	cred := n.creds.MintSession(session, user.String(), n.cfg.Auth.CredentialTTL)
	return n.ice.List(host, cred), cred.Expires
}

// relayAddresses joins the configured or found local addresses with what the world sees instead of them.
func relayAddresses(cfg *config.Config, find func() ([]netip.Addr, error)) ([]turnserver.RelayAddress, error) {
	local := cfg.TURN.RelayAddresses
	if len(local) == 0 {
		found, err := find()
		if err != nil {
			return nil, cfg.Errorf("turn.relay_addresses", "no relay address found: %w; write this machine's address there", err)
		}
		if local = found; len(local) == 0 {
			return nil, cfg.Errorf("turn.relay_addresses", `no relay address found, because this machine has no default route; write its address there, like ["203.0.113.9"]`)
		}
	}
	relays := make([]turnserver.RelayAddress, len(local))
	for i, a := range local {
		relays[i] = turnserver.RelayAddress{Local: a, External: a}
		if external, ok := cfg.TURN.ExternalAddresses[a]; ok {
			relays[i].External = external
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(cfg.TURN.ExternalAddresses), netip.Addr.Compare) {
		if !slices.Contains(local, a) && !cfg.InDiscovery(a) {
			return nil, cfg.Errorf("turn.external_addresses", "%q is not an address that this server relays from, which are %v", a, local)
		}
	}
	return relays, nil
}

// open opens every socket. If one cannot be opened, close closes the others.
func (n *node) open() (err error) {
	for i, addr := range n.cfg.HTTP.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return n.cfg.Errorf(fmt.Sprintf("http.listen[%d]", i), "%s", listenProblem(addr, err))
		}
		n.webs = append(n.webs, l)
	}
	if addr := n.cfg.Metrics.Listen; addr != "" {
		if n.metric, err = net.Listen("tcp", addr); err != nil {
			return n.cfg.Errorf("metrics.listen", "%s", listenProblem(addr, err)+`, or set it to "" for no metrics`)
		}
	}
	if err := n.turn.Start(); err != nil {
		return n.turnProblem(err)
	}
	n.ice.PublicHost, n.ice.Web = n.cfg.PublicHost, n.webTURN()
	for _, l := range n.turn.Addrs() {
		n.ice.Listeners = append(n.ice.Listeners, httpapi.Listener{Network: l.Network, Addr: l.Addr})
	}
	for _, r := range n.relays {
		n.ice.Relays = append(n.ice.Relays, r.Local)
	}
	return nil
}

func (n *node) closeListeners() {
	for _, l := range n.webs {
		_ = l.Close()
	}
	if n.metric != nil {
		_ = n.metric.Close()
	}
}

// webAddrs are the addresses that HTTP is served on, ports resolved.
func (n *node) webAddrs() []string {
	addrs := make([]string, len(n.webs))
	for i, l := range n.webs {
		addrs[i] = n.cfg.HTTP.Listen[i]
		if host, port, err := net.SplitHostPort(addrs[i]); err == nil && port == "0" {
			_, port, _ = net.SplitHostPort(l.Addr().String())
			addrs[i] = net.JoinHostPort(host, port)
		}
	}
	return addrs
}
