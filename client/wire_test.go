package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"turnpike/client/internal/link"
	"turnpike/client/internal/signaling"
	"turnpike/signal/wire"
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
	line   *line
	events []Event
	links  []*quietLink
	seq    int
	hello  message // the first of the client
}

const otherSession, ourSession = "someone", "0" // we are polite to everyone

// newScene makes a session that has just been welcomed.
func newScene(t *testing.T, change ...func(*Config, *setup)) *scene {
	t.Helper()
	s := &scene{t: t, line: newLine()}
	first := make(chan *line, 1)
	c := Config{URL: "https://turn.example.org", Ticket: "t", OnEvent: func(e Event) { s.events = append(s.events, e) }}
	with := setup{webrtc: s.newLink, dial: func(context.Context, func()) (signaling.Conn, error) {
		s.line = newLine()
		select {
		case first <- s.line:
		default:
		}
		return s.line, nil
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
	s.line.say(t, message{"type": "welcome", "ref": hello["id"], "after": 0, "session": ourSession, "user": "u0", "name": "Ada", "role": "member",
		"resume": "token", "resumeWindow": 30, "epoch": "e", "iceServers": []any{}, "online": []any{}})
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
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
		s.line.Close()
	}()
	s.Close()
}

// say has the server send a numbered message.
func (s *scene) say(m message) {
	s.t.Helper()
	s.seq++
	m["seq"] = s.seq
	s.line.say(s.t, m)
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
	sent = s.line.last(s.t)
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

// TestServerExamples: the library understands each message of the server that signal/PROTOCOL.md shows.
func TestServerExamples(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range examples(t, "server") {
		typ := word(e.Message, "type")
		seen[typ] = true
		t.Run(e.file, func(t *testing.T) {
			check, ok := understood[typ]
			if !ok {
				t.Fatalf("nothing says what %s means", typ)
			}
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t)
				s.setUp(e.Message)
				check(s, e.Message)
			})
		})
	}
	for typ := range understood {
		if !seen[typ] {
			t.Errorf("there is no example of %s", typ)
		}
	}
}

