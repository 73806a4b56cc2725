package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// script is a server that a test plays, over as many connections as the client opens.
type script struct {
	t       *testing.T
	s       *Signaling
	lines   chan *scripted
	line    *scripted
	tickets []bool // fresh or not, as they were asked for
	heard   []wire.Message
	dropped int
	lost    int
	welcome int
}

// scripted is one connection.
type scripted struct {
	in     chan any // text, or an error
	out    chan map[string]any
	closed chan struct{}
}

func (l *scripted) ReadMessage() ([]byte, error) {
	select {
	case next := <-l.in:
		if err, ok := next.(error); ok {
			return nil, err
		}
		return []byte(next.(string)), nil
	case <-l.closed:
		return nil, errors.New("closed")
	}
}

func (l *scripted) WriteMessage(data []byte) error {
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	l.out <- m
	return nil
}

func (l *scripted) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (p *script) Welcome(*wire.Welcome, How) { p.welcome++ }
func (p *script) Online(How)                 {}
func (p *script) Message(m wire.Message)     { p.heard = append(p.heard, m) }
func (p *script) Lost(*Error)                { p.lost++ }
func (p *script) Needed() bool               { return false }
func (p *script) Dropped()                   { p.dropped++ }
func (p *script) Expiring(time.Duration)     {}

// play runs a test against a session that has just been welcomed.
func play(t *testing.T, test func(*script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &script{t: t, lines: make(chan *scripted, 100)}
		p.s = New(Config{Handler: p, Again: true, Random: func() float64 { return 0 },
			Dial: func(context.Context, func()) (Conn, error) {
				l := &scripted{in: make(chan any), out: make(chan map[string]any, 1000), closed: make(chan struct{})}
				p.lines <- l
				return l, nil
			},
			Ticket: func(_ context.Context, fresh bool) (string, error) {
				p.tickets = append(p.tickets, fresh)
				return fmt.Sprint("ticket-", len(p.tickets)), nil
			}})
		opened := make(chan error, 1)
		go func() { opened <- p.s.Open(t.Context()) }()
		p.accept("")
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
		test(p)
		go func() {
			synctest.Wait()
			p.line.Close()
		}()
		p.s.Close()
	})
}

// accept takes the next connection, welcomes it, and returns its hello.
func (p *script) accept(resumed string) map[string]any {
	p.t.Helper()
	p.line = <-p.lines
	hello := <-p.line.out
	p.welcomeFor(hello, resumed)
	return hello
}

func (p *script) welcomeFor(hello map[string]any, resumed string) {
	p.say(`{"type":"welcome","ref":%q,"after":0,"session":"s","user":"u","name":"n","role":"member","resume":"token-%d","resumeWindow":30,"epoch":"e","resumed":%q,"iceServers":[]}`,
		hello["id"], p.welcome+1, resumed)
}

func (p *script) say(format string, args ...any) {
	p.line.in <- fmt.Sprintf(format, args...)
	synctest.Wait()
}

// lose ends the connection as the server does, with a close code.
func (p *script) lose(code int) {
	p.line.in <- error(&websocket.CloseError{Code: code, Text: wire.CloseReason(code)})
	synctest.Wait()
}

