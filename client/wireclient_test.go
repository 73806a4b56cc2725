package client

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/signal/wire"
)

// unused are the examples of what this library never sends, with the reason.
var unused = map[string]string{
	"client-lock": "no moderation", "client-unlock": "no moderation", "client-kick": "no moderation", "client-admit": "no moderation",
	"client-refuse":                   "no moderation",
	"client-online-first":             "the welcome brings the first of the list",
	"client-signal-candidate":         "candidates are gathered into lists",
	"client-signal-end-of-candidates": "likewise",
	"client-signal-description":       "links name their descriptions: as in client-signal-description-named",
}

// TestClientExamples: what the library sends is as signal/PROTOCOL.md shows it, but for the numbers of requests.
func TestClientExamples(t *testing.T) {
	for _, e := range examples(t, "client") {
		if unused[e.file] != "" {
			continue
		}
		t.Run(e.file, func(t *testing.T) {
			makes, ok := sent[e.file]
			if !ok {
				t.Fatalf("nothing makes %v", e.Message)
			}
			synctest.Test(t, func(t *testing.T) {
				got := makes(t, e.Message)
				for _, m := range []message{got, e.Message} {
					delete(m, "id")
					if m["type"] != "ack" {
						delete(m, "received")
					}
				}
				if !reflect.DeepEqual(got, e.Message) {
					t.Errorf("the library sends %v, want %v", got, e.Message)
				}
			})
		})
	}
	for file := range unused {
		if sent[file] != nil {
			t.Errorf("%s is made, and counts as unused", file)
		}
	}
}

// sent makes the library send each example.
var sent = map[string]func(*testing.T, message) message{
	"client-hello": func(t *testing.T, m message) message {
		return hello(t, func(c *Config, _ *setup) { c.Ticket, c.Name = word(m, "ticket"), word(m, "name") })
	},
	"client-hello-resume": func(t *testing.T, m message) message {
		s := newScene(t)
		resume := m["resume"].(message)
		s.at().Close()
		time.Sleep(time.Minute)
		first := s.at().last(t)
		s.at().say(t, message{"type": "welcome", "ref": first["id"], "after": 0, "session": resume["session"], "user": "u0", "name": "Ada", "role": "member",
			"resume": resume["token"], "resumeWindow": 30, "epoch": "e", "iceServers": []any{}})
		s.seq = 0
		for range int(resume["received"].(float64)) {
			s.say(message{"type": "renamed", "name": "Ada"})
		}
		s.at().Close()
		time.Sleep(time.Minute)
		return s.at().last(t)
	},
	"client-join":            joins("standup", JoinOptions{Create: true, Size: 4}, true, false),
	"client-join-generated":  joins("", JoinOptions{}, true, false),
	"client-join-waiting":    joins("", JoinOptions{Create: true, Size: 8, Waiting: true}, true, false),
	"client-join-no-media":   joins("standup", JoinOptions{}, false, false),
	"client-join-transports": joins("StandUp", JoinOptions{}, false, true),
	"client-leave":           inStandup(func(s *scene) func(context.Context) error { return s.Room("standup").Leave }),
	"client-say": inStandup(func(s *scene) func(context.Context) error {
		return func(ctx context.Context) error { return s.Room("standup").Say(ctx, map[string]string{"move": "e4"}) }
	}),
	"client-say-to": inStandup(func(s *scene) func(context.Context) error {
		return func(ctx context.Context) error {
			return s.Room("standup").SayTopic(ctx, "game", []any{"e4", nil, 1.5}, s.peer("standup", "b5nd3vhz6jyc2fga"))
		}
	}),
	"client-signal-candidates": func(t *testing.T, m message) message {
		return signals(t, m["candidates"].([]any), func(raw json.RawMessage) wire.Payload { return wire.Payload{Candidate: raw} })
	},
	"client-signal-description-named": func(t *testing.T, m message) message {
		return signals(t, []any{m["description"]}, func(raw json.RawMessage) wire.Payload { return wire.Payload{Description: raw} })
	},
	"client-call": asks(func(s *scene, ctx context.Context) error {
		_, err := s.Call(ctx, "turnpike:8gqk4w", nil)
		return err
	}),
	"client-call-data": asks(func(s *scene, ctx context.Context) error {
		_, err := s.Call(ctx, "turnpike:8gqk4w", map[string]any{"subject": "The plan", "video": false})
		return err
	}),
	"client-call-transports": func(t *testing.T, _ message) message {
		s := newScene(t, func(_ *Config, with *setup) { with.quic, with.webrtc = with.webrtc, nil })
		sent, _ := s.ask(func(ctx context.Context) error {
			_, err := s.Call(ctx, "turnpike:8gqk4w", nil)
			return err
		}, nil)
		return sent
	},
	"client-accept-transports": func(t *testing.T, m message) message {
		s := newScene(t, func(_ *Config, with *setup) { with.quic = with.webrtc })
		s.say(message{"type": "call", "call": m["call"], "from": message{"user": "u2", "name": "Bob"}})
		c := event[IncomingCall](s).Call
		sent, _ := s.ask(func(ctx context.Context) error {
			_, err := c.Accept(ctx)
			return err
		}, nil)
		return sent
	},
	"client-accept": calls(func(c *Call, ctx context.Context) error {
		_, err := c.Accept(ctx)
		return err
	}),
	"client-decline":        calls(func(c *Call, ctx context.Context) error { return c.Decline(ctx, "") }),
	"client-decline-reason": calls(func(c *Call, ctx context.Context) error { return c.Decline(ctx, "In a meeting until four") }),
	"client-cancel":         calls((*Call).Cancel),
	"client-hangup":         calls((*Call).Hangup),
	"client-rename": asks(func(s *scene, ctx context.Context) error {
		_, err := s.Rename(ctx, "Robert")
		return err
	}),
	"client-online": func(t *testing.T, _ message) message {
		s := newScene(t)
		s.say(message{"type": "refreshed", "name": "Ada", "role": "member", "online": []any{message{"user": "turnpike:8gqk4w", "name": "Alice"}}, "onlineMore": true})
		sent, _ := s.ask(func(ctx context.Context) error {
			_, err := s.MoreOnline(ctx)
			return err
		}, nil)
		return sent
	},
	"client-refresh": func(t *testing.T, m message) message {
		s := newScene(t, func(c *Config, _ *setup) {
			c.Ticket, c.GetTicket = "", func(context.Context) (string, error) { return word(m, "ticket"), nil }
		})
		s.say(message{"type": "refreshed", "name": "Ada", "role": "member", "expiresIn": 20})
		time.Sleep(15 * time.Second)
		return s.at().last(t)
	},
	"client-ping": func(t *testing.T, _ message) message {
		s := newScene(t)
		time.Sleep(41 * time.Second) // the server says nothing
		return s.at().last(t)
	},
	"client-ack": func(t *testing.T, m message) message {
		s := newScene(t)
		s.at().heard(t)
		for range int(m["received"].(float64)) {
			s.say(message{"type": "renamed", "name": "Ada"})
		}
		var last message
		for len(s.at().out) > 0 {
			if err := json.Unmarshal(<-s.at().out, &last); err != nil {
				t.Fatal(err)
			}
		}
		return last
	},
	"client-bye": func(t *testing.T, _ message) message {
		s := newScene(t)
		closed := make(chan error, 1)
		go func() { closed <- s.Session.Close() }()
		bye := s.at().last(t)
		s.at().Close()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		return bye
	},
}

