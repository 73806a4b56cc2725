package signal

import (
	"errors"
	"math"
	"strings"
	"time"

	"example.org/turnpike/signal/socket"
	"example.org/turnpike/signal/wire"
)

// conn is one client's connection. It lives until nothing more can be read from it. The session that it carries may
// outlive it, and go on by another.
//
// The fields that each message needs come first: when a message comes, the memory of most connections has gone cold.
type conn struct {
	srv *Server // static

	// Written once, by the reader under srv.mu: the reader reads it freely, others under srv.mu.
	session *session // nil before the welcome

	messages bucket // owned by the reader

	socket.Conn

	// Owned by the reader.
	badMessages    bucket
	refusals       bucket
	refusedTickets int
	hasFailed      bool // it has sent a bad ticket or resume token

	// Static after the upgrade.
	host   string   // the Host header of the upgrade
	use    *addrUse // of the addresses by which limits count the client
	opened time.Time

	// Guarded by srv.mu.
	place *strangerPlace // nil once it was welcomed, or crowded out
	at    int            // in srv.conns
}

func newConn(srv *Server, host string) *conn {
	return &conn{srv: srv, host: strings.Clone(host), opened: time.Now()} // the request's memory is not kept
}

func (c *conn) walkedAt() *int { return &c.at }

// HandleMessage acts on a message, or returns it as a task if that takes long.
func (c *conn) HandleMessage(data []byte, now time.Time) (task any) {
	m, err := wire.Parse(data)
	if fe, ok := errors.AsType[*wire.FieldError](err); ok {
		c.srv.counters.messages.count(messageInvalid)
		c.answerError(fe.Ref, badField(fe.Field, fe.Error()))
		return nil
	}
	c.srv.counters.messages.count(m.Type())
	if wait := c.takeMessage(now); wait > 0 {
		if c.acknowledge(m) { // counts all the same, or the session would end as slow
			c.answerErrorTo(m, rateLimited(wait, "Too many messages."))
		}
		if c.refusals.takeToken(now, refusalRate) > 0 {
			c.Shut(wire.CloseRateLimited, wire.ReasonBadMessage)
		}
		return nil
	}
	return c.dispatch(m)
}

// dispatch acts on frequent messages, which take no time. It returns all others.
func (c *conn) dispatch(m wire.ClientMessage) (rare wire.ClientMessage) {
	switch m := m.(type) {
	case *wire.Ping:
		if c.acknowledge(m) {
			c.sendUnnumbered(&wire.Pong{Ref: m.ID})
		}
	case *wire.Signal, *wire.Ack:
		if c.session == nil {
			c.answerError(m.RequestID(), badField("type", "must be hello in the first message"))
		} else if mate := c.act(m); mate != nil {
			mate.WriteBriefly()
		}
	default:
		return m
	}
	return nil
}

// HandleTask acts on a message that HandleMessage returned.
func (c *conn) HandleTask(task any) {
	m := task.(wire.ClientMessage)
	hello, isHello := m.(*wire.Hello)
	_, isBye := m.(*wire.Bye)
	refresh, isRefresh := m.(*wire.Refresh)
	switch {
	case isHello && c.session == nil:
		c.answerError(m.RequestID(), c.hello(hello))
	case isHello:
		c.answerError(m.RequestID(), badField("type", "hello was already answered"))
	case c.session == nil:
		c.answerError(m.RequestID(), badField("type", "must be hello in the first message"))
	case isBye:
		c.bye()
	case isRefresh:
		c.act(c.verify(refresh))
	default:
		c.act(m)
	}
}

// HandleBinary refuses a binary message.
func (c *conn) HandleBinary() {
	c.srv.counters.messages.count(messageInvalid)
	c.answerError("", badField("", "The message must be text, not binary."))
}

// HandlePing counts a ping as a message. Pings over the rate get no answer.
func (c *conn) HandlePing(now time.Time) (answer bool) {
	return c.messages.takeToken(now, c.srv.cfg.Limits.Messages) == 0
}

// HandleClosing counts a close by its word. The echo of a client's close has none, and is not counted.
func (c *conn) HandleClosing(word string) { c.srv.counters.closes.count(word) }

// HandleEnd takes the connection out of everything, once nothing more can be read.
func (c *conn) HandleEnd(reason string, code int) {
	defer c.srv.forgetConn(c)
	c.srv.loseConn(c, reason, code)
}

// sendUnnumbered sends m outside of the session's stream: a resumed session does not get it again.
func (c *conn) sendUnnumbered(m wire.Message) { c.PushText(c.srv.encode(m)) }

// act has the session act on a message, and counts bad ones. If it returns a mate, the caller is that socket's writer.
func (c *conn) act(m wire.ClientMessage) (mate *socket.Conn) {
	mate, e := c.session.act(c, m)
	c.countBad(e)
	return mate
}

// answerError answers a request with an error, unless that is nil. The session has not acted on the request.
func (c *conn) answerError(ref string, e *wire.Error) { c.sendError(ref, e, true) }

// answerErrorTo is answerError for a message that may be a ping, which is no request of the session.
func (c *conn) answerErrorTo(m wire.ClientMessage, e *wire.Error) {
	_, isPing := m.(*wire.Ping)
	c.sendError(m.RequestID(), e, !isPing)
}

func (c *conn) sendError(ref string, e *wire.Error, isRequest bool) {
	if e == nil {
		return
	}
	c.srv.counters.errors.count(string(e.Code))
	e.Ref = ref
	if c.session != nil {
		c.session.answerError(c, e, isRequest)
	} else {
		c.sendUnnumbered(e)
	}
	c.countBad(e)
}

// countBad closes the connection of a client that sends too many bad messages.
func (c *conn) countBad(e *wire.Error) {
	if e != nil && e.Code == wire.CodeBadMessage && c.badMessages.takeToken(time.Now(), badMessageRate) > 0 {
		c.Shut(wire.CloseBadMessage, wire.ReasonBadMessage)
	}
}

// acknowledge takes the acknowledgement out of a message on which the session, if there is one, does not act. If the
// client acknowledges more than was sent, it answers with an error and reports false.
func (c *conn) acknowledge(m wire.ClientMessage) bool {
	if c.session == nil || c.session.acknowledge(c, m.Acknowledged()) {
		return true
	}
	c.answerErrorTo(m, tooMuchReceived())
	return false
}

func (c *conn) bye() {
	if c.session.bye(c) {
		c.srv.cfg.EndRelays(c.session.id)
		c.Shut(wire.CloseBye, wire.ReasonBye)
	}
}

func newError(code wire.Code, sentence string) *wire.Error {
	return &wire.Error{Code: code, Message: sentence}
}

func badField(field, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeBadMessage, Message: sentence, Field: field}
}

func tooMuchReceived() *wire.Error { return badField("received", "received is more than was sent") }

func rateLimited(wait time.Duration, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeRateLimited, Message: sentence, RetryAfter: int(math.Ceil(wait.Seconds()))}
}