// TestCloseCodes: after each close code, the client does what signal/PROTOCOL.md says.
func TestCloseCodes(t *testing.T) {
	for code, tt := range map[int]struct {
		ends    string // with this code; empty: it comes back
		resumes bool
		fresh   bool // by a fresh ticket
	}{
		wire.CloseGoingAway:            {resumes: true},
		wire.CloseTooBig:               {resumes: true},
		wire.CloseInternal:             {resumes: true},
		wire.CloseBadMessage:           {ends: CodeBadMessage},
		wire.CloseUnauthorized:         {resumes: true},
		wire.CloseSlow:                 {resumes: true},
		wire.CloseHelloTimeout:         {resumes: true},
		wire.CloseRateLimited:          {resumes: true},
		wire.CloseDead:                 {resumes: true},
		wire.CloseReplaced:             {resumes: true},
		wire.CloseEnded:                {ends: CodeEnded},
		wire.CloseExpired:              {fresh: true},
		websocket.CloseAbnormalClosure: {resumes: true},
	} {
		t.Run(fmt.Sprint(code, wire.CloseReason(code)), func(t *testing.T) {
			play(t, func(p *script) {
				p.lose(code)
				if tt.ends != "" {
					<-p.s.Done()
					if e, ok := errors.AsType[*Error](p.s.Err()); !ok || e.Code != tt.ends || p.lost != 0 {
						t.Errorf("it ended with %v", p.s.Err())
					}
					return
				}
				hello := p.accept(map[bool]string{true: wire.ResumedReplayed}[tt.resumes])
				if resume, _ := hello["resume"].(map[string]any); (resume["token"] == "token-1") != tt.resumes || p.lost != 1 {
					t.Errorf("it came back with %v", hello)
				}
				if tt.fresh && (len(p.tickets) != 2 || !p.tickets[1] || hello["ticket"] != "ticket-2") {
					t.Errorf("it came back with %v, and tickets %v", hello, p.tickets)
				}
			})
		})
	}
}

// TestHelloRefused: a resume that is refused gives way to a ticket, and a ticket to a fresh one, on the same connection.
func TestHelloRefused(t *testing.T) {
	play(t, func(p *script) {
		p.lose(wire.CloseDead)
		p.line = <-p.lines
		for _, want := range []string{"", "ticket-2", "ticket-3"} {
			hello := <-p.line.out
			if ticket, _ := hello["ticket"].(string); ticket != want || (hello["resume"] != nil) != (want == "") {
				t.Errorf("it said %v, want %s", hello, want)
			}
			if want == "ticket-3" {
				p.welcomeFor(hello, "")
				break
			}
			code := map[bool]wire.Code{true: wire.CodeNoSuchSession, false: wire.CodeUnauthorized}[want == ""]
			p.say(`{"type":"error","ref":%q,"code":%q,"message":"No."}`, hello["id"], code)
		}
		if p.welcome != 2 || !p.tickets[2] || p.tickets[1] {
			t.Errorf("%d welcomes, tickets %v", p.welcome, p.tickets)
		}
	})
}

// TestUnreadable: a message of a later version, or one that cannot be read, counts and is passed over. What is no message at all is, too.
func TestUnreadable(t *testing.T) {
	play(t, func(p *script) {
		p.say(`{"type":"of-later","seq":1}`)
		p.say(`{"type":"joined","peers":7,"seq":2}`)
		p.say(`{`)
		p.say(`{"type":"renamed","name":"x","seq":3}`)
		p.say(`{"type":"renamed","name":"again","seq":3}`)
		if len(p.heard) != 1 {
			t.Errorf("heard %v", p.heard)
		}
		p.lose(wire.CloseDead)
		if resume, _ := p.accept(wire.ResumedReplayed)["resume"].(map[string]any); resume["received"] != 3.0 {
			t.Errorf("it has received %v", resume["received"])
		}
	})
}

