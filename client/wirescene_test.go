package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// message is one of the protocol's, as JSON.
type message = map[string]any

// line is a WebSocket whose other end is a test.
type line struct {
	in, out chan []byte
	closed  chan struct{}
}

func newLine() *line {
	return &line{in: make(chan []byte), out: make(chan []byte, 1000), closed: make(chan struct{})}
}

func (l *line) ReadMessage() ([]byte, error) {
	select {
	case data := <-l.in:
		return data, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

func (l *line) WriteMessage(data []byte) error {
	l.out <- bytes.Clone(data)
	return nil
}

func (l *line) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

// say sends a message of the server, and waits until it has its effect.
func (l *line) say(t *testing.T, m message) {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	l.in <- text
	synctest.Wait()
}

// heard returns the messages that the client has sent since the last time, but for acks.
func (l *line) heard(t *testing.T) (all []message) {
	t.Helper()
	synctest.Wait()
	for {
		select {
		case text := <-l.out:
			if _, err := wire.Parse(text); err != nil {
				t.Errorf("the client sent %s: %v", text, err)
			}
			var m message
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			if m["type"] != "ack" {
				all = append(all, m)
			}
		default:
			return all
		}
	}
}

// last returns the last message that the client has sent.
func (l *line) last(t *testing.T) message {
	t.Helper()
	all := l.heard(t)
	if len(all) == 0 {
		t.Fatal("the client sent nothing")
	}
	return all[len(all)-1]
}

// quietLink is a link that notes what it is given.
type quietLink struct {
	link.Link
	cfg      link.Config
	received []wire.Payload
	servers  []wire.ICEServer
	closed   chan struct{}
}

func (q *quietLink) Receive(p wire.Payload)              { q.received = append(q.received, p) }
func (q *quietLink) Restart()                            {}
func (q *quietLink) SetICEServers(list []wire.ICEServer) { q.servers = list }
func (q *quietLink) Path() (link.Path, bool)             { return link.Path{}, false }

func (q *quietLink) Accept(ctx context.Context) (link.Stream, error) {
	select {
	case <-ctx.Done():
	case <-q.closed:
	}
	return nil, io.EOF
}

func (q *quietLink) Close() error {
	close(q.closed)
	return nil
}

// scene is a client in the middle of things.
type scene struct {
	t *testing.T
	*Session
	conn   atomic.Pointer[line] // of this moment
	events []Event
	links  []*quietLink
	seq    int
	hello  message // the first of the client
}

const otherSession, ourSession = "someone", "0" // we are polite to everyone

// newScene makes a session that has just been welcomed.
func newScene(t *testing.T, change ...func(*Config, *setup)) *scene {
	t.Helper()
	s := &scene{t: t}
	first := make(chan *line, 1)
	c := Config{URL: "https://turn.example.org", Ticket: "t", OnEvent: func(e Event) { s.events = append(s.events, e) }}
	with := setup{webrtc: s.newLink, dial: func(context.Context, func()) (signaling.Conn, error) {
		l := newLine()
		s.conn.Store(l)
		select {
		case first <- l:
		default:
		}
		return l, nil
	}}
	for _, f := range change {
		f(&c, &with)
	}
	dialled := make(chan error, 1)
	go func() {
		var err error
		s.Session, err = dial(t.Context(), c, with)
		dialled <- err
	}()
	hello := (<-first).last(t)
	s.hello = hello
	s.at().say(t, message{"type": "welcome", "ref": hello["id"], "after": 0, "session": ourSession, "user": "u0", "name": "Ada", "role": "member",
		"resume": "token", "resumeWindow": 30, "epoch": "e", "iceServers": []any{}, "online": []any{}})
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// at returns the connection of this moment, once everything has settled.
func (s *scene) at() *line {
	synctest.Wait()
	return s.conn.Load()
}

func (s *scene) newLink(cfg link.Config) (link.Link, error) {
	l := &quietLink{cfg: cfg, closed: make(chan struct{})}
	s.links = append(s.links, l)
	return l, nil
}

// close says bye. The server closes the connection.
func (s *scene) close() {
	go func() {
		synctest.Wait()
		s.conn.Load().Close()
	}()
	s.Close()
}

// say has the server send a numbered message.
func (s *scene) say(m message) {
	s.t.Helper()
	s.seq++
	m["seq"] = s.seq
	s.at().say(s.t, m)
	if s.Err() != nil {
		s.t.Fatal(s.Err())
	}
}

// ask has the client make a request, and answers it.
func (s *scene) ask(do func(context.Context) error, answer message) (sent message, err error) {
	s.t.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	go func() { done <- do(ctx) }()
	sent = s.at().last(s.t)
	if answer == nil {
		cancel()
		return sent, <-done
	}
	if _, has := answer["ref"]; has {
		answer["ref"] = sent["id"]
	}
	s.say(answer)
	select {
	case err = <-done:
	default:
		cancel()
		err = <-done
	}
	return sent, err
}

func (s *scene) peer(room, session string) *Peer {
	if r := s.Room(room); r != nil {
		return r.Peer(session)
	}
	return nil
}

// event returns the last event of a type.
func event[E Event](s *scene) (e E) {
	synctest.Wait()
	for _, one := range s.events {
		if found, ok := one.(E); ok {
			e = found
		}
	}
	return e
}

// example is a file of the protocol's.
type example struct {
	file      string
	Direction string  `json:"direction"`
	Message   message `json:"message"`
}

func examples(t *testing.T, direction string) (all []example) {
	t.Helper()
	files, err := filepath.Glob("../signal/wire/testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e := example{file: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		if e.Direction == direction {
			all = append(all, e)
		}
	}
	if len(all) < 20 {
		t.Fatalf("found %d examples only", len(all))
	}
	return all
}

func word(m message, field string) string {
	text, _ := m[field].(string)
	return text
}

// setUp has what the example speaks of be there.
func (s *scene) setUp(m message) {
	s.t.Helper()
	typ, room := word(m, "type"), word(m, "room")
	other := word(m, "from")
	if other == "" {
		other = word(m, "session")
	}
	s.say(message{"type": "joined", "room": "before", "size": 2, "peers": []any{message{"session": otherSession, "user": "u2", "name": "Bob"}}})
	if room != "" && typ != "joined" && typ != "waiting" {
		peers := []any{message{"session": "b5nd3vhz6jyc2fga", "user": "u3", "name": "Alice"}}
		if other != "" && other != "b5nd3vhz6jyc2fga" {
			peers = append(peers, message{"session": other, "user": "u2", "name": "Bob"})
		}
		s.say(message{"type": "joined", "room": room, "size": 4, "peers": peers})
	}
	switch typ {
	case "accept", "decline", "cancel", "hangup":
		s.say(message{"type": "call", "call": m["call"], "from": message{"user": "u2", "name": "Bob"}})
	case "peer-back":
		s.say(message{"type": "peer-away", "room": room, "session": m["session"]})
	case "offline":
		s.say(message{"type": "online", "users": m["users"]})
	}
}

func same(t *testing.T, text []byte, want any) bool {
	t.Helper()
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(got, want)
}
