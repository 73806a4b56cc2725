// Package signaling is a session with the server, over as many WebSockets as it takes: every message once and in order,
// both ways. signal/PROTOCOL.md has the rules. It knows rooms only as messages.
//
//	Request, Send ──▶ outbox ──▶ socket ──▶ server      an entry stays until the server is known to have handled it
//	Handler ◀── inbox ◀── socket ◀── server             a message counts once, and is acknowledged after it was handled
//
// One goroutine, the loop, connects, reads and tells the Handler:
//
//	connecting ──hello, welcome──▶ online ──lost──▶ pause ──▶ connecting ──▶ ...      until Close, or an error that time will not heal
package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"example.org/turnpike/signal/wire"
)

// How says what a welcome means for what the client remembers.
type How int

const (
	First    How = iota // the first session
	Replayed            // the session goes on, and nothing is lost
	Restored            // another process of the server has taken the session over: messages that it had not sent are lost
	Anew                // another session, in no room
)

// Handler hears of the session. The loop calls it, one call at a time: it must not block, nor wait for the answer to a
// request.
type Handler interface {
	// Welcome must apply the welcome before it returns: more messages follow.
	Welcome(w *wire.Welcome, how How)
	// Online tells that the welcome is applied, and that what waits is being sent.
	Online(how How)
	// Message brings any other message, once and in order, before the request that it answers returns.
	Message(m wire.Message)
	// Lost tells that the connection is lost. The loop goes on.
	Lost(err *Error)
	// Needed reports whether to go on trying although the server lets nobody in: something works without it.
	Needed() bool
	// Dropped tells that messages of Send were dropped, since too much waited.
	Dropped()
	// Expiring tells that the session ends in so long, and that Config has no Renew. It comes from another goroutine.
	Expiring(in time.Duration)
}

// Config is what a session needs of its surroundings.
type Config struct {
	Dial    Dial
	Handler Handler
	// Ticket gets a ticket for a new session. fresh means that the last one was refused.
	Ticket func(ctx context.Context, fresh bool) (string, error)
	// Renew gets a ticket for a session that must end. Nil: there is no way.
	Renew func(ctx context.Context) (string, error)
	// Again means that Ticket may bring another ticket when the server has refused one.
	Again bool
	// Name is the name to ask for. Empty leaves it to the ticket.
	Name string
	// Random is in [0, 1), for pauses. Nil: rand.Float64.
	Random func() float64
	// Logger hears what happens. Nil is silence.
	Logger *slog.Logger
}

const (
	welcomeTimeout = 15 * time.Second
	stable         = 10 * time.Second // a socket that lived so long makes the pauses short again
	doubtAfter     = 4 * time.Second  // of silence, after something was sent, the server is probed
	silence        = 40 * time.Second // likewise if nothing was sent: the server pings every 25 s
	probeTimeout   = 5 * time.Second  // more than a full buffer of a slow router holds
	byeTimeout     = 2 * time.Second
	maxAsked       = 10 * time.Minute // the longest pause that the server, or a proxy in front of it, can ask for
	refusedPause   = 10 * time.Second // after an attempt that was refused
	pace           = 250 * time.Millisecond
	maxTries       = 4 // hellos on one attempt
)

// Signaling is made by New.
type Signaling struct {
	cfg Config

	life   context.Context // ends with the loop
	end    context.CancelFunc
	news   chan struct{} // holds one: the loop must look at what mu guards
	done   chan struct{} // closed when the loop and all that it started are over
	others sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	outbox    outbox
	err       error // why the session is over; nil until then
	over      bool
	closing   bool
	woken     bool // the network has changed
	doubted   bool // something says that the server cannot be heard
	overflow  bool // messages without an answer were dropped
	interrupt context.CancelFunc
	todo      []func() // for Do
	proved    []func() // for WhenHeard

	// Owned by the loop.
	name      string
	inbox     inbox
	resume    *identity // nil: the next welcome is a new session's
	welcomed  bool
	refused   bool // the server refused the last ticket
	hurry     bool // no pause before the next attempt
	returnAt  time.Time
	opened    func() // tells Open
	stopRenew context.CancelFunc
}

type identity struct{ session, token string }

// New makes a session; Open begins it.
func New(cfg Config) *Signaling {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	s := &Signaling{cfg: cfg, name: cfg.Name, news: make(chan struct{}, 1), done: make(chan struct{}), stopRenew: func() {}}
	s.outbox.init()
	return s
}

// Open signs in. It tries once; from then on the session comes back by itself until Close.
func (s *Signaling) Open(ctx context.Context) error {
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	opened := make(chan struct{})
	s.opened = sync.OnceFunc(func() { close(opened) })
	stop := context.AfterFunc(ctx, s.end)
	go s.run()
	select {
	case <-opened:
	case <-s.done:
	}
	if !stop() { // ctx has ended
		_ = s.Close()
		return ctx.Err()
	}
	select {
	case <-opened:
		return nil
	default:
		return s.Err()
	}
}

