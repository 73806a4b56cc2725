// Package signal introduces peers to each other: sessions, rooms, directed signals, calls and presence. It is the
// server of the protocol turnpike.v1 (PROTOCOL.md, package wire), and leaves everything below a message to package
// socket.
//
//	socket ──▶ conn.HandleMessage ── wire.Parse ──▶ session.act, one message at a time
//	                                                    │
//	                                             under Server.mu: who is where
//	                                                    │
//	socket ◀── stream, numbered and kept until acknowledged ◀── session.tell, of this session and of others
//
// The goroutine that reads a message does all of its work. It changes rooms, calls and users under Server.mu, in memory
// only, and puts messages into the streams of other sessions. It never waits for another client's socket: a stream that
// overflows ends its session with the close code slow.
//
// A session outlives its connection for a while, and goes on by another (resume.go). Lock order: see session.
package signal

import (
	"container/list"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"
)

const (
	epochLength = 12
	// retryAfter is how long the server tells clients to wait when it stops.
	retryAfter = 2 * time.Second
)

// Config is what a server needs from outside. Every function must be safe for concurrent use. The server calls none of
// them while it holds a lock that another session waits for.
type Config struct {
	// VerifyTicket judges the ticket of a hello. Its error is logged and never shown to the client.
	VerifyTicket func(token string) (auth.Ticket, error)
	// ICEServers makes the servers that a session hands to RTCPeerConnection, and says when their credential expires.
	// It is called for the welcome and for each renewal. host is the Host header of the upgrade. The credential must not
	// outlive until, unless that is zero. A zero time means that nothing expires. Nil: no servers.
	ICEServers func(session string, user auth.User, host string, until time.Time) ([]wire.ICEServer, time.Time)
	// EndRelays ends a session's allocations, because the session said bye, was kicked or was revoked. It is not called
	// for a lost connection: a signaling outage must not kill a healthy relayed call. May be nil.
	EndRelays func(session string)
	// ResumeWindow is how long a session outlives its connection; zero: not at all. A window needs ResumeTokens, which
	// sign the tokens that sessions are resumed with.
	ResumeWindow time.Duration
	ResumeTokens *auth.ResumeTokens
	// Ended remembers what has ended, so that no resume token brings it back, also in the next process if the caller keeps
	// it in a file. Nil: it is forgotten with the server.
	Ended *auth.Ended
	// Revoked reports whether the invite or ticket that admitted a user was revoked: then a session of another process
	// is not resumed. EndWhere ends the sessions of this process. Nil: never.
	Revoked func(auth.Ticket) bool
	// KickedFrom reports whether a ticket does not open a room any more, because its user was thrown out of that after the
	// ticket was issued. It must be quick, and must not block. Nil: never. KickUser takes those out who are in.
	KickedFrom func(ticket auth.Ticket, room string) bool
	// KeepsName reports whether a name, in its canonical form, is kept for a user who need not be online, and is not this one. It must be
	// quick, and must not block. Nil: none is.
	KeepsName func(canonical string, from auth.User) bool
	// Presence says whom the members of each issuer see. An issuer that is not there has PresenceAll.
	Presence map[string]Presence
	// MaxSession is how old the sessions of an issuer may become, unless a fresh ticket refreshes them. An issuer that is not
	// there has no such bound.
	MaxSession map[string]time.Duration
	// AllowedOrigins are the origins, as in https://app.example.org or capacitor://localhost, that may connect besides pages from the same host.
	// Clients that send no Origin are not browsers and may connect.
	AllowedOrigins []string
	// OriginRefused is told of each origin that may not connect. It must be quick. May be nil.
	OriginRefused func(origin string)
	// ClientAddr is the address that limits count. Behind proxies it is not the socket's. Nil: the socket's.
	ClientAddr func(*http.Request) netip.Addr
	// Limits bound what clients may do. Zero fields take their defaults.
	Limits Limits
	Log    *slog.Logger // nil: discarded
	Rand   io.Reader    // nil: crypto/rand
}

// Server is the WebSocket endpoint and all that it remembers.
type Server struct {
	// Static after construction.
	cfg      Config
	origins  map[string]bool
	counters counters
	engine   *socket.Engine
	told     *wire.Limits   // in welcomes
	epoch    string         // of this process, in resume tokens
	past     *auth.Ended    // what resume tokens must not bring back
	stop     chan struct{}  // closed by Shutdown, ends the sweep and what tells members of each other
	sweeping sync.WaitGroup // counts these two

	kept atomic.Int64 // bytes of all streams

	mu memoryLock // see session for the order of locks
	// Guarded by mu.
	draining      bool
	conns         walked[*conn]       // every open one
	strangers     list.List           // of *conn: those before their welcome, the oldest first
	signedIn      int                 // connections since their welcome
	waitLogged    bucket              // of log lines that an address begins to wait
	refusalLogged bucket              // of log lines about refused tickets
	sessions      map[string]*session // by id: from welcome to end
	away          walked[*session]    // the sessions that have no connection
	members       members             // the sessions that see everybody online
	lingering     expiring[scope]     // of sessions that ended without bye, for as long as one of their relays may live
	users         map[string]*user    // who is online
	names         map[string][]*user  // by canonical name: the same users
	online        directory           // the same users
	circles       map[string]*circle  // of the issuers whose members see each other alone
	rooms         map[string]*room
	calls         map[string]*call
	ringing       []*call // by the end of their ringing; some are answered or over
	addrs         addrs
	spent         spent // of users who are not online
	presence      presence
}

