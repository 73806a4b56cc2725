package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// runCommand runs one of the operator's commands and returns its output.
func runCommand(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	if status := p.run(t.Context(), args); status != 0 {
		t.Fatalf("%q: status %d: %s", args, status, stderr.String())
	}
	return stdout.String()
}

type madeInvite struct {
	Link, Invite, ID string
	Uses             int
}

func makeInvite(t *testing.T, state string, args ...string) (made madeInvite) {
	t.Helper()
	out := runCommand(t, append([]string{"invite", "--state", state, "--room", "standup", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.ID == "" {
		t.Fatalf("%s: %v", out, err)
	}
	return made
}

// exchange asks the server at base for a ticket, and returns it or the code of the refusal. invite may be empty.
func exchange(t *testing.T, base, invite, name string) (ticket, code string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "invite": invite})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(base+"/api/v1/tickets", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return "", "unreachable"
	}
	defer resp.Body.Close()
	var answer struct {
		Ticket string
		Error  struct{ Code string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Error(err)
	}
	return answer.Ticket, answer.Error.Code
}

// iceServersStatus is the status of the answer that the bearer of a ticket gets.
func iceServersStatus(t *testing.T, base, ticket string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/ice-servers", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ticket)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestInviteUsesInAServer has a crowd come with one invite, restarts the server, and comes again.
func TestInviteUsesInAServer(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := startServer("--state", state, "--auth-guests", "never")
	defer func() { s.stop() }()
	made := makeInvite(t, state, "--uses", "2", "--role", "moderator")
	const crowd = 20
	var in, used atomic.Int64
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			switch ticket, code := exchange(t, s.row("web"), made.Invite, fmt.Sprint("user ", i)); {
			case ticket != "":
				in.Add(1)
			case code == "invite-used":
				used.Add(1)
			default:
				t.Errorf("refused with %q", code)
			}
		})
	}
	wg.Wait()
	if in.Load() != 2 || used.Load() != crowd-2 {
		t.Errorf("%d got in and %d were too late, of %d for an invite of 2 uses", in.Load(), used.Load(), crowd)
	}
	if ticket, code := exchange(t, s.row("web"), made.Invite, ""); ticket != "" || code != "bad-request" {
		t.Errorf("with no name: %q, %q", ticket, code)
	}
	s.stop()
	s = startServer("--state", state, "--auth-guests", "never")
	if ticket, code := exchange(t, s.row("web"), made.Invite, "Late"); ticket != "" || code != "invite-used" {
		t.Errorf("after a restart: %q, %q", ticket, code)
	}
	if list := runCommand(t, "invite", "--state", state, "--list"); !strings.Contains(list, made.ID+"  standup  moderator  2 of 2  ") {
		t.Errorf("the list is\n%s", list)
	}
}

// TestRevokedInviteInAServer revokes an invite beside a running server, by its ID and by its link.
func TestRevokedInviteInAServer(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	// The loop below asks for more tickets than an address may get by default.
	s := startServer("--state", state, "--auth-guests", "never", "--log-level", "debug", "--limits-tickets-per-minute-per-address", "1000000")
	defer s.stop()
	for i, by := range []func(madeInvite) string{func(m madeInvite) string { return m.ID }, func(m madeInvite) string { return m.Link }} {
		made := makeInvite(t, state)
		ticket, code := exchange(t, s.row("web"), made.Invite, fmt.Sprint("Ada ", i))
		if code != "" || iceServersStatus(t, s.row("web"), ticket) != 200 {
			t.Fatalf("a good invite: %q", code)
		}
		if out := runCommand(t, "invite", "--state", state, "--revoke", by(made)); out != "revoked "+made.ID+"\n" {
			t.Errorf("printed %q", out)
		}
		// The server looks once a second, so the requests end; the test's own deadline is the limit.
		for code != "invite-revoked" && t.Context().Err() == nil {
			if _, code = exchange(t, s.row("web"), made.Invite, fmt.Sprint("Eve ", i)); code != "" && code != "invite-revoked" {
				t.Fatalf("refused with %q", code)
			}
		}
		if status := iceServersStatus(t, s.row("web"), ticket); status != 401 {
			t.Errorf("the ticket of a revoked invite: %d", status)
		}
	}
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	if status := p.run(t.Context(), []string{"invite", "--state", state, "--revoke", "unheard-of"}); status != 1 || !strings.Contains(stderr.String(), `there is no invite "unheard-of" here`) {
		t.Errorf("an unknown ID: status %d, %s", status, stderr.String())
	}
}