// hello returns the first message of a client.
func hello(t *testing.T, change func(*Config, *setup)) message {
	t.Helper()
	return newScene(t, change).hello
}

func joins(room string, o JoinOptions, webrtc, quic bool) func(*testing.T, message) message {
	return func(t *testing.T, _ message) message {
		s := newScene(t, func(_ *Config, with *setup) {
			create := with.webrtc
			if !webrtc {
				with.webrtc = nil
			}
			if quic {
				with.quic = create
			}
		})
		sent, _ := s.ask(func(ctx context.Context) error {
			_, err := s.Join(ctx, room, o)
			return err
		}, nil)
		return sent
	}
}

// asks returns the request that do makes.
func asks(do func(*scene, context.Context) error) func(*testing.T, message) message {
	return func(t *testing.T, _ message) message {
		s := newScene(t)
		sent, _ := s.ask(func(ctx context.Context) error { return do(s, ctx) }, nil)
		return sent
	}
}

func inStandup(do func(*scene) func(context.Context) error) func(*testing.T, message) message {
	return func(t *testing.T, m message) message {
		s := newScene(t)
		s.setUp(message{"type": "host", "room": "standup"})
		sent, _ := s.ask(do(s), nil)
		return sent
	}
}

// calls returns what do sends of the example's call.
func calls(do func(*Call, context.Context) error) func(*testing.T, message) message {
	return func(t *testing.T, m message) message {
		s := newScene(t)
		s.say(message{"type": "call", "call": m["call"], "from": message{"user": "u2", "name": "Bob"}})
		c := event[IncomingCall](s).Call
		sent, _ := s.ask(func(ctx context.Context) error { return do(c, ctx) }, nil)
		return sent
	}
}

// signals has a link send payloads, and returns the last message.
func signals(t *testing.T, values []any, payload func(json.RawMessage) wire.Payload) message {
	t.Helper()
	s := newScene(t)
	s.setUp(message{"type": "host", "room": "standup"})
	for _, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		s.links[1].cfg.Send(payload(raw))
	}
	return s.at().last(t)
}

// TestCandidatesAreGathered: candidates that come within a moment go in one message, and before a description that follows.
func TestCandidatesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.setUp(message{"type": "host", "room": "standup"})
		send := s.links[1].cfg.Send
		candidate := wire.Payload{Candidate: json.RawMessage(`{"candidate":"c"}`)}
		counts := func() (list []string) {
			for _, m := range s.at().heard(t) {
				if many, ok := m["candidates"].([]any); ok {
					list = append(list, strings.Repeat("c", len(many)))
				} else {
					list = append(list, "d")
				}
			}
			return list
		}
		send(wire.Payload{Candidate: json.RawMessage("null")}) // there is none at all
		if got := counts(); !reflect.DeepEqual(got, []string{"c"}) {
			t.Errorf("sent %v, of no candidates", got)
		}
		for range 3 {
			send(candidate)
		}
		if got := counts(); got != nil {
			t.Errorf("sent %v at once", got)
		}
		time.Sleep(2 * gather)
		send(candidate)
		send(wire.Payload{Description: json.RawMessage(`{"type":"offer","sdp":""}`)})
		for range wire.MaxCandidates + 1 {
			send(candidate)
		}
		time.Sleep(2 * gather)
		want := []string{"ccc", "c", "d", strings.Repeat("c", wire.MaxCandidates), "c"}
		if got := counts(); !reflect.DeepEqual(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	})
}
