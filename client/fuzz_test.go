package client

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// FuzzServerMessages: whatever a server sends, line by line, the session stays consistent, and nothing is left of it at the end.
func FuzzServerMessages(f *testing.F) {
	files, err := filepath.Glob("../signal/wire/testdata/server-*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no examples", err)
	}
	var all [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var e struct{ Message json.RawMessage }
		var line bytes.Buffer
		if json.Unmarshal(text, &e) != nil || json.Compact(&line, e.Message) != nil {
			f.Fatalf("%s is no example", file)
		}
		all = append(all, line.Bytes())
		f.Add(line.Bytes())
	}
	f.Add(bytes.Join(all, []byte{'\n'}))
	f.Add([]byte(`{"type":"joined","room":"r","size":2,"peers":[{"session":"a","user":"u"}]}
{"type":"signal","room":"r","from":"a","description":{"type":"offer","sdp":"","id":"x.1"}}
{"type":"signal","room":"r","from":"a","description":{"type":"offer","sdp":"","id":"y.1"}}
{"type":"peer-left","room":"r","session":"a","reason":"gone"}
{"type":"peer-joined","room":"r","peer":{"session":"b","user":"u"}}
{"type":"welcome","session":"s2","user":"u2","resumed":"restored","rooms":[{"room":"q","peers":[]}]}
{"type":"welcome","session":"s3","user":"u3"}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		var links []*quietLink
		create := func(cfg link.Config) (link.Link, error) {
			l := &quietLink{cfg: cfg, closed: make(chan struct{})}
			links = append(links, l)
			cfg.OnPath(link.Path{Transport: link.QUIC})
			return l, nil
		}
		s := newSession(Config{}, setup{quic: create, webrtc: create})
		h := (*handler)(s)
		s.signaling = signaling.New(signaling.Config{Handler: h})
		h.Welcome(&wire.Welcome{Session: "self", User: "me"}, signaling.First)
		for line := range bytes.Lines(lines) {
			m, _, err := wire.ParseServer(line)
			switch m := m.(type) {
			case nil:
				_ = err // a later version's, or nothing that can be read
			case *wire.Welcome:
				h.Welcome(m, map[string]signaling.How{wire.ResumedReplayed: signaling.Replayed, wire.ResumedRestored: signaling.Restored, "": signaling.Anew}[m.Resumed])
			default:
				h.Message(m)
			}
			checkSession(t, s)
		}
		rooms := make([]*Room, 0, len(s.rooms))
		for _, r := range s.rooms {
			rooms = append(rooms, r)
		}
		s.end()
		for _, r := range rooms {
			<-r.gone
			if len(r.peers) > 0 {
				t.Errorf("%d peers are left in %s", len(r.peers), r.id)
			}
		}
		for _, l := range links {
			<-l.closed
		}
	})
}

// checkSession holds what must be true between two messages.
func checkSession(t *testing.T, s *Session) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.rooms {
		if r.id != id || r.reason != "" {
			t.Errorf("room %q is kept as %q, left because of %q", r.id, id, r.reason)
		}
		for session, p := range r.peers {
			switch {
			case p.info.Session != session:
				t.Errorf("session %q is kept as %q", p.info.Session, session)
			case p.reason != "":
				t.Errorf("%q is there, and left because of %q", session, p.reason)
			case p.link == nil && p.linkErr == nil:
				t.Errorf("%q has neither a link nor a reason", session)
			}
		}
	}
	for id, c := range s.calls {
		if c.id != id || c.reason != "" {
			t.Errorf("call %q is kept as %q, over because of %q", c.id, id, c.reason)
		}
	}
}
