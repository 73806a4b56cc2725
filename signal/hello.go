package signal

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

const (
	sessionIDLength = 16
	// ticketTries is how many refused tickets close a connection.
	ticketTries = 3
)

// hello admits a session, new or resumed, or says why not. The client may try again on the connection.
func (c *conn) hello(m *wire.Hello) *wire.Error {
	srv := c.srv
	if wait := srv.failedWait(c); wait > 0 {
		srv.counters.limited.count(limitedFailedHellos)
		return rateLimited(wait, "Too many bad tickets from your address.")
	}
	if m.Resume != nil {
		if resumed, e := c.resume(m); resumed || e != nil {
			return e
		}
	}
	if e := srv.takeHello(c, hellos); e != nil {
		return e
	}
	token, wasLost := c.lostSession(m.Resume)
	if m.Ticket == "" {
		if wasLost {
			return c.beginAnew(m, &token)
		}
		return newError(wire.CodeNoSuchSession, "There is no such session to resume; say hello with a ticket.")
	}
	ticket, err := srv.cfg.VerifyTicket(m.Ticket)
	switch {
	case err == nil:
	case wasLost:
		return c.beginAnew(m, &token)
	default:
		return c.refuseTicket(m, err)
	}
	asked, err := srv.nameOf(&ticket, m.Name)
	if err != nil {
		return badField("name", err.Error())
	}
	s := newSession(srv, auth.NewID(srv.cfg.Rand, sessionIDLength), ticket)
	if wasLost && token.Ticket.User == ticket.User {
		s.follows = token.Session // whose token is of no use any more
	}
	return c.begin(m, s, asked)
}

// refuseTicket answers a hello whose ticket does not admit its user.
func (c *conn) refuseTicket(m *wire.Hello, err error) *wire.Error {
	if unavailable, ok := errors.AsType[*auth.KeysUnavailableError](err); ok {
		return cannotVerify(unavailable)
	}
	c.logRefused(m.Ticket, err)
	if !wasGood(err) {
		c.srv.countFailedHello(c)
	}
	c.answerError(m.ID, newError(wire.CodeUnauthorized, "The ticket does not admit you; get a new one."))
	if c.refusedTickets++; c.refusedTickets == ticketTries {
		c.Shut(wire.CloseUnauthorized, wire.ReasonGone)
	}
	return nil
}

// begin has the connection carry a new session.
func (c *conn) begin(m *wire.Hello, s *session, asked askedName) *wire.Error {
	welcome := c.newWelcome(m.ID, s.id, s.ticket, s.until)
	s.turn.Lock()
	defer s.turn.Unlock()
	if e := c.admit(s, asked, welcome); e != nil {
		return e
	}
	if s.follows != "" {
		c.srv.past.FollowSession(s.id, s.follows)
	}
	c.sendWelcome(welcome)
	c.srv.counters.begun.count(sessionNew)
	return nil
}

// wasGood reports whether the ticket that VerifyTicket refused was good once: then nobody is guessing.
func wasGood(err error) bool {
	return errors.Is(err, auth.ErrExpired) || errors.Is(err, auth.ErrKicked) || errors.Is(err, auth.ErrNoWalkIns)
}

// admit does the part of hello that needs mu. The caller holds s.turn.
func (c *conn) admit(s *session, asked askedName, welcome *greeting) *wire.Error {
	srv := c.srv
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining {
		return goingAway()
	}
	if e := srv.maySignIn(c, false); e != nil {
		return e
	}
	if e := srv.begin(s, asked); e != nil {
		return e
	}
	srv.listOnline(s, &welcome.Welcome)
	srv.carry(c, s, welcome)
	return nil
}

// newSession makes a session that the server does not know yet.
func newSession(srv *Server, id string, ticket auth.Ticket) *session {
	now := time.Now()
	return &session{
		srv: srv, id: id, ticket: ticket, until: srv.endOf(&ticket, now), generation: 1, stream: stream{kept: &srv.kept}, since: now,
	}
}

// cannotVerify answers a ticket that may be good: only its issuer's page of keys, which cannot be read now, could tell.
func cannotVerify(err *auth.KeysUnavailableError) *wire.Error {
	return &wire.Error{
		Code: wire.CodeInternal, Message: "The server cannot check the ticket now; try again later.",
		RetryAfter: int(math.Ceil(err.RetryAfter.Seconds())),
	}
}

