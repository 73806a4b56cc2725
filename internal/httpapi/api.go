// Package httpapi answers the HTTP API that apps and the pages use, below /api/v1, and the health checks beside it.
//
// Each endpoint has a file: tickets, invites, codes, machines, iceservers, relays, turncredentials and client, and those of backends (admin):
// adminusers, adminrooms, adminmachines, admintickets and admininvites. A request passes the checks that
// all of them share (endpoint): its origin and its method. The handler then returns an answer or an apiError, which is
// written as JSON.
package httpapi

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"example.org/turnpike/auth"
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
	Version       string // of this server; empty: nobody is told
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

	People       People
	RecordInvite func(auth.Invite) error // adds a new invite to the list of invites
	PublicURL    func() string           // of the pages, without a path

	Sessions     Sessions
	OwnInvites   OwnInvites
	GuestInvites bool          // guests make invites too
	InviteMaxTTL time.Duration // of an invite that a user makes; 0: users make none
	InvitesEach  int           // that a user may have at a time

	Machines       Machines
	MachinesAtMost int                                         // 0: none may join
	RevokeMachine  func(name string) (sessions int, err error) // auth.ErrNoMachine: there is none

	MaxSession map[string]time.Duration // of the users of an issuer: how old their sessions may become
	Refuses    func(auth.Ticket) error  // says why a ticket that was good admits nobody any more; nil: there never is a reason
	// RefusesRoom reports whether a ticket does not open a room any more, because its user was thrown out of it. Nil: every ticket does.
	RefusesRoom func(ticket auth.Ticket, room string) bool
	Rand        io.Reader

	// NameTaken reports whether somebody online, or a machine, has a name, in its canonical form.
	NameTaken func(canonical string) bool
	// OriginRefused is told of each origin whose pages may not use the API. It must be quick. May be nil.
	OriginRefused func(origin string)
	// Unready says why clients should rather go to another server, or returns "". Nil: there never is a reason.
	Unready func() string
	// ICEServers may be filled in after New, but before the first request.
	ICEServers *ICEServers
	// Offloads reports whether the kernel forwards the traffic of a relay. found is false if who owns no relay there.
	Offloads func(relayed netip.AddrPort, who *auth.Grant) (offloads, found bool)

	FailuresPerMinute    int // bad tickets, invites and TURN credentials from one address; nobody can guess a signed token
	KeyFailuresPerMinute int // wrong API keys from one address; beyond, each wait is twice as long as the one before
	GrantsPerMinute      int // tickets and ICE servers that one address gets
	InvitesPerMinute     int // requests about invites from one user
	Codes                int // codes at a time; 0: nobody makes any
	CodesEach            int // of one user
	CodesPerAddress      int // of one address
	CodesPerMinute       int // requests about codes from one user
	CodeTriesPerMinute   int // codes that one address comes by, right and wrong
	AdminPerSecond       int // requests with an API key from one address; sixty times that at once. Of long lists a tenth
	Now                  func() time.Time
	Log                  *slog.Logger
}

// API answers the requests. Only ready changes once it serves.
type API struct {
	cfg      Config
	origins  origins
	failures *buckets // of signed tokens: they spare the processor
	keys     *limiter // of API keys, which can be guessed
	grants   *buckets
	inviters bucketTable[string] // users who ask about invites
	slots    *slots
	coders   bucketTable[string] // users who ask about codes
	tries    *buckets            // of codes
	admins   *buckets            // of good API keys
	lists    *buckets            // of those who ask for long lists by them
	waits    seldom              // lines of the log
	refusals *buckets            // likewise
	log      *slog.Logger

	ready atomic.Bool // false while starting and draining
}

// New makes an API that is not ready yet.
func New(cfg Config) *API {
	return &API{
		cfg:      cfg,
		origins:  origins{allowed: cfg.AllowedOrigins, own: cfg.PublicOrigin},
		failures: newBuckets(cfg.FailuresPerMinute, cfg.Now),
		keys:     newLimiter(cfg.KeyFailuresPerMinute, cfg.Now),
		grants:   newBuckets(cfg.GrantsPerMinute, cfg.Now),
		inviters: newBucketTable[string](max(1, cfg.InvitesPerMinute), cfg.Now),
		slots:    newSlots(cfg.Codes, cfg.CodesEach, cfg.CodesPerAddress, cfg.Rand, cfg.Now),
		coders:   newBucketTable[string](max(1, cfg.CodesPerMinute), cfg.Now),
		tries:    newBuckets(max(1, cfg.CodeTriesPerMinute), cfg.Now),
		admins:   newBuckets(60*cfg.AdminPerSecond, cfg.Now),
		lists:    newBuckets(max(1, 6*cfg.AdminPerSecond), cfg.Now),
		waits:    seldom{every: waitsEvery},
		refusals: newBuckets(refusalsPerMinute, cfg.Now),
		log:      cfg.Log,
	}
}

// SetReady sets what /readyz answers.
func (a *API) SetReady(ready bool) { a.ready.Store(ready) }