// understood has what must be true after a message of each type.
var understood = map[string]func(*scene, message){
	"welcome": func(s *scene, m message) {
		s.line.Close()
		synctest.Wait()
		time.Sleep(time.Minute) // the client comes back
		hello := s.line.last(s.t)
		if word(hello, "type") != "hello" {
			s.t.Fatalf("the client sent %v", hello)
		}
		m["ref"] = hello["id"]
		s.line.say(s.t, m)
		s.seq = int(m["after"].(float64))
		if s.ID() != m["session"] || s.User() != m["user"] || s.Name() != m["name"] || m["online"] != nil && len(s.Online()) != 1 {
			s.t.Errorf("we are %s, %s, %s, and %v are online", s.ID(), s.User(), s.Name(), s.Online())
		}
		if e := event[Reconnected](s); e.Replayed != (m["resumed"] == "replayed") {
			s.t.Errorf("%+v", e)
		}
	},
	"joined": func(s *scene, m message) {
		if _, err := s.ask(func(ctx context.Context) error {
			_, err := s.Join(ctx, "standup", JoinOptions{})
			return err
		}, m); err != nil {
			s.t.Fatal(err)
		}
		if p := s.peer("standup", "b5nd3vhz6jyc2fga"); p == nil || p.Name() != "Alice" || p.User() != "turnpike:8gqk4w" || len(s.links) != 2 || !s.links[1].cfg.Offers {
			s.t.Errorf("the peer is %v, of %d links", p, len(s.links))
		}
		if r := s.Room("standup"); r.size != 4 || r.waiting != (m["waiting"] == true) {
			s.t.Errorf("the room is of %d, waiting: %v", r.size, r.waiting)
		}
	},
	"waiting": func(s *scene, m message) {
		if _, err := s.ask(func(ctx context.Context) error {
			_, err := s.Join(ctx, "standup", JoinOptions{})
			return err
		}, m); err == nil || s.Room("standup") != nil {
			s.t.Errorf("it is in, and must wait: %v", err)
		}
		if left := s.line.last(s.t); word(left, "type") != "leave" {
			s.t.Errorf("it gave up, and sent %v", left)
		}
	},
	"left": func(s *scene, m message) {
		if m["ref"] == nil {
			s.say(m)
		} else if _, err := s.ask(s.Room("standup").Leave, m); err != nil {
			s.t.Error(err)
		}
		if e := event[RoomLeft](s); s.Room("standup") != nil || e.Reason != m["reason"] {
			s.t.Errorf("%+v", e)
		}
	},
	"peer-joined": func(s *scene, m message) {
		info := m["peer"].(message)
		s.say(m)
		p := s.peer("standup", word(info, "session"))
		if p == nil || p.Name() != info["name"] || p.User() != info["user"] || !reflect.DeepEqual(p.info.Media == nil, info["media"] == nil) {
			s.t.Fatalf("the peer is %v", p)
		}
		if want := info["transports"] != nil; (len(p.info.Transports) == 1) != want {
			s.t.Errorf("it has %v", p.info.Transports)
		}
		if has := p.link != nil; has == (info["media"] != nil) || has && p.link.offers {
			s.t.Errorf("a link: %v", has)
		}
	},
	"peer-left": func(s *scene, m message) {
		p := s.peer("standup", word(m, "session"))
		s.say(m)
		<-p.Gone()
		if e := event[PeerLeft](s); e.Peer != p || e.Reason != m["reason"] || s.peer("standup", p.ID()) != nil {
			s.t.Errorf("%+v", e)
		}
	},
	"peer-away": func(s *scene, m message) {
		s.say(m)
		if p := s.peer("standup", word(m, "session")); !p.Away() || event[PeerAway](s).Peer != p {
			s.t.Error("it is not away")
		}
	},
	"peer-back": func(s *scene, m message) {
		p := s.peer("standup", word(m, "session"))
		links := len(s.links)
		s.say(m)
		if e := event[PeerBack](s); p.Away() || e.Peer != p || !e.Fresh || len(s.links) != links+1 || s.links[links].cfg.Offers {
			s.t.Errorf("%+v, with %d links before and %d now", e, links, len(s.links))
		}
	},
	"peer-renamed": func(s *scene, m message) {
		s.say(m)
		if p := s.peer("standup", word(m, "session")); p.Name() != m["name"] || event[Renamed](s).Peer != p {
			s.t.Errorf("called %s", p.Name())
		}
	},
	"signal": func(s *scene, m message) {
		s.say(m)
		var got []any
		for _, l := range s.links {
			for _, p := range l.received {
				for _, raw := range []json.RawMessage{p.Description, p.Candidate} {
					var value any
					if raw != nil && json.Unmarshal(raw, &value) == nil {
						got = append(got, value)
					}
				}
			}
		}
		want := []any{m["candidate"]}
		if m["description"] != nil {
			want = []any{m["description"]}
		} else if m["candidates"] != nil {
			want = m["candidates"].([]any)
		}
		if !reflect.DeepEqual(got, want) {
			s.t.Errorf("the link got %v, want %v", got, want)
		}
	},
	"data": func(s *scene, m message) {
		s.say(m)
		e := event[Data](s)
		if e.Peer != s.peer("standup", word(m, "from")) || e.Topic != m["topic"] || !same(s.t, e.Data, m["data"]) {
			s.t.Errorf("%+v", e)
		}
	},
	"said": func(s *scene, m message) {
		_, err := s.ask(func(ctx context.Context) error { return s.Room("standup").Say(ctx, 1) }, m)
		if want := map[bool]string{true: CodeMissed}[m["missed"] != nil]; CodeOf(err) != want {
			s.t.Errorf("%v, want %q", err, want)
		}
	},
	"error": func(s *scene, m message) {
		if m["away"] != nil {
			s.say(message{"type": "error", "code": "full", "message": "No request of ours."})
		}
		_, err := s.ask(func(ctx context.Context) error {
			_, err := s.Rename(ctx, "x")
			return err
		}, m)
		e, ok := err.(*Error)
		if !ok || e.Code != m["code"] || e.Message != m["message"] || e.Retryable != (m["away"] == true || m["retryAfter"] != nil) {
			s.t.Errorf("%+v", err)
		}
		if seconds, _ := m["retryAfter"].(float64); e.RetryAfter.Seconds() != seconds {
			s.t.Errorf("again after %v", e.RetryAfter)
		}
	},
	"online": func(s *scene, m message) {
		if m["ref"] == nil {
			s.say(m)
		} else {
			s.say(message{"type": "refreshed", "name": "Ada", "role": "member", "online": []any{message{"user": "u9", "name": "Zoe"}}, "onlineMore": true})
			if _, err := s.ask(func(ctx context.Context) error {
				more, err := s.MoreOnline(ctx)
				if more != (m["more"] == true) {
					s.t.Errorf("more: %v", more)
				}
				return err
			}, m); err != nil {
				s.t.Error(err)
			}
		}
		if !slices.Contains(s.Online(), User{"turnpike:m3xz7t", "Bob"}) || len(event[OnlineChanged](s).Came) != 1 {
			s.t.Errorf("%v are online", s.Online())
		}
	},
	"offline": func(s *scene, m message) {
		s.say(m)
		if len(s.Online()) != 0 || len(event[OnlineChanged](s).Went) != 1 {
			s.t.Errorf("%v are online", s.Online())
		}
	},
	"call": func(s *scene, m message) {
		s.say(m)
		c := event[IncomingCall](s).Call
		if c == nil || c.ID() != m["call"] || c.User() != (User{"turnpike:m3xz7t", "Bob"}) || !c.Incoming() || (c.Data() == nil) != (m["data"] == nil) ||
			c.Data() != nil && !same(s.t, c.Data(), m["data"]) {
			s.t.Errorf("%+v", c)
		}
	},
	"ringing": func(s *scene, m message) {
		var c *Call
		if _, err := s.ask(func(ctx context.Context) (err error) {
			c, err = s.Call(ctx, "turnpike:8gqk4w", nil)
			return err
		}, m); err != nil || c.ID() != m["call"] || c.User().Name != "Alice" || c.Incoming() {
			s.t.Errorf("%+v, %v", c, err)
		}
	},
	"accept": func(s *scene, m message) {
		c := event[IncomingCall](s).Call
		done := make(chan *Room, 1)
		go func() {
			r, err := c.Accept(s.t.Context())
			if err != nil {
				s.t.Error(err)
			}
			done <- r
		}()
		m["ref"] = s.line.last(s.t)["id"]
		s.say(m)
		s.say(message{"type": "joined", "room": m["room"], "size": 2, "peers": []any{}})
		if r := <-done; r == nil || r.ID() != m["room"] {
			s.t.Errorf("it led to %v", r)
		}
	},
	"decline": callEnds("declined"),
	"cancel":  callEnds("answered-elsewhere"),
	"hangup": func(s *scene, m message) {
		c := event[IncomingCall](s).Call
		s.say(message{"type": "accept", "call": m["call"], "room": m["room"]})
		if _, err := s.ask(c.Hangup, m); err != nil || s.Room(word(m, "room")) != nil {
			s.t.Errorf("the room is still there: %v", err)
		}
		<-c.Done()
	},
	"ice-servers": func(s *scene, m message) {
		s.say(m)
		if len(s.links[0].servers) != 2 || s.links[0].servers[1].Username != "1767229200:s.k7m2pq9xr4ts8w3e" {
			s.t.Errorf("the link has %v", s.links[0].servers)
		}
	},
	"resume": func(s *scene, m message) {
		s.say(m)
		s.line.Close()
		time.Sleep(time.Minute)
		hello := s.line.last(s.t)
		if resume, _ := hello["resume"].(message); resume["token"] != m["token"] {
			s.t.Errorf("it came back with %v", hello)
		}
	},
	"going-away": func(s *scene, m message) {
		s.say(m)
		was, began := s.line, time.Now()
		s.line.Close()
		for s.line == was {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); took < 2*time.Second {
			s.t.Errorf("it came back after %v", took)
		}
	},
	"refreshed": func(s *scene, m message) {
		s.say(m)
		if s.Name() != "Bob" || m["online"] != nil && (len(s.Online()) != 1 || !s.people.more) {
			s.t.Errorf("called %s, and %v are online", s.Name(), s.Online())
		}
		time.Sleep(20 * time.Hour) // of 24
		if e := event[Expiring](s); e.In != 6*time.Hour {
			s.t.Errorf("%+v", e)
		}
	},
	"renamed": func(s *scene, m message) {
		if _, err := s.ask(func(ctx context.Context) error {
			name, err := s.Rename(ctx, "Robert")
			if name != m["name"] {
				s.t.Errorf("renamed to %s", name)
			}
			return err
		}, m); err != nil || s.Name() != m["name"] || event[Renamed](s).Name != m["name"] {
			s.t.Errorf("called %s: %v", s.Name(), err)
		}
	},

	// These leave no trace in a program without moderation; the session counts them like all others.
	"ack": counts, "pong": counts, "host": counts, "locked": counts, "unlocked": counts, "kicked": counts, "knock": counts,
	"knock-over": counts, "admitted": counts, "refused": counts,
}

func callEnds(reason string) func(*scene, message) {
	return func(s *scene, m message) {
		c := event[IncomingCall](s).Call
		s.say(m)
		<-c.Done()
		if _, err := c.Answered(s.t.Context()); CodeOf(err) != reason || event[CallEnded](s).Reason != reason {
			s.t.Errorf("%v", err)
		}
	}
}

func counts(s *scene, m message) {
	if typ := word(m, "type"); typ == "ack" || typ == "pong" {
		s.line.say(s.t, m) // these have no number
	} else {
		s.say(m)
	}
	s.line.heard(s.t)
	for range 40 {
		s.say(message{"type": "a-type-of-later", "field": 1})
	}
	s.line.Close()
	time.Sleep(time.Minute)
	if resume, _ := s.line.last(s.t)["resume"].(message); resume["received"] != float64(s.seq) {
		s.t.Errorf("it has received %v of %d", resume["received"], s.seq)
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
