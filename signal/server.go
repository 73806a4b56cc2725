// Package signal introduces peers to each other. It is the WebSocket endpoint
// of the protocol turnpike.v1 (PROTOCOL.md, package wire): sessions, rooms,
// directed signals, presence and calls.
//
//	socket ── reader ── wire.Parse ──┐                  ┌── queue ── writer ── socket
//	          (one at a time)        ├── Server.mu ─────┤   (the writer lives only while
//	socket ── reader ── wire.Parse ──┘   who is where   └── queue   its queue is not empty)
//
// On Linux, where there is no TLS, a few pollers are the readers of all sockets, and goroutines only of those that take longer
// (polledConn). Elsewhere each socket has a goroutine.
//
// A reader owns its session's private state and does the work of what it
// read; what concerns others happens under Server.mu, in memory only, and ends
// as frames in their bounded queues. Nobody ever waits for another's socket: a
// queue that overflows closes its session with the code slow.
//
// A session outlives its socket for a while, and goes on by another (resume.go). Lock order: see session.
package signal

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

const (
	handshakeTimeout = 10 * time.Second
	sweepInterval    = time.Second
	epochLength      = 12
	// retryAfter is what clients are told to wait when the server stops.
	retryAfter = 2 * time.Second
	// What waits in buffers for the next byte is most of an idle session.
	readBufferSize  = 128 // for frames' headers; payloads go past it
	writeBufferSize = 4 << 10
)

// Config is what a server needs from outside. Every function must be safe for
// concurrent use; none is called with a lock held that another session waits for.
type Config struct {
	// VerifyTicket judges the ticket of a hello. Its error is logged and never
	// shown to the client.
	VerifyTicket func(token string) (auth.Ticket, error)
	// ICEServers makes what a session hands to RTCPeerConnection and says when
	// its credential expires. It is called for the welcome and for each renewal. host is the Host header of the upgrade.
	// A zero time means that nothing expires. Nil: no servers.
	ICEServers func(session string, user auth.User, host string) ([]wire.ICEServer, time.Time)
	// EndRelays ends a session's allocations, because the session said bye.
	// It is not called for a lost connection: a signaling outage must not kill a
	// healthy relayed call. May be nil.
	EndRelays func(session string)
	// ResumeWindow is how long a session outlives its socket; zero: not at all. ResumeTokens sign what it is resumed with, and are
	// needed for a window.
	ResumeWindow time.Duration
	ResumeTokens *auth.ResumeTokens
	// Revoked reports whether what admitted a user holds no longer, so that the session is not resumed in another process. EndWhere
	// ends those that are there. Nil: never.
	Revoked func(auth.Ticket) bool
	// AllowedOrigins are the origins, as in https://app.example.org, that may
	// connect besides pages from the same host. Clients that send no Origin are
	// not browsers and may connect.
	AllowedOrigins []string
	// ClientAddr is the address that limits count, behind proxies not the
	// socket's. Nil: the socket's.
	ClientAddr func(*http.Request) netip.Addr
	// Limits bound what clients may do. Zero fields take their defaults.
	Limits Limits
	Log    *slog.Logger // nil: discarded
	Rand   io.Reader    // nil: crypto/rand
}

// Server is the WebSocket endpoint and all that it remembers.
type Server struct {
	// Static after construction.
	cfg       Config
	origins   map[string]bool
	upgrader  websocket.Upgrader
	counters  counters
	buffers   sync.Pool     // of *readBuffer
	readAhead sync.Pool     // of *[readAhead]byte
	written   sync.Pool     // of *[]byte, in which messages get their numbers and frames
	epoch     string        // of this process, in resume tokens
	stop      chan struct{} // closed by Shutdown, ends the sweep and idle aparts
	aparts    aparts
	pollers   pollers

	kept atomic.Int64 // bytes of all streams

	// Counts the sweep, sockets, and the goroutines of readers, writers and aparts. Added to under mu while not
	// draining, or by somebody who is counted, or acts for a socket that is.
	running sync.WaitGroup

	mu sync.Mutex // see session for the order of locks
	// Guarded by mu.
	draining  bool
	conns     map[*socket]struct{}  // every open one
	sessions  map[string]*session   // by id: from welcome to end
	away      map[*session]struct{} // of these, who has no socket
	over      overSessions
	members   map[*session]struct{} // of these, who sees everybody
	users     map[string]*user      // who is online
	names     map[string]*user      // by canonical name: the same users
	rooms     map[string]*room
	calls     map[string]*call
	addrs     map[netip.Prefix]*addrUse
	spent     map[string]*userUse // of users who are not online
	lingering lingeringScopes
	presence  presence
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
		cfg.ICEServers = func(string, auth.User, string) ([]wire.ICEServer, time.Time) { return nil, time.Time{} }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(auth.Ticket) bool { return false }
	}
	if cfg.EndRelays == nil {
		cfg.EndRelays = func(string) {}
	}
	srv := &Server{
		cfg:      cfg,
		origins:  make(map[string]bool),
		counters: newCounters(),
		stop:     make(chan struct{}),
		conns:    make(map[*socket]struct{}),
		sessions: make(map[string]*session),
		away:     make(map[*session]struct{}),
		epoch:    auth.NewID(cfg.Rand, epochLength),
		members:  make(map[*session]struct{}),
		users:    make(map[string]*user),
		names:    make(map[string]*user),
		rooms:    make(map[string]*room),
		calls:    make(map[string]*call),
		addrs:    make(map[netip.Prefix]*addrUse),
		spent:    make(map[string]*userUse),
		presence: newPresence(),
	}
	srv.aparts = newAparts(&srv.running, srv.stop)
	srv.buffers.New = func() any { return new(readBuffer) }
	srv.written.New = func() any { return new([]byte) }
	srv.readAhead.New = func() any { return new([readAhead]byte) }
	for _, origin := range cfg.AllowedOrigins {
		srv.origins[normalOrigin(origin)] = true
	}
	srv.upgrader = websocket.Upgrader{
		HandshakeTimeout: handshakeTimeout,
		ReadBufferSize:   readBufferSize,
		WriteBufferSize:  writeBufferSize,
		WriteBufferPool:  new(sync.Pool),
		Subprotocols:     []string{wire.Subprotocol},
		CheckOrigin:      func(*http.Request) bool { return true }, // ServeHTTP did
	}
	srv.running.Go(srv.sweepUntilStopped)
	return srv
}