// Done is closed when the session is over, and every goroutine with it.
func (s *Signaling) Done() <-chan struct{} { return s.done }

// Err says why the session is over: nil before that, and after Close.
func (s *Signaling) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Token is the newest, which says over HTTP which session asks. It may be called by the Handler.
func (s *Signaling) Token() string {
	if s.resume == nil {
		return ""
	}
	return s.resume.token
}

// SetName sets the name to ask for in later sessions. Only the Handler may call it.
func (s *Signaling) SetName(name string) { s.name = name }

// Request sends a request and returns its answer, which may come by another socket. If ctx ends first, the request may be
// carried out all the same.
func (s *Signaling) Request(ctx context.Context, m wire.ClientMessage) (wire.Message, error) {
	pending, err := s.Ask(m)
	if err != nil {
		return nil, err
	}
	return pending.Wait(ctx)
}

// Pending is a request whose answer has not come.
type Pending struct{ answer chan answer }

// Ask sends a request, and does not block.
func (s *Signaling) Ask(m wire.ClientMessage) (Pending, error) {
	p := Pending{make(chan answer, 1)}
	return p, s.enqueue(m, p.answer)
}

// Wait waits for the answer. It may be called again, also after the answer has come.
func (p Pending) Wait(ctx context.Context) (wire.Message, error) {
	select {
	case a := <-p.answer:
		p.answer <- a // there is room: no other one comes
		return a.message, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Send sends a message that has no answer, and never blocks. It arrives once, if the session lives. If too much waits, all
// such messages are dropped, and the Handler is told.
func (s *Signaling) Send(m wire.ClientMessage) error { return s.enqueue(m, nil) }

func (s *Signaling) enqueue(m wire.ClientMessage, to chan answer) error {
	text, err := wire.Encode(m)
	if err != nil {
		return &Error{Code: CodeBadMessage, Message: err.Error()}
	}
	defer s.tell()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return s.overLocked()
	case len(text) > maxBytes:
		return &Error{Code: CodeTooLong, Message: "A message may have 64 KiB."}
	case to == nil && s.outbox.full(false):
		s.outbox.restored()
		s.overflow = true
		return nil
	case to != nil && s.outbox.full(true):
		return &Error{Code: string(wire.CodeRateLimited), Message: "Too many requests wait for their answers.", Retryable: true}
	}
	s.outbox.add(m, text, to)
	return nil
}

func (s *Signaling) overLocked() error {
	if s.err != nil {
		return s.err
	}
	return closedError()
}

// Waiting reports whether a message that fits waits for its answer.
func (s *Signaling) Waiting(fits func(wire.ClientMessage) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.has(fits)
}

// NetworkChanged has the session connect anew at once.
func (s *Signaling) NetworkChanged() {
	s.mu.Lock()
	s.woken = true
	if s.interrupt != nil {
		s.interrupt()
	}
	s.mu.Unlock()
	s.tell()
}

// Doubt has the session find out whether the server still hears us. If not, it connects anew at once.
func (s *Signaling) Doubt() {
	s.mu.Lock()
	s.doubted = true
	s.mu.Unlock()
	s.tell()
}

// Do has the loop call f once the session is online, between two messages. f must not block.
func (s *Signaling) Do(f func()) {
	s.mu.Lock()
	if !s.over {
		s.todo = append(s.todo, f)
	}
	s.mu.Unlock()
	s.tell()
}

// WhenHeard has the loop call f once the server has proved that it hears us: by its answer to a probe, or by a welcome. f must not
// block.
func (s *Signaling) WhenHeard(f func()) {
	s.mu.Lock()
	if !s.over {
		s.proved = append(s.proved, f)
		s.doubted = true
	}
	s.mu.Unlock()
	s.tell()
}

// tell has the loop look at what has changed.
func (s *Signaling) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Close says bye, and waits until everything has ended.
func (s *Signaling) Close() error {
	s.mu.Lock()
	s.closing = true
	if s.interrupt != nil {
		s.interrupt()
	}
	s.mu.Unlock()
	s.tell()
	<-s.done
	return nil
}

// finish ends what waits. err is nil after Close.
func (s *Signaling) finish(err error) {
	s.mu.Lock()
	s.over, s.err = true, err
	failure := s.overLocked()
	s.outbox.fail(failure)
	s.todo, s.proved = nil, nil
	s.mu.Unlock()
	s.stopRenew()
	s.end()
	s.others.Wait()
	close(s.done)
}

func (s *Signaling) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// read reads a message of the server. Of one that it cannot read, it returns the number alone: the session passes over it, as
// over an unknown type.
func (s *Signaling) read(data []byte) (m wire.Message, seq uint64, err error) {
	m, seq, err = wire.ParseServer(data)
	if err == nil {
		return m, seq, nil
	}
	var head struct {
		Seq uint64 `json:"seq"`
	}
	if json.Unmarshal(data, &head) != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	s.cfg.Logger.Warn("the server sent a message that cannot be read", "err", err)
	return nil, head.Seq, nil
}
