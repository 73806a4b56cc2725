// Package httpapi answers the HTTP API that apps and the pages use, below /api/v1, and the health checks beside it.
//
// Each endpoint has a file: tickets, iceservers, relays and turncredentials. A request passes the checks that all of
// them share (endpoint): its origin, its method, and the failures of its client's address. The handler then returns an
// answer or an apiError, which is written as JSON.
package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"turnpike/auth"
)

// maxRequestBody is far above any real ticket request; an invite is under a kilobyte.
const maxRequestBody = 32 << 10

// Guests says who gets a ticket without an invite.
type Guests string

// The values are those of auth.guests in the configuration.
const (
	GuestsNever    Guests = "never"
	GuestsLoopback Guests = "loopback" // people on this machine, as members
	GuestsAlways   Guests = "always"   // everybody, as guests
)

// Config is what the API needs from outside. Functions must be safe for concurrent use.
type Config struct {
	Guests        Guests
	LocalOnly     bool // the configuration leaves strangers no way in; without it no request counts as local
	TicketTTL     time.Duration
	CredentialTTL time.Duration

	TrustedProxies TrustedProxies
	AllowedOrigins []string // other sites that may use the API: scheme://host[:port], lower-case
	PublicOrigin   string   // our own origin, if public_host is set: a proxy may have changed the Host header

	Tickets      *auth.Tickets
	VerifyTicket func(token string) (auth.Ticket, error) // judges every ticket, also those of outside apps
	Invites      *auth.Invites
	UseInvite    func(auth.Invite) error // counts one use of the invite
	Credentials  *auth.Credentials
	APIKeys      []auth.Secret // of apps' servers

	// NameTaken reports whether somebody online has a name, in its canonical form.
	NameTaken func(canonical string) bool
	// ICEServers may be filled in after New, but before the first request.
	ICEServers *ICEServers
	// Offloads reports whether the kernel forwards the traffic of a relay. found is false if who owns no relay there.
	Offloads func(relayed netip.AddrPort, who *auth.Grant) (offloads, found bool)

	FailuresPerMinute int // refused tickets, invites and keys from one address
	Now               func() time.Time
	Log               *slog.Logger
}

// API answers the requests. Only ready changes once it serves.
type API struct {
	cfg      Config
	origins  origins
	failures *limiter
	log      *slog.Logger

	ready atomic.Bool // false while starting and draining
}

// New makes an API that is not ready yet.
func New(cfg Config) *API {
	return &API{
		cfg:      cfg,
		origins:  origins{allowed: cfg.AllowedOrigins, own: cfg.PublicOrigin},
		failures: newLimiter(cfg.FailuresPerMinute, cfg.Now),
		log:      cfg.Log,
	}
}

// SetReady sets what /readyz answers.
func (a *API) SetReady(ready bool) { a.ready.Store(ready) }

// Register adds the API's paths to mux.
func (a *API) Register(mux *http.ServeMux) {
	mux.Handle("/api/v1/tickets", a.endpoint(http.MethodPost, a.postTicket))
	mux.Handle("/api/v1/ice-servers", a.endpoint(http.MethodGet, a.getICEServers))
	mux.Handle("/api/v1/relays/{relayed}", a.endpoint(http.MethodGet, a.getRelay))
	mux.Handle("/api/v1/turn-credentials", a.endpoint(http.MethodGet, a.getTURNCredentials))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "There is no such API path."})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready.Load() {
			writeText(w, http.StatusServiceUnavailable, "not ready: starting or draining\n")
			return
		}
		writeText(w, http.StatusOK, "ready\n")
	})
}

// endpoint does what every API path needs around handle: origins and CORS, the method, and the answer as JSON.
func (a *API) endpoint(method string, handle func(*http.Request) (any, *apiError)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		if !a.origins.allow(r) {
			writeError(w, &apiError{Status: http.StatusForbidden, Code: "forbidden", Message: "Pages of this origin may not use this server; its operator can add it to http.allowed_origins."})
			return
		}
		if a.origins.foreign(r) {
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "Retry-After")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", method)
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		if r.Method != method {
			h.Set("Allow", method)
			writeError(w, &apiError{Status: http.StatusMethodNotAllowed, Code: "method-not-allowed", Message: "This path takes " + method + " only."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
		answer, apiErr := a.limited(r, handle)
		if apiErr != nil {
			writeError(w, apiErr)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

// limited refuses an address that has failed to authenticate too often, and counts the failures that may have been
// guesses. A missing invite, or one of ours that is too old, must not keep out others at the same address.
func (a *API) limited(r *http.Request, handle func(*http.Request) (any, *apiError)) (any, *apiError) {
	addr := a.cfg.TrustedProxies.ClientAddr(r)
	if wait := a.failures.wait(addr); wait > 0 {
		return nil, &apiError{Status: http.StatusTooManyRequests, Code: "rate-limited", Message: "Too many refused attempts from this address; try again later.", retryAfter: wait}
	}
	answer, apiErr := handle(r)
	if apiErr != nil && apiErr.Code == codeUnauthorized {
		a.failures.failed(addr)
	}
	return answer, apiErr
}

// logRefused logs the reason, which the client does not learn.
func (a *API) logRefused(r *http.Request, what string, err error) {
	a.log.Info("refused", "what", what, "client", a.cfg.TrustedProxies.ClientAddr(r), "err", err)
}
