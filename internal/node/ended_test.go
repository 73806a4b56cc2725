package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

// resumed says how the next process answers a resume: the error's code, or the rooms that the session is in.
func (c *signalingClient) resumed(s *testNode) string {
	c.t.Helper()
	c.dial(s)
	c.say(`{"type":"hello","resume":{"session":%q,"token":%q,"received":0}}`, c.welcome.Session, c.welcome.Resume)
	for {
		_, data, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		m, _, err := wire.ParseServer(data)
		if err != nil {
			c.t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.Error:
			return string(m.Code)
		case *wire.Welcome:
			rooms := []string{m.Resumed}
			for _, r := range m.Rooms {
				rooms = append(rooms, r.Room)
			}
			return strings.Join(rooms, " ")
		}
	}
}

// TestEndedOutlastsRestart: what a client ended stays ended in the next process, after a planned stop and after a kill.
func TestEndedOutlastsRestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		name := map[bool]string{false: "stopped", true: "killed"}[killed]
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			s := start(t, "--state", state)
			host, mallory, gone := signIn(t, s, "host"), signIn(t, s, "mallory"), signIn(t, s, "gone")
			host.say(`{"type":"join","id":"1","room":"x","create":true,"size":4}`)
			host.hear("joined")
			mallory.say(`{"type":"join","id":"1","room":"x"}`)
			mallory.hear("joined")
			for _, c := range []*signalingClient{host, mallory} {
				c.welcome.Resume = c.hear("resume").(*wire.NewToken).Token
			}
			host.say(`{"type":"kick","id":"2","room":"x","session":%q}`, mallory.welcome.Session)
			host.hear("kicked")
			gone.say(`{"type":"bye"}`)
			_, _, _ = gone.conn.ReadMessage()

			if killed {
				state = copyOnceWritten(t, state, gone.welcome.Session, `"kicked":["`+mallory.welcome.User+`"]`)
			}
			s.stop()
			next := start(t, "--state", state)
			for c, want := range map[*signalingClient]string{mallory: "restored", gone: "no-such-session", host: "restored x"} {
				if got := c.resumed(next); got != want {
					t.Errorf("%s: %s, want %s", c.welcome.Name, got, want)
				}
			}
			mallory.say(`{"type":"join","id":"3","room":"x","create":true}`)
			if e := mallory.hear("error").(*wire.Error); e.Code != wire.CodeKicked {
				t.Errorf("mallory: %+v", e)
			}
		})
	}
}

// copyOnceWritten copies a running server's state once the file of what has ended has all of these, as if the server was
// killed then.
func copyOnceWritten(t *testing.T, state string, want ...string) string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := os.ReadFile(filepath.Join(state, "ended"))
		missing := err != nil
		for _, w := range want {
			missing = missing || !bytes.Contains(text, []byte(w))
		}
		if !missing {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the file of what has ended has %q (%v), want %q", text, err, want)
		}
		time.Sleep(time.Millisecond)
	}
	killed := t.TempDir()
	if err := os.Chmod(killed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", "invites", "ended"} {
		data, err := os.ReadFile(filepath.Join(state, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(killed, name), data, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return killed
}

// TestEndedCannotBeWritten: while the file cannot be written, the server goes on, says so once, and counts it. What has
// ended meanwhile is written when that is possible again.
func TestEndedCannotBeWritten(t *testing.T) {
	cfg := config.Default(t.TempDir())
	open := func(log *slog.Logger) *ended {
		e, err := openEnded(cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		e := open(slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var keeping sync.WaitGroup
		keeping.Go(func() { e.keep(ctx) })
		time.Sleep(2*endedInterval + endedInterval/2) // from here on this acts between two attempts to write
		obstruct(t, cfg.EndedFile())
		e.EndGenerations("s", 2)
		time.Sleep(20 * endedInterval)
		if n := e.failures.Load(); n < 10 || strings.Count(log.String(), "cannot be written") != 1 {
			t.Errorf("%d failures; the log has:\n%s", n, log.String())
		}
		if err := os.Remove(cfg.EndedFile()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * endedInterval)
		if next := open(slog.New(slog.DiscardHandler)); next.SessionFrom("s") != 2 {
			t.Error("what ended meanwhile is not known in the next process")
		} else {
			next.close()
		}
		cancel()
		keeping.Wait()
		e.close()
		if !strings.Contains(log.String(), "again") {
			t.Errorf("the end of the fault is not in the log:\n%s", log.String())
		}
	})
}

// obstruct puts a directory in the place of a file, so that nobody can write it, not even root.
func obstruct(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
