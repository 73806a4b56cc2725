package signal

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// socket is one client's WebSocket. It lives as long as its reader; the session that it carries may outlive it, and go on by another.
//
// What each message needs stands together, ahead of what few do: most sockets have gone cold when their next message comes.
type socket struct {
	// Static after construction.
	srv    *Server
	polled *polledConn // beneath conn; nil if a goroutine waits for what comes

	// Written once, by the reader under srv.mu: the reader reads it freely, others under srv.mu.
	session *session // nil before the welcome

	lastHeard atomic.Int64 // Unix nanoseconds

	// Owned by the reader.
	messages bucket

	queue queue

	// Owned by the reader.
	badMessages    bucket
	refusals       bucket
	refusedTickets int
	closeCode      int // with which the client closed; 0: it did not

	// Static after construction.
	conn   *websocket.Conn
	host   string       // the Host header of the upgrade
	addr   netip.Prefix // what limits count
	opened time.Time

	// Guarded by srv.mu.
	pinged time.Time
}

func newSocket(srv *Server, conn *websocket.Conn, r *http.Request, addr netip.Prefix) *socket {
	now := time.Now()
	c := &socket{srv: srv, conn: conn, host: strings.Clone(r.Host), addr: addr, opened: now, pinged: now}
	if c.polled, _ = conn.NetConn().(*polledConn); c.polled != nil {
		c.polled.socket = c
	}
	c.lastHeard.Store(now.UnixNano())
	conn.SetPingHandler(func(data string) error {
		now := time.Now()
		c.hear(now)
		c.answerPing([]byte(data), now)
		return nil
	})
	conn.SetPongHandler(func(string) error {
		c.hear(time.Now())
		return nil
	})
	conn.SetCloseHandler(func(code int, _ string) error {
		c.closeCode = code
		c.closeWith(code, "", wire.ReasonGone) // the echo that RFC 6455 §5.5.1 asks for
		return nil
	})
	return c
}

func (c *socket) hear(now time.Time) { c.lastHeard.Store(now.UnixNano()) }

// answerPing answers a client's ping. Pings count as messages; those over the
// rate are not answered.
func (c *socket) answerPing(data []byte, now time.Time) {
	if c.messages.take(now, c.srv.cfg.Limits.Messages) == 0 {
		c.push(frame{kind: websocket.PongMessage, data: bytes.Clone(data)})
	}
}

// handle acts on one message, all of which had come at now. data is valid only during the call. A message that takes long is returned,
// and left to the caller to dispatch.
func (c *socket) handle(data []byte, now time.Time) (rare wire.ClientMessage) {
	m, err := wire.Parse(data)
	if fe, ok := errors.AsType[*wire.FieldError](err); ok {
		c.srv.counters.messages.add(messageInvalid)
		c.refuse(fe.Ref, badField(fe.Field, fe.Error()))
		return nil
	}
	c.srv.counters.messages.add(m.Type())
	if wait := c.takeMessage(now); wait > 0 {
		if c.acknowledge(m) { // which counts all the same, or the session would end as slow
			c.refuseMessage(m, rateLimited(wait, "Too many messages."))
		}
		if c.refusals.take(now, refusalRate) > 0 {
			c.shut(wire.CloseRateLimited, wire.ReasonBadMessage)
		}
		return nil
	}
	return c.dispatch(m)
}

// dispatch acts on what clients send again and again, and returns what else there is.
func (c *socket) dispatch(m wire.ClientMessage) (rare wire.ClientMessage) {
	switch m := m.(type) {
	case *wire.Ping:
		if c.acknowledge(m) {
			c.sendApart(&wire.Pong{Ref: m.ID})
		}
	case *wire.Signal, *wire.Ack:
		if c.session == nil {
			c.refuse(m.RequestID(), badField("type", "must be hello in the first message"))
		} else if mate := c.turn(m); mate != nil {
			mate.writeAsVisitor()
		}
	default:
		return m
	}
	return nil
}

// dispatchRare acts on what dispatch returns. Only the reader may call it, or who acts for it while it waits.
func (c *socket) dispatchRare(m wire.ClientMessage) {
	hello, isHello := m.(*wire.Hello)
	_, isBye := m.(*wire.Bye)
	switch {
	case isHello && c.session == nil:
		c.refuse(m.RequestID(), c.hello(hello))
	case isHello:
		c.refuse(m.RequestID(), badField("type", "hello was already answered"))
	case c.session == nil:
		c.refuse(m.RequestID(), badField("type", "must be hello in the first message"))
	case isBye:
		c.bye()
	default:
		c.turn(m)
	}
}

// turn lets the session act on a message, and keeps count of what it refuses. It returns the socket of whom the caller is to write to,
// if there is somebody.
func (c *socket) turn(m wire.ClientMessage) (mate *socket) {
	mate, e := c.session.act(c, m)
	c.countBad(e)
	return mate
}

// refuse answers with an error, if there is one, outside of the turns of the session.
func (c *socket) refuse(ref string, e *wire.Error) { c.refuseAny(ref, e, true) }

// refuseMessage is refuse for a message that may be a ping.
func (c *socket) refuseMessage(m wire.ClientMessage, e *wire.Error) {
	_, isPing := m.(*wire.Ping)
	c.refuseAny(m.RequestID(), e, !isPing)
}

func (c *socket) refuseAny(ref string, e *wire.Error, isRequest bool) {
	if e == nil {
		return
	}
	c.srv.counters.errors.add(string(e.Code))
	e.Ref = ref
	if c.session != nil {
		c.session.refuse(c, e, isRequest)
	} else {
		c.sendApart(e)
	}
	c.countBad(e)
}

// countBad closes the socket of a client that sends too many bad messages.
func (c *socket) countBad(e *wire.Error) {
	if e != nil && e.Code == wire.CodeBadMessage && c.badMessages.take(time.Now(), badMessageRate) > 0 {
		c.shut(wire.CloseBadMessage, wire.ReasonBadMessage)
	}
}

// acknowledge notes what the client says to have received in a message on which its session does not act, if it has one. It reports false
// if it has refused that.
func (c *socket) acknowledge(m wire.ClientMessage) bool {
	if c.session == nil || c.session.acknowledge(c, m.Acknowledged()) {
		return true
	}
	c.refuseMessage(m, tooMuchReceived())
	return false
}

func (c *socket) bye() {
	if c.session.bye(c) {
		c.srv.cfg.EndRelays(c.session.id)
		c.shut(wire.CloseBye, wire.ReasonBye)
	}
}

// failed makes an error's answer.
func failed(code wire.Code, sentence string) *wire.Error {
	return &wire.Error{Code: code, Message: sentence}
}

func badField(field, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeBadMessage, Message: sentence, Field: field}
}

func tooMuchReceived() *wire.Error { return badField("received", "received is more than was sent") }

func rateLimited(wait time.Duration, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeRateLimited, Message: sentence, RetryAfter: int(math.Ceil(wait.Seconds()))}
}