// TestTooMuchWaits: without a connection, so many messages wait and no more. The handler learns that messages were dropped; requests
// beyond are refused, and those that wait have their answers.
func TestTooMuchWaits(t *testing.T) {
	play(t, func(p *script) {
		p.lose(wire.CloseDead)
		pending, err := p.s.Ask(&wire.Rename{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		for range maxWaiting + 10 {
			if err := p.s.Send(&wire.Signal{Room: "r", To: "t", Payload: wire.Payload{Candidate: json.RawMessage("null")}}); err != nil {
				t.Fatal(err)
			}
		}
		var refused error
		for range maxWaiting {
			if _, err := p.s.Ask(&wire.Rename{Name: "x"}); err != nil {
				refused = err
			}
		}
		if e, ok := errors.AsType[*Error](refused); !ok || e.Code != string(wire.CodeRateLimited) || !e.Retryable {
			t.Errorf("one request too many: %v", refused)
		}
		if err := p.s.Send(&wire.Say{Room: "r", Data: json.RawMessage(`"` + strings.Repeat("x", wire.MaxMessage) + `"`)}); asError(err).Code != CodeTooLong {
			t.Errorf("a message too long: %v", err)
		}
		p.accept(wire.ResumedReplayed)
		if p.dropped != 1 {
			t.Errorf("dropped %d times", p.dropped)
		}
		if ack := <-p.line.out; ack["type"] != "ack" {
			t.Errorf("first came %v", ack)
		}
		first := <-p.line.out
		if first["type"] != "rename" || first["id"] != "1" {
			t.Errorf("then came %v", first)
		}
		p.say(`{"type":"renamed","ref":"1","name":"x","seq":1}`)
		if _, err := pending.Wait(p.t.Context()); err != nil {
			t.Error(err)
		}
		if sent := len(p.line.out); sent >= atOnce {
			t.Errorf("%d messages were sent at once", sent+1)
		}
	})
}

// TestRequestsLeaveRoom: as many requests as may wait take no room from signals. Otherwise each signal would be dropped, and its link
// would make another one in its place, until the server has answered.
func TestRequestsLeaveRoom(t *testing.T) {
	play(t, func(p *script) {
		p.lose(wire.CloseDead)
		for range maxWaiting {
			if _, err := p.s.Ask(&wire.Rename{Name: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.s.Send(&wire.Signal{Room: "r", To: "t", Payload: wire.Payload{Candidate: json.RawMessage("null")}}); err != nil {
			t.Fatal(err)
		}
		p.accept(wire.ResumedReplayed)
		if p.dropped != 0 || !p.s.Waiting(func(m wire.ClientMessage) bool { return m.Type() == "signal" }) {
			t.Errorf("the signal was dropped, and the Handler told %d times", p.dropped)
		}
	})
}

// TestGap: a connection on which a message is missing is given up.
func TestGap(t *testing.T) {
	play(t, func(p *script) {
		p.say(`{"type":"renamed","name":"x","seq":1}`)
		p.say(`{"type":"renamed","name":"x","seq":3}`)
		if resume, _ := p.accept(wire.ResumedReplayed)["resume"].(map[string]any); resume["received"] != 1.0 {
			t.Errorf("it has received %v", resume["received"])
		}
	})
}

// TestWhenHeard: what waits for a proof that the server hears us is done after the answer to a probe, or after the next welcome, and
// not before.
func TestWhenHeard(t *testing.T) {
	play(t, func(p *script) {
		done := 0
		p.s.WhenHeard(func() { done++ })
		ping := <-p.line.out
		if ping["type"] != "ping" || done != 0 {
			t.Errorf("it sent %v, and did it %d times", ping, done)
		}
		p.say(`{"type":"pong","ref":%q}`, ping["id"])
		if done != 1 {
			t.Errorf("after the answer: %d times", done)
		}
		p.s.WhenHeard(func() { done++ })
		synctest.Wait()
		time.Sleep(probeTimeout - time.Second)
		if done != 1 {
			t.Error("done without an answer")
		}
		p.accept(wire.ResumedReplayed) // the connection was given up
		if done != 2 {
			t.Errorf("after the welcome: %d times", done)
		}
	})
}

// TestBackoff: pauses double, up to 15 s, and half of each is random.
func TestBackoff(t *testing.T) {
	for attempt, whole := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second} {
		least, most := backoff(attempt, func() float64 { return 0 }), backoff(attempt, func() float64 { return 1 })
		if least != whole/2 || most != whole {
			t.Errorf("attempt %d waits from %v to %v", attempt, least, most)
		}
	}
	if got := backoff(1000, func() float64 { return 1 }); got != longestPause {
		t.Errorf("attempt 1000 waits %v", got)
	}
}