// Register adds the API's paths to mux.
func (a *API) Register(mux *http.ServeMux) {
	mux.Handle("/api/v1/tickets", a.endpoint(methods{http.MethodPost: a.postTicket}))
	mux.Handle("/api/v1/client", a.endpoint(methods{http.MethodGet: a.getClient}))
	mux.Handle("/api/v1/ice-servers", a.endpoint(methods{http.MethodGet: a.getICEServers}))
	mux.Handle("/api/v1/invites", a.endpoint(methods{http.MethodPost: a.postInvite, http.MethodGet: a.getInvites}))
	mux.Handle("/api/v1/invites/{id}", a.endpoint(methods{http.MethodDelete: a.deleteInvite}))
	mux.Handle("/api/v1/machines", a.endpoint(methods{http.MethodPost: a.postMachine}))
	mux.Handle("/api/v1/machines/{name}", a.endpoint(methods{http.MethodGet: a.getMachine}))
	mux.Handle("/api/v1/codes", a.endpoint(methods{http.MethodPost: a.postCode}))
	mux.Handle("/api/v1/codes/{slot}", a.endpoint(methods{http.MethodPost: a.takeCode, http.MethodPatch: a.patchCode, http.MethodDelete: a.deleteCode}))
	mux.Handle("/api/v1/relays/{relayed}", a.endpoint(methods{http.MethodGet: a.getRelay}))
	mux.Handle("/api/v1/turn-credentials", a.endpoint(methods{http.MethodGet: a.getTURNCredentials}))
	for _, p := range a.adminPaths() {
		mux.Handle(p.path, a.endpoint(methods{p.method: a.withKey(p)}))
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "There is no such API path."})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready.Load() {
			writeText(w, http.StatusServiceUnavailable, "not ready: starting or draining\n")
			return
		}
		if a.cfg.Unready != nil {
			if why := a.cfg.Unready(); why != "" {
				writeText(w, http.StatusServiceUnavailable, "not ready: "+why+"\n")
				return
			}
		}
		writeText(w, http.StatusOK, "ready\n")
	})
}

// methods are what a path takes.
type methods map[string]handler

func (m methods) String() string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

// endpoint does what every API path needs around its handlers: origins and CORS, the method, and the answer as JSON.
func (a *API) endpoint(takes methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		if !a.origins.allow(r) {
			if a.cfg.OriginRefused != nil {
				a.cfg.OriginRefused(r.Header.Get("Origin"))
			}
			writeError(w, &apiError{Status: http.StatusForbidden, Code: "forbidden", Message: "Pages of this origin may not use this server; its operator can add it to http.allowed_origins."})
			return
		}
		if a.origins.foreign(r) {
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "Retry-After")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", takes.String())
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		handle := takes[r.Method]
		if handle == nil {
			h.Set("Allow", takes.String())
			writeError(w, &apiError{Status: http.StatusMethodNotAllowed, Code: "method-not-allowed", Message: "This path takes " + takes.String() + " only."})
			return
		}
		answer(w, r, handle)
	})
}

// answer writes what handle answers.
func answer(w http.ResponseWriter, r *http.Request, handle handler) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
	object, apiErr := handle(r)
	if apiErr != nil {
		writeError(w, apiErr)
		return
	}
	writeJSON(w, http.StatusOK, object)
}

// refusalsPerMinute is how many refused tokens are logged where operators look.
const refusalsPerMinute = 60

// waitsEvery is how often an address that begins to wait is logged.
const waitsEvery = 10 * time.Second

// mayTry refuses to look at one more signed token or credential from an address that has sent too many bad ones.
func (a *API) mayTry(r *http.Request) *apiError {
	if wait := a.failures.lack(a.client(r)); wait > 0 {
		return tooMany("Too many refused attempts from this address; try again later.", wait)
	}
	return nil
}

// failed counts a signed token or credential that was bad, and answers it. One that has expired is none, and neither is a missing one.
func (a *API) failed(r *http.Request, message string) *apiError {
	a.failures.take(a.client(r))
	if a.failures.lack(a.client(r)) > 0 {
		a.logWait(r, "too many bad tickets, invites or credentials", "limits.failed_tickets_per_minute")
	}
	return unauthorized(message)
}

// mayHave counts a ticket, or ICE servers, that the client is about to get.
func (a *API) mayHave(r *http.Request) *apiError {
	if wait := a.grants.take(a.client(r)); wait > 0 {
		a.logWait(r, "too many tickets", "limits.tickets_per_minute_per_address")
		return tooMany("Your address gets too many tickets; try again later.", wait)
	}
	return nil
}

// logWait logs that an address has to wait.
func (a *API) logWait(r *http.Request, why, limit string) {
	if a.waits.allows(a.cfg.Now()) {
		a.log.Info("an address must wait: "+why, "client", a.client(r), "limit", limit)
	}
}

func (a *API) client(r *http.Request) netip.Addr { return a.cfg.TrustedProxies.ClientAddr(r) }

func tooMany(message string, wait time.Duration) *apiError {
	return &apiError{Status: http.StatusTooManyRequests, Code: "rate-limited", Message: message, retryAfter: wait}
}

// logRefused logs the reason, which the client does not learn, and what the token claims. Beyond a rate it logs
// for debugging alone.
func (a *API) logRefused(r *http.Request, what, token string, err error) {
	level := slog.LevelDebug
	if a.refusals.take(netip.Addr{}) == 0 {
		level = slog.LevelInfo
	}
	a.log.Log(r.Context(), level, what+" refused", "client", a.client(r), "claims", auth.Claimed(token), "err", err)
}
