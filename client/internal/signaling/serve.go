package signaling

import (
	"fmt"
	"time"

	"example.org/turnpike/signal/wire"
)

// serving is the time of one socket between its welcome and its end.
type serving struct {
	*Signaling
	sock  *socket
	heard time.Time // when something came last

	doubtAt time.Time // something was sent: by then something must have come; zero if nothing is awaited
	probeAt time.Time // by then the answer to the probe must have come; zero without a probe
	restAt  time.Time // until then nothing is sent: it would be too much; zero if there is no such wait
	byeAt   time.Time // by then the server must have closed the socket; zero before bye
	probes  int
}

// welcome applies a welcome.
func (s *Signaling) welcome(sock *socket, w *wire.Welcome) error {
	how := Anew
	switch {
	case w.Resumed == wire.ResumedReplayed:
		how = Replayed
	case w.Resumed == wire.ResumedRestored:
		how = Restored
	case !s.welcomed:
		how = First
	}
	presented := s.resume != nil
	s.welcomed = true
	s.resume = nil
	if w.Resume != "" {
		s.resume = &identity{w.Session, w.Resume}
	}
	s.inbox = inbox{received: w.After, acked: w.After}
	s.mu.Lock()
	switch how {
	case Replayed:
		s.outbox.replayed(w.Handled)
	case Restored:
		s.outbox.restored()
		s.outbox.hold() // the session joins rooms again that the server does not know it in
	case Anew:
		s.outbox.anew()
	}
	s.mu.Unlock()
	s.hurry, s.returnAt = false, time.Time{}
	s.ends(time.Duration(w.ExpiresIn) * time.Second)
	s.cfg.Handler.Welcome(w, how)
	s.mu.Lock()
	s.outbox.release()
	s.mu.Unlock()
	if presented { // until then the server keeps the former token good
		s.acknowledge(sock)
	}
	s.cfg.Handler.Online(how)
	s.opened()
	return nil
}

func (s *Signaling) acknowledge(sock *socket) {
	s.inbox.ack()
	text, err := wire.Encode(&wire.Ack{Request: wire.Request{Received: s.inbox.received}})
	if err == nil {
		sock.send(text)
	}
}

// serve reads and writes until the socket is lost, and says why that was.
func (s *Signaling) serve(sock *socket) error {
	v := &serving{Signaling: s, sock: sock, heard: time.Now()}
	v.isHeard()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := v.look(); err != nil {
			return err
		}
		v.flush()
		timer.Reset(time.Until(v.nextTime()))
		select {
		case data := <-sock.in:
			if err := v.receive(data); err != nil {
				return err
			}
		case <-sock.heard:
			v.hear()
		case <-sock.ended:
			return s.closedBecause(sock.err)
		case <-s.news:
		case <-timer.C:
			select { // a machine that had no time for us may have a message that waits
			case data := <-sock.in:
				if err := v.receive(data); err != nil {
					return err
				}
				continue
			default:
			}
			if err := v.tick(time.Now()); err != nil {
				return err
			}
		}
	}
}

// look sees what others want of the loop.
func (v *serving) look() error {
	v.mu.Lock()
	closing, woken, doubted, overflow := v.closing || v.life.Err() != nil, v.woken, v.doubted, v.overflow
	v.woken, v.doubted, v.overflow = false, false, false
	var todo []func()
	if !closing && !woken {
		todo, v.todo = v.todo, nil
	}
	v.mu.Unlock()
	switch {
	case closing:
		if v.byeAt.IsZero() {
			v.sendBye()
		}
	case woken:
		v.hurry = true
		return &Error{Code: CodeOffline, Message: "The network has changed.", Retryable: true}
	case doubted:
		v.probe()
	}
	if overflow {
		v.cfg.Handler.Dropped()
	}
	for _, f := range todo {
		f()
	}
	return nil
}

func (v *serving) sendBye() {
	v.byeAt = time.Now().Add(byeTimeout)
	v.resume = nil
	if text, err := wire.Encode(&wire.Bye{}); err == nil {
		v.sock.send(text)
	}
}