// ServeHTTP upgrades the request to a WebSocket and hands it to a reader. What
// is refused here is refused by HTTP status, before anything is kept for it.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !srv.originAllowed(r):
		srv.refuse(w, http.StatusForbidden, refusedOrigin, "this origin may not connect; see allowed_origins")
		return
	case !slices.Contains(websocket.Subprotocols(r), wire.Subprotocol):
		srv.refuse(w, http.StatusBadRequest, refusedSubprotocol, "a WebSocket with the subprotocol "+wire.Subprotocol+" is needed here")
		return
	}
	addr := limitPrefix(srv.cfg.ClientAddr(r))
	if reason := srv.reserve(addr); reason != "" {
		status := http.StatusServiceUnavailable
		if reason == refusedAddr {
			status = http.StatusTooManyRequests
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		srv.refuse(w, status, reason, "not now; try again later")
		return
	}
	conn, err := srv.upgrader.Upgrade(polledWriter{w, srv}, r, nil)
	if err != nil { // Upgrade has answered
		srv.counters.refused.add(refusedHandshake)
		srv.release(addr)
		return
	}
	if !srv.start(newSocket(srv, conn, r, addr)) {
		conn.Close()
		srv.release(addr)
	}
}

// start begins to read from c, unless the server is going away.
func (srv *Server) start(c *socket) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining {
		return false
	}
	srv.conns[c] = struct{}{}
	srv.running.Add(1) // until it ends
	// In goroutines of their own, because net/http's keeps buffers and a grown
	// stack for as long as the handler runs.
	switch {
	case c.polled == nil:
		srv.running.Go(c.read)
	case !c.polled.release():
		srv.running.Go(func() { c.readOn(nil) })
	}
	return true
}

func (srv *Server) refuse(w http.ResponseWriter, status int, reason, sentence string) {
	srv.counters.refused.add(reason)
	http.Error(w, sentence, status)
}

func (srv *Server) sweepUntilStopped() {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	defer srv.presence.timer.Stop()
	var chores []chore
	more := time.NewTimer(choreInterval)
	defer more.Stop()
	for {
		select {
		case <-srv.stop:
			return
		case <-srv.presence.timer.C:
			srv.tellPresence()
			continue
		case now := <-tick.C:
			chores = srv.sweep(chores, now)
		case <-more.C:
		}
		if chores = srv.doSome(chores); chores != nil {
			more.Reset(choreInterval)
		}
	}
}

// sweep does what is due, being the only clock of all sessions and calls. It appends what takes more than a moment to chores.
func (srv *Server) sweep(chores []chore, now time.Time) []chore {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for c := range srv.conns {
		switch {
		case c.session == nil && now.Sub(c.opened) >= wire.HelloTimeout:
			c.shut(wire.CloseHelloTimeout, wire.ReasonGone)
		case now.Sub(time.Unix(0, c.lastHeard.Load())) >= wire.DeadAfter:
			c.shut(wire.CloseDead, wire.ReasonGone)
		case now.Sub(c.pinged) >= wire.PingInterval:
			c.pinged = now
			c.push(frame{kind: websocket.PingMessage})
		}
		s := c.session
		if s == nil || s.socket != c {
			continue
		}
		s.stream.rest()
		chores = s.dueChores(chores, now)
	}
	srv.sweepAway(now)
	for _, c := range srv.calls {
		if c.room == nil && !now.Before(c.ringsUntil) {
			srv.stopRinging(c, wire.CancelTimeout)
		}
	}
	srv.forgetAddrs(now)
	srv.forgetSpent(now)
	srv.lingering.expire(now)
	srv.over.expire(now)
	return chores
}

func isDue(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (srv *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	switch len(origins) {
	case 0:
		return true // not a browser
	case 1:
		origin := normalOrigin(origins[0])
		_, host, _ := strings.Cut(origin, "://")
		return host != "" && host == strings.ToLower(r.Host) || srv.origins[origin]
	}
	return false
}

func normalOrigin(origin string) string {
	return strings.ToLower(strings.TrimSuffix(origin, "/"))
}

func socketAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero address limits what has none
	return ap.Addr()
}

// encode gives m as a frame's text. What it cannot encode is a fault of ours:
// it is logged and becomes an internal error at the client.
func (srv *Server) encode(m wire.Message) []byte {
	data, err := wire.Encode(m)
	if err != nil {
		srv.cfg.Log.Error("signaling message lost", "err", err)
		data, _ = wire.Encode(failed(wire.CodeInternal, "The server failed."))
	}
	return data
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{} // [] in JSON, where nil would be null
	}
	return list
}
