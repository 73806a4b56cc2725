package signal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestWholeClient runs the client at the end of PROTOCOL.md: it joins, answers, comes back to its session after a lost
// connection, begins another when the token resumes nothing, and ends when the server says so.
func TestWholeClient(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.ResumeWindow = time.Minute })
	bot := startBot(t, h.url, testTicket("bot", "Bot", auth.RoleGuest), "lobby")

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C { // until the bot has made the room; it has a minute
		if bot.ctx.Err() != nil {
			t.Fatal("the bot made no room")
		}
		if _, members, _ := h.srv.FindRoom("lobby"); len(members) > 0 {
			break
		}
	}
	a := h.guest("a")
	peers := a.join("lobby")["peers"].([]any)
	peer := peers[0].(map[string]any)
	session := peer["session"].(string)
	if peer["name"] != "Bot" || peer["media"] != false {
		t.Errorf("the bot is %v", peer)
	}
	talk := func(n int) {
		t.Helper()
		for i := range n {
			a.send(msg{"type": "say", "id": a.newID(), "room": "lobby", "data": i})
		}
		for heard := 0; heard < n; {
			if m := a.skipTo("data"); m["data"].(map[string]any)["heard"] == float64(heard) {
				heard++
			} else {
				t.Fatalf("got %v, want %d", m, heard)
			}
		}
	}
	talk(70) // enough that it must acknowledge

	h.cut(session)
	talk(3) // as if nothing had been
	h.srv.mu.Lock()
	h.srv.endLocked(h.srv.sessions[session], wire.ReasonGone) // as after a long outage
	h.srv.mu.Unlock()
	h.cut(session)
	if m := a.skipTo("peer-left"); m["session"] != session {
		t.Errorf("%v", m)
	}
	if m := a.skipTo("peer-joined"); m["peer"].(map[string]any)["name"] != "Bot" {
		t.Errorf("%v", m)
	}
	talk(3)

	h.srv.EndUser("turnpike:bot", func(auth.Ticket) bool { return true })
	if err := bot.Wait(); err != nil {
		t.Errorf("the bot: %v", err)
	}
}

// cut closes the connection of a session as a network does.
func (h *harness) cut(session string) {
	h.srv.mu.Lock()
	defer h.srv.mu.Unlock()
	walked := &h.srv.conns
	for i := range walked.len() {
		if c := walked.all[i]; c.session != nil && c.session.id == session {
			c.Close()
		}
	}
}

// startBot starts the client with arguments. The test fails if that does not end. A Node that has no WebSocket of its own gets that
// of the package ws.
func startBot(t *testing.T, args ...string) runningBot {
	t.Helper()
	ws, err := filepath.Abs("../node_modules/ws/wrapper.mjs")
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("globalThis.WebSocket ??= (await import(%q)).WebSocket;\n", "file://"+ws)
	node, err := exec.LookPath("node")
	if err == nil {
		err = exec.Command(node, "--input-type=module", "--eval", before).Run()
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no node with a WebSocket: %v", err)
		}
		t.Skipf("no node with a WebSocket, which npm ci installs: %v", err)
	}
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	file := filepath.Join(t.TempDir(), "bot.mjs")
	if err := os.WriteFile(file, []byte(before+blocks[len(blocks)-1][1]), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	var output strings.Builder
	bot := exec.CommandContext(ctx, node, append([]string{file}, args...)...)
	bot.Stdout, bot.Stderr = &output, &output
	if err := bot.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = bot.Wait() // or it is over already
		if t.Failed() {
			t.Logf("the bot said:\n%s", output.String())
		}
	})
	return runningBot{bot, ctx}
}

type runningBot struct {
	*exec.Cmd
	ctx context.Context // done when the bot is ended
}