// nextTime is when tick has something to do.
func (v *serving) nextTime() time.Time {
	at := v.heard.Add(silence)
	for _, other := range []time.Time{v.doubtAt, v.probeAt, v.restAt, v.byeAt} {
		if !other.IsZero() && other.Before(at) {
			at = other
		}
	}
	return at
}

func (v *serving) tick(now time.Time) error {
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case due(v.byeAt):
		return closedError()
	case due(v.probeAt):
		v.hurry = true
		return &Error{Code: CodeOffline, Message: "The server does not answer.", Retryable: true}
	case due(v.doubtAt):
		v.doubtAt = time.Time{}
		v.probe()
	case due(v.restAt):
		v.restAt = time.Time{}
	case due(v.heard.Add(silence)):
		v.heard = now // the probe decides
		v.probe()
	}
	return nil
}

// probe finds out whether the server still hears us.
func (v *serving) probe() {
	if !v.probeAt.IsZero() || !v.byeAt.IsZero() {
		return
	}
	v.probes++
	v.probeAt = time.Now().Add(probeTimeout)
	text, err := wire.Encode(&wire.Ping{Request: wire.Request{ID: fmt.Sprint("ping-", v.probes)}})
	if err == nil {
		v.sock.send(text)
	}
}

// hear notes that something came.
func (v *serving) hear() { v.heard, v.doubtAt = time.Now(), time.Time{} }

// isHeard does what waited for a proof that the server hears us.
func (v *serving) isHeard() {
	v.mu.Lock()
	proved := v.proved
	v.proved = nil
	v.mu.Unlock()
	for _, f := range proved {
		f()
	}
}

func (v *serving) receive(data []byte) error {
	v.hear()
	m, seq, err := v.read(data)
	if err != nil {
		v.cfg.Logger.Warn("the server sent something that is no message", "err", err)
		return nil
	}
	switch m.(type) {
	case *wire.Welcome:
		return nil // it answers hello alone
	case *wire.Pong:
		v.probeAt = time.Time{}
		v.isHeard()
		return nil
	}
	switch v.inbox.receive(seq, len(data)) {
	case known:
		return nil
	case gap:
		return &Error{Code: CodeOffline, Message: "A message of the server is missing.", Retryable: true}
	}
	if m != nil {
		v.handle(m)
	}
	if v.inbox.due() {
		v.acknowledge(v.sock)
	}
	return nil
}

func (v *serving) handle(m wire.Message) {
	switch m := m.(type) {
	case *wire.NewToken:
		if v.resume != nil {
			v.resume = &identity{v.resume.session, m.Token}
		}
	case *wire.GoingAway:
		v.askedFor(time.Duration(m.RetryAfter) * time.Second)
	case *wire.Refreshed:
		v.ends(time.Duration(m.ExpiresIn) * time.Second)
	}
	v.cfg.Handler.Message(m)
	v.mu.Lock()
	refusal := v.outbox.settle(m)
	v.mu.Unlock()
	switch {
	case refusal == nil:
	case refusal.Code == string(wire.CodeRateLimited):
		v.rest(max(refusal.RetryAfter, time.Second))
	default:
		v.cfg.Logger.Debug("the server refused a message", "code", refusal.Code, "message", refusal.Message)
	}
}

func (v *serving) rest(d time.Duration) { v.restAt = time.Now().Add(min(d, maxAsked)) }

// flush sends what waits.
func (v *serving) flush() {
	if !v.restAt.IsZero() || !v.byeAt.IsZero() {
		return
	}
	v.mu.Lock()
	out, more := v.outbox.next()
	v.mu.Unlock()
	for _, e := range out {
		v.sock.send(e.encode(v.inbox.ack()))
	}
	if more {
		v.rest(pace)
	}
	if len(out) > 0 && v.doubtAt.IsZero() {
		v.doubtAt = time.Now().Add(doubtAfter)
	}
}
