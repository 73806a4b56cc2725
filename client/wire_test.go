package client

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

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
		s.at().Close()
		synctest.Wait()
		time.Sleep(time.Minute) // the client comes back
		hello := s.at().last(s.t)
		if word(hello, "type") != "hello" {
			s.t.Fatalf("the client sent %v", hello)
		}
		m["ref"] = hello["id"]
		s.at().say(s.t, m)
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
		if left := s.at().last(s.t); word(left, "type") != "leave" {
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
		m["ref"] = s.at().last(s.t)["id"]
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
		s.at().Close()
		time.Sleep(time.Minute)
		hello := s.at().last(s.t)
		if resume, _ := hello["resume"].(message); resume["token"] != m["token"] {
			s.t.Errorf("it came back with %v", hello)
		}
	},
	"going-away": func(s *scene, m message) {
		s.say(m)
		was, began := s.at(), time.Now()
		s.at().Close()
		for s.at() == was {
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
		s.at().say(s.t, m) // these have no number
	} else {
		s.say(m)
	}
	s.at().heard(s.t)
	for range 40 {
		s.say(message{"type": "a-type-of-later", "field": 1})
	}
	s.at().Close()
	time.Sleep(time.Minute)
	if resume, _ := s.at().last(s.t)["resume"].(message); resume["received"] != float64(s.seq) {
		s.t.Errorf("it has received %v of %d", resume["received"], s.seq)
	}
}
