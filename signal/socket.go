package signal

import (
	"bytes"
	"errors"
	"io"
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
type socket struct {
	// Static after construction.
	srv    *Server
	conn   *websocket.Conn
	lazy   *lazyConn    // beneath conn; nil if that is no bare socket
	host   string       // by which the client reached us
	addr   netip.Prefix // what limits count
	opened time.Time

	queue     queue
	lastHeard atomic.Int64 // Unix nanoseconds

	// Owned by the reader.
	badMessages    bucket
	messages       bucket
	refusals       bucket
	refusedTickets int
	closeCode      int // with which the client closed; 0: it did not

	// Written once, by the reader under srv.mu: the reader reads it freely, others under srv.mu.
	session *session // nil before the welcome

	// Guarded by srv.mu.
	pinged time.Time
}

// readBuffer holds a message while it is handled.
type readBuffer struct {
	bytes.Buffer
	limited io.LimitedReader
}

func newSocket(srv *Server, conn *websocket.Conn, r *http.Request, addr netip.Prefix) *socket {
	now := time.Now()
	c := &socket{srv: srv, conn: conn, host: strings.Clone(r.Host), addr: addr, opened: now, pinged: now}
	c.lazy, _ = conn.NetConn().(*lazyConn)
	c.lastHeard.Store(now.UnixNano())
	conn.SetPingHandler(c.handlePing)
	conn.SetPongHandler(func(string) error {
		c.lastHeard.Store(time.Now().UnixNano())
		return nil
	})
	conn.SetCloseHandler(func(code int, _ string) error {
		c.closeCode = code
		c.closeWith(code, "", wire.ReasonGone) // the echo that RFC 6455 §5.5.1 asks for
		return nil
	})
	return c
}

// request is what is left of the upgrade: a session would keep two kilobytes for the whole.
func (c *socket) request() *http.Request { return &http.Request{Host: c.host} }

// handlePing answers a client's ping. Pings count as messages; those over the
// rate are not answered.
func (c *socket) handlePing(data string) error {
	now := time.Now()
	c.lastHeard.Store(now.UnixNano())
	if c.messages.take(now, c.srv.cfg.Limits.Messages) == 0 {
		c.push(frame{kind: websocket.PongMessage, data: []byte(data)})
	}
	return nil
}

// restAfter is how long a client is silent when the reader of its socket begins to rest.
const restAfter = 2 * time.Second

// read is the reader. It lives as long as the socket, but for the times when nothing comes: then rest takes its place.
func (c *socket) read() {
	for {
		if c.lazy != nil && !c.lazy.await() {
			c.srv.running.Go(c.rest)
			return
		}
		kind, r, err := c.conn.NextReader()
		if errors.Is(err, websocket.ErrReadLimit) { // a length that is no number
			c.shut(wire.CloseTooBig, wire.ReasonBadMessage)
		}
		if err != nil {
			break
		}
		c.lastHeard.Store(time.Now().UnixNano())
		if c.queue.isClosed() {
			continue // what comes after our close frame is read only to see the client's
		}
		if err := c.readMessage(kind, r); err != nil {
			break
		}
	}
	c.srv.lose(c, c.queue.endReason())
	c.srv.forgetConn(c)
	c.readerLeaves()
}

// rest waits for the client in a goroutine of its own: the stack of one that has read never becomes small again.
func (c *socket) rest() {
	c.lazy.doze()
	c.srv.running.Go(c.read)
}

// readMessage reads one message, whose buffer belongs to it only as long, and
// acts on it.
func (c *socket) readMessage(kind int, r io.Reader) error {
	buf := c.srv.buffers.Get().(*readBuffer)
	defer c.srv.buffers.Put(buf)
	buf.Reset()
	buf.limited = io.LimitedReader{R: r, N: wire.MaxMessage + 1}
	_, err := buf.ReadFrom(&buf.limited)
	buf.limited.R = nil
	if err != nil {
		return err
	}
	switch {
	case buf.Len() > wire.MaxMessage:
		c.shut(wire.CloseTooBig, wire.ReasonBadMessage)
	case kind != websocket.TextMessage:
		c.srv.counters.messages.add(messageInvalid)
		c.refuse("", badField("", "The message must be text, not binary."))
	default:
		c.handle(buf.Bytes())
	}
	return nil
}

// handle acts on one message. data is valid only during the call.
func (c *socket) handle(data []byte) {
	m, err := wire.Parse(data)
	if fe := (*wire.FieldError)(nil); errors.As(err, &fe) {
		c.srv.counters.messages.add(messageInvalid)
		c.refuse(fe.Ref, badField(fe.Field, fe.Error()))
		return
	}
	c.srv.counters.messages.add(m.Type())
	now := time.Now() // after all of it has come: one that is sent slowly must not set the bucket of its user back
	if wait := c.takeMessage(now); wait > 0 {
		if c.acknowledge(m) { // which counts all the same, or the session would end as slow
			c.refuseMessage(m, rateLimited(wait, "Too many messages."))
		}
		if c.refusals.take(now, refusalRate) > 0 {
			c.shut(wire.CloseRateLimited, wire.ReasonBadMessage)
		}
		return
	}
	c.dispatch(m)
}

func (c *socket) dispatch(m wire.ClientMessage) {
	switch m := m.(type) {
	case *wire.Ping:
		if c.acknowledge(m) {
			c.sendApart(&wire.Pong{Ref: m.ID})
		}
	case *wire.Signal:
		if c.session == nil {
			c.refuse(m.ID, badField("type", "must be hello in the first message"))
		} else if mate := c.turn(m); mate != nil {
			mate.writeAsVisitor()
		}
	case *wire.Bye:
		if c.session == nil {
			c.refuse(m.ID, badField("type", "must be hello in the first message"))
			return
		}
		c.bye()
	default:
		c.srv.aparts.do(func() { c.dispatchRare(m) })
	}
}

// dispatchRare acts on all but signals. It has the reader's rights: the reader waits for it.
func (c *socket) dispatchRare(m wire.ClientMessage) {
	hello, isHello := m.(*wire.Hello)
	switch {
	case isHello && c.session == nil:
		c.refuse(m.RequestID(), c.hello(hello))
	case isHello:
		c.refuse(m.RequestID(), badField("type", "hello was already answered"))
	case c.session == nil:
		c.refuse(m.RequestID(), badField("type", "must be hello in the first message"))
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
