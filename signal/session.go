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

	"turnpike/auth"
	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
)

// session is one client's socket and, after the welcome, its authenticated
// life. Both end together; resuming on another socket will part them.
type session struct {
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
	joins          bucket
	refusedTickets int

	// Written by the reader under srv.mu: the reader reads them freely, others
	// under srv.mu.
	id     string // empty before the welcome
	ticket auth.Ticket
	user   *user

	// Guarded by srv.mu.
	rooms   []*room
	scope   scope
	ended   bool
	pinged  time.Time
	renewAt time.Time // zero: never
}

// readBuffer holds a message while it is handled.
type readBuffer struct {
	bytes.Buffer
	limited io.LimitedReader
}

func newSession(srv *Server, conn *websocket.Conn, r *http.Request, addr netip.Prefix) *session {
	now := time.Now()
	s := &session{srv: srv, conn: conn, host: strings.Clone(r.Host), addr: addr, opened: now, pinged: now}
	s.lazy, _ = conn.NetConn().(*lazyConn)
	s.lastHeard.Store(now.UnixNano())
	conn.SetPingHandler(s.handlePing)
	conn.SetPongHandler(func(string) error {
		s.lastHeard.Store(time.Now().UnixNano())
		return nil
	})
	conn.SetCloseHandler(func(code int, _ string) error {
		s.closeWith(code, "", wire.ReasonGone) // the echo that RFC 6455 §5.5.1 asks for
		return nil
	})
	return s
}

// request is what is left of the upgrade: a session would keep two kilobytes for the whole.
func (s *session) request() *http.Request { return &http.Request{Host: s.host} }

// handlePing answers a client's ping. Pings count as messages; those over the
// rate are not answered.
func (s *session) handlePing(data string) error {
	now := time.Now()
	s.lastHeard.Store(now.UnixNano())
	if s.messages.take(now, s.srv.cfg.Limits.Messages) == 0 {
		s.push(frame{websocket.PongMessage, []byte(data)})
	}
	return nil
}

// read is the reader: it lives as long as the socket.
func (s *session) read() {
	for {
		kind, r, err := s.conn.NextReader()
		if err != nil {
			break
		}
		s.lastHeard.Store(time.Now().UnixNano())
		if s.queue.isClosed() {
			continue // what comes after our close frame is read only to see the client's
		}
		if err := s.readMessage(kind, r); err != nil {
			break
		}
	}
	s.srv.end(s, s.queue.endReason())
	s.srv.forgetConn(s)
	s.readerLeaves()
}

// readMessage reads one message, whose buffer belongs to it only as long, and
// acts on it.
func (s *session) readMessage(kind int, r io.Reader) error {
	buf := s.srv.buffers.Get().(*readBuffer)
	defer s.srv.buffers.Put(buf)
	buf.Reset()
	buf.limited = io.LimitedReader{R: r, N: wire.MaxMessage + 1}
	_, err := buf.ReadFrom(&buf.limited)
	buf.limited.R = nil
	if err != nil {
		return err
	}
	switch {
	case buf.Len() > wire.MaxMessage:
		s.shut(wire.CloseTooBig, wire.ReasonBadMessage)
	case kind != websocket.TextMessage:
		s.srv.counters.messages.add(messageInvalid)
		s.answer("", badField("", "The message must be text, not binary."))
	default:
		s.handle(buf.Bytes())
	}
	return nil
}

// handle acts on one message. data is valid only during the call.
func (s *session) handle(data []byte) {
	m, err := wire.Parse(data)
	if fe := (*wire.FieldError)(nil); errors.As(err, &fe) {
		s.srv.counters.messages.add(messageInvalid)
		s.answer(fe.Ref, badField(fe.Field, fe.Error()))
		return
	}
	s.srv.counters.messages.add(m.Type())
	if wait := s.messages.take(time.Now(), s.srv.cfg.Limits.Messages); wait > 0 {
		s.answer(m.RequestID(), rateLimited(wait, "Too many messages."))
		if s.refusals.take(time.Now(), refusalRate) > 0 {
			s.shut(wire.CloseRateLimited, wire.ReasonBadMessage)
		}
		return
	}
	s.answer(m.RequestID(), s.dispatch(m))
}

func (s *session) dispatch(m wire.ClientMessage) *wire.Error {
	if signal, ok := m.(*wire.Signal); ok && s.id != "" {
		return s.signal(signal)
	}
	return apart(func() *wire.Error { return s.dispatchRare(m) })
}

// apart runs what needs a big stack in a goroutine of its own and waits for it. The reader waits for most of its life, and a
// stack that has once grown is memory that every idle session would keep.
func apart(do func() *wire.Error) *wire.Error {
	done := make(chan *wire.Error)
	go func() { done <- do() }()
	return <-done
}

// dispatchRare acts on all but signals. It has the reader's rights: the reader waits for it.
func (s *session) dispatchRare(m wire.ClientMessage) *wire.Error {
	hello, isHello := m.(*wire.Hello)
	switch {
	case isHello && s.id == "":
		return s.hello(hello)
	case isHello:
		return badField("type", "hello was already answered")
	case s.id == "":
		return badField("type", "must be hello in the first message")
	}
	switch m := m.(type) {
	case *wire.Join:
		return s.join(m)
	case *wire.Leave:
		return s.leave(m)
	case *wire.Call:
		return s.call(m)
	case *wire.Accept:
		return s.accept(m)
	case *wire.Decline:
		return s.decline(m)
	case *wire.Cancel:
		return s.cancel(m)
	case *wire.Hangup:
		return s.hangup(m)
	case *wire.Bye:
		s.bye()
	}
	return nil
}

// answer sends an error, if there is one, and keeps count of the bad messages.
func (s *session) answer(ref string, e *wire.Error) {
	if e == nil {
		return
	}
	s.srv.counters.errors.add(string(e.Code))
	e.Ref = ref
	s.send(e)
	if e.Code == wire.CodeBadMessage && s.badMessages.take(time.Now(), badMessageRate) > 0 {
		s.shut(wire.CloseBadMessage, wire.ReasonBadMessage)
	}
}

func (s *session) bye() {
	s.srv.end(s, wire.ReasonBye)
	s.srv.cfg.EndRelays(s.id)
	s.shut(wire.CloseBye, wire.ReasonBye)
}

// end takes a session out of everything. Its scope outlives it unless it said
// bye: its relays do, and their permissions must stay refreshable.
func (srv *Server) end(s *session, reason string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if s.id == "" || s.ended {
		return
	}
	s.ended = true
	s.renewAt = time.Time{}
	delete(srv.sessions, s.id)
	delete(srv.members, s)
	for len(s.rooms) > 0 {
		srv.leaveRoom(s, s.rooms[0], reason)
	}
	srv.exit(s)
	if reason != wire.ReasonBye {
		srv.lingering.add(s.id, s.scope, time.Now().Add(srv.cfg.Limits.ScopeLinger))
	}
	s.scope = scope{}
	srv.counters.ended.add(reason)
	srv.cfg.Log.Debug("session ended", "session", s.id, "user", s.user.id, "reason", reason)
}

// failed makes an error's answer.
func failed(code wire.Code, sentence string) *wire.Error {
	return &wire.Error{Code: code, Message: sentence}
}

func badField(field, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeBadMessage, Message: sentence, Field: field}
}

func rateLimited(wait time.Duration, sentence string) *wire.Error {
	return &wire.Error{Code: wire.CodeRateLimited, Message: sentence, RetryAfter: int(math.Ceil(wait.Seconds()))}
}