// refusalLogRate is how often refused tickets are logged where operators look.
var refusalLogRate = Rate{PerSecond: 1, Burst: 100}

// logRefused logs what a refused ticket claims, as the HTTP API does. It logs for debugging alone what would fill the log: a
// ticket that has only expired, and those of an address that sends too many.
func (c *conn) logRefused(ticket string, err error) {
	level := slog.LevelDebug
	if !errors.Is(err, auth.ErrExpired) && c.srv.mayLogRefusal(c) {
		level = slog.LevelInfo
	}
	c.srv.cfg.Log.Log(context.Background(), level, "ticket refused", "client", clientText(c.use.prefix), "claims", auth.Claimed(ticket), "err", err)
}

func (srv *Server) mayLogRefusal(c *conn) bool {
	now := time.Now()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return c.use.lack(now, srv.cfg.Limits.FailedHellos, failedHellos) == 0 && srv.refusalLogged.takeToken(now, refusalLogRate) == 0
}

// clientText writes an address as the HTTP API does, unless limits count a whole network.
func clientText(addr netip.Prefix) string {
	if addr.IsSingleIP() {
		return addr.Addr().String()
	}
	return addr.String()
}

// begin makes a session known under a name. A name that its user chose must be nobody else's. The caller holds mu.
func (srv *Server) begin(s *session, asked askedName) *wire.Error {
	if e := srv.mayHaveAnother(s.ticket.User.String()); e != nil {
		return e
	}
	u, e := srv.goOnline(s.ticket.User.String(), asked)
	if e != nil {
		return e
	}
	s.user = u
	u.sessions = append(u.sessions, s)
	srv.sessions[s.id] = s
	if !asked.chosen && asked.former == "" {
		if _, waits := s.ticketName(&s.ticket); waits {
			u.nameOwed = s
		}
	}
	s.sight = srv.sight(&s.ticket)
	if list := srv.membersLike(s); list != nil {
		list.add(s)
	}
	s.presenceAt = srv.presence.clock
	srv.logLocked(slog.LevelDebug, "session began", "session", s.id, "user", u.id, "role", s.ticket.Role, "restored", s.restored)
	return nil
}

// greeting is a welcome, and what makes the resume token in it.
type greeting struct {
	wire.Welcome
	claims   auth.Resume
	outdated uint64 // tokens up to this message of the stream are older than the welcome's
}

// newWelcome makes a welcome, except for the parts that need a lock.
func (c *conn) newWelcome(ref, session string, ticket auth.Ticket, until time.Time) *greeting {
	servers, expires := c.srv.cfg.ICEServers(session, ticket.User, c.host, until)
	return &greeting{Welcome: wire.Welcome{
		Ref: ref, Session: session, User: ticket.User.String(), Role: string(ticket.Role),
		ResumeWindow: int(c.srv.cfg.ResumeWindow.Seconds()), Epoch: c.srv.epoch,
		ICEServers: orEmpty(servers), ICEExpires: expires,
	}}
}

// carry has c carry s, and completes the welcome, which sendWelcome must send next. The caller holds s.turn and mu.
func (srv *Server) carry(c *conn, s *session, m *greeting) {
	now := time.Now()
	m.Name, m.ExpiresIn = s.user.name, expiresIn(s.until, now)
	if m.Online != nil { // the client knows nothing yet
		m.Limits = srv.told
	}
	if m.Resumed != "" {
		m.Rooms = make([]wire.Joined, 0, len(s.rooms))
		for _, r := range s.rooms {
			m.Rooms = append(m.Rooms, *joined("", r, s))
		}
	}
	if srv.resumes() {
		m.claims = srv.tokenClaims(s, now)
	}
	s.renewAt = s.renewalTime(now, m.ICEExpires)
	s.conn, s.reader, c.session = c, c, s
	srv.signIn(c)
	s.stream.attach(&c.Conn, s.stream.acknowledged())
}

// sendWelcome signs the resume token, and sends the welcome before all that is in the session's stream. The caller holds
// the session's turn, but not mu: both take long.
func (c *conn) sendWelcome(m *greeting) {
	if c.srv.resumes() {
		m.Resume = c.srv.sign(m.claims)
		c.session.stream.replaceTokens(m.outdated, c.srv.encode(&wire.NewToken{Token: m.Resume}))
	}
	c.sendUnnumbered(&m.Welcome)
	c.SetSource(&c.session.stream)
}