// New makes a server and starts its sweep; Shutdown ends it.
func New(cfg Config) *Server {
	cfg.Limits.fill()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.ClientAddr == nil {
		cfg.ClientAddr = socketAddr
	}
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(string, auth.User, string, time.Time) ([]wire.ICEServer, time.Time) { return nil, time.Time{} }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(auth.Ticket) bool { return false }
	}
	if cfg.KickedFrom == nil {
		cfg.KickedFrom = func(auth.Ticket, string) bool { return false }
	}
	if cfg.Ended == nil {
		cfg.Ended = auth.NewEnded(time.Now)
	}
	if cfg.OriginRefused == nil {
		cfg.OriginRefused = func(string) {}
	}
	if cfg.EndRelays == nil {
		cfg.EndRelays = func(string) {}
	}
	srv := &Server{
		cfg:      cfg,
		origins:  make(map[string]bool),
		told:     cfg.Limits.told(),
		counters: newCounters(),
		engine:   socket.NewEngine(wire.Subprotocol, cfg.Log),
		past:     cfg.Ended,
		stop:     make(chan struct{}),
		sessions: make(map[string]*session),
		epoch:    auth.NewID(cfg.Rand, epochLength),
		users:    make(map[string]*user),
		names:    make(map[string][]*user),
		circles:  make(map[string]*circle),
		rooms:    make(map[string]*room),
		calls:    make(map[string]*call),
		addrs:    newAddrs(),
		spent:    spent{by: make(map[string]*userUse)},
		presence: newPresence(),
	}
	for issuer, p := range cfg.Presence {
		if p == PresenceIssuer {
			srv.circles[issuer] = new(circle)
		}
	}
	for _, origin := range cfg.AllowedOrigins {
		srv.origins[normalOrigin(origin)] = true
	}
	srv.sweeping.Go(srv.sweepUntilStopped)
	srv.sweeping.Go(srv.tellPresenceUntilStopped)
	return srv
}

// ServeHTTP upgrades the request to a WebSocket and begins to read from it. It refuses by an HTTP status, before the
// server keeps anything for the client.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !srv.originAllowed(r):
		srv.cfg.OriginRefused(r.Header.Get("Origin"))
		srv.refuseUpgrade(w, http.StatusForbidden, refusedOrigin, "this origin may not connect; see allowed_origins")
		return
	case !socket.Offers(r, wire.Subprotocol):
		srv.refuseUpgrade(w, http.StatusBadRequest, refusedSubprotocol, "a WebSocket with the subprotocol "+wire.Subprotocol+" is needed here")
		return
	}
	c := newConn(srv, r.Host)
	crowdedOut, reason := srv.reserve(c, srv.cfg.ClientAddr(r))
	for _, oldest := range crowdedOut {
		oldest.Close() // without a farewell, which could wait for the client
	}
	if reason != "" {
		status := http.StatusServiceUnavailable
		if reason == refusedAddr {
			status = http.StatusTooManyRequests
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		srv.refuseUpgrade(w, status, reason, "not now; try again later")
		return
	}
	if err := srv.engine.Upgrade(w, r, &c.Conn, c); err != nil { // Upgrade has answered
		srv.counters.refused.count(refusedHandshake)
		srv.release(c)
		return
	}
	if !srv.start(c) {
		c.Close()
		srv.release(c)
	}
}

// start begins to read from c, unless the server is going away, or c was crowded out during its upgrade.
func (srv *Server) start(c *conn) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining || c.place == nil {
		return false
	}
	srv.conns.add(c)
	c.Start()
	return true
}

func (srv *Server) refuseUpgrade(w http.ResponseWriter, status int, reason, sentence string) {
	srv.counters.refused.count(reason)
	http.Error(w, sentence, status)
}

func (srv *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	switch len(origins) {
	case 0:
		return true // not a browser
	case 1:
		origin := normalOrigin(origins[0])
		scheme, host, _ := strings.Cut(origin, "://")
		isPage := scheme == "https" || scheme == "http" // a packaged app's host is not ours, even if its name is
		return isPage && host != "" && host == strings.ToLower(r.Host) || srv.origins[origin]
	}
	return false
}

func normalOrigin(origin string) string {
	return strings.ToLower(strings.TrimSuffix(origin, "/"))
}

func socketAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // clients without an address share the limits of the zero address
	return ap.Addr()
}

// encode returns the text of m. A message that cannot be encoded is a fault of ours: it is logged and becomes an
// internal error at the client.
func (srv *Server) encode(m wire.Message) []byte {
	data, err := wire.Encode(m)
	if err != nil {
		srv.cfg.Log.Error("signaling message lost", "err", err)
		data, _ = wire.Encode(newError(wire.CodeInternal, "The server failed."))
	}
	return data
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{} // [] in JSON, where nil would be null
	}
	return list
}
