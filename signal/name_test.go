package signal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// nameInForce signs in and returns the name of the welcome.
func (h *harness) nameInForce(ticket string, fields ...any) (*client, string) {
	h.t.Helper()
	c := h.dial()
	hello := msg{"type": "hello", "ticket": ticket}
	for i := 0; i < len(fields); i += 2 {
		hello[fields[i].(string)] = fields[i+1]
	}
	c.send(hello)
	w := c.expect("welcome")
	c.session, c.user = w["session"].(string), w["user"].(string)
	c.token, _ = w["resume"].(string)
	return c, w["name"].(string)
}

// TestNamesakes: users whom an app calls by one name all get in, and everybody sees them under the same different names.
func TestNamesakes(t *testing.T) {
	h := newHarness(t, func(cfg *Config) { cfg.Limits.SessionsPerAddr, cfg.Limits.AddrHellos = 1000, Rate{1000, 1000} })
	alice := func(user string) string { return testTicket(user, "Alice Smith", auth.RoleMember) }
	_, name := h.nameInForce(testTicket("guest", "", auth.RoleGuest), "name", "Alice Smith") // locks nobody out
	if name != "Alice Smith" {
		t.Errorf("a guest is called %q", name)
	}
	first, name := h.nameInForce(alice("a"))
	if name != "Alice Smith (2)" {
		t.Errorf("the first member is called %q", name)
	}
	second, name := h.nameInForce(alice("b"))
	if name != "Alice Smith (3)" {
		t.Errorf("the second member is called %q", name)
	}
	first.join("x", "create", true)
	if m := second.join("x"); !strings.Contains(fmt.Sprint(m["peers"]), "name:Alice Smith (2)") {
		t.Errorf("joined %v", m)
	}
	if m := first.skipTo("peer-joined"); !strings.Contains(fmt.Sprint(m), "name:Alice Smith (3)") {
		t.Errorf("%v", m)
	}

	// The number is the user's as long as a session lives, in each of them.
	first.send(msg{"type": "bye"})
	first.conn.Close()
	if _, name := h.nameInForce(alice("b")); name != "Alice Smith (3)" {
		t.Errorf("the second member's other session is called %q", name)
	}

	// A name that somebody chooses must be nobody else's, with a number or without.
	for _, taken := range []string{"Alice Smith", "ALICE  smith", "Alice Smith (3)"} {
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": testTicket("stranger", "", auth.RoleGuest), "name": taken})
		c.expect("error", "code", "name-taken")
	}

	// With many of one name, each still gets one of its own.
	names := map[string]bool{}
	for i := range 40 {
		_, name := h.nameInForce(testTicket(fmt.Sprint("u", i), "User", auth.RoleMember))
		if names[name] {
			t.Errorf("two are called %q", name)
		}
		names[name] = true
	}
}

// TestChosenNameOfTicket: a ticket says whether its user chose the name.
func TestChosenNameOfTicket(t *testing.T) {
	h := newHarness(t, nil)
	h.member("Ann")
	c := h.dial()
	c.send(msg{"type": "hello", "ticket": choosingTicket("b", "Ann")})
	c.expect("error", "code", "name-taken")
	c.send(msg{"type": "hello", "ticket": choosingTicket("b", "Ann"), "name": "Bea"})
	c.expect("welcome", "name", "Bea") // and has the user choose again: its invite may give no other ticket
	// The SDK sends the name of the ticket along, which makes it no choice.
	if _, name := h.nameInForce(testTicket("c", "Ann", auth.RoleGuest), "name", "Ann"); name != "Ann (2)" {
		t.Errorf("a guest of an app is called %q", name)
	}
}

// TestNamesOfIssuersAreMadeFit: no name that an app gives locks its user out.
func TestNamesOfIssuersAreMadeFit(t *testing.T) {
	h := newHarness(t, nil)
	for i, tt := range []struct{ in, want string }{
		{"Иванов Иван (IT)", "Иванов Иван (IT)"},
		{strings.Repeat("ж", 48), strings.Repeat("ж", 32)},
		{strings.Repeat("ж", 48), strings.Repeat("ж", 28) + " (2)"},
		{"Ann ❤️", "Ann ❤"},
		{"Ann\u200b\u202e", "Ann"},
		{"", auth.User{Issuer: auth.Issuer, Subject: "u5"}.PlaceholderName()},
		{" \u00a0", auth.User{Issuer: auth.Issuer, Subject: "u6"}.PlaceholderName()},
	} {
		if _, name := h.nameInForce(testTicket(fmt.Sprint("u", i), tt.in, auth.RoleMember)); name != tt.want {
			t.Errorf("%q is called %q, want %q", tt.in, name, tt.want)
		}
	}
}

// TestNameOutlivesRestart: a session keeps its name in another process, number included, in any order of return. If it
// is taken, the session gets another name; it is not lost.
func TestNameOutlivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		former, next := newMemoryHarness(t, resuming), newMemoryHarness(t, resuming)
		a, _ := former.nameInForce(testTicket("a", "Ann", auth.RoleMember))
		b, _ := former.nameInForce(testTicket("b", "Ann", auth.RoleMember))
		c, _ := former.nameInForce(testTicket("c", "", auth.RoleGuest), "name", "Bob")
		if _, w := next.back(b.identity(), wire.ResumedRestored); w["name"] != "Ann (2)" {
			t.Errorf("b is called %q", w["name"])
		}
		if _, name := next.nameInForce(testTicket("b", "Ann", auth.RoleMember)); name != "Ann (2)" {
			t.Errorf("b's other session is called %q", name)
		}
		if _, w := next.back(a.identity(), wire.ResumedRestored); w["name"] != "Ann" {
			t.Errorf("a is called %q", w["name"])
		}
		next.nameInForce(testTicket("d", "", auth.RoleGuest), "name", "Bob")
		if _, w := next.back(c.identity(), wire.ResumedRestored); w["name"] != "Bob (2)" {
			t.Errorf("c is called %q", w["name"])
		}
	})
}

// TestKeysUnavailable: a page of keys that cannot be read is the server's fault. The client learns when to come back, and
// neither its address nor its connection has to answer for it.
func TestKeysUnavailable(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.Limits.FailedHellos = Rate{PerSecond: 0.001, Burst: 1}
		verify := cfg.VerifyTicket
		cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
			if token == "unverifiable" {
				return auth.Ticket{}, &auth.KeysUnavailableError{Issuer: "app", RetryAfter: 6500 * time.Millisecond, Err: errors.New("503")}
			}
			return verify(token)
		}
	})
	c := h.dial()
	for range 3 * ticketTries {
		c.send(msg{"type": "hello", "ticket": "unverifiable"})
		c.expect("error", "code", "internal", "retryAfter", 7.0)
	}
	c.send(msg{"type": "hello", "ticket": testTicket("ann", "Ann", auth.RoleMember)})
	c.expect("welcome")
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestRefusedTicketIsLogged: an operator finds the user whom a ticket claims to be, and never the ticket.
func TestRefusedTicketIsLogged(t *testing.T) {
	var log lockedBuffer
	h := newHarness(t, func(cfg *Config) {
		cfg.Log, cfg.Limits.FailedHellos = slog.New(slog.NewTextHandler(&log, nil)), Rate{PerSecond: 0.001, Burst: 2}
	})
	token := `eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJpc3MiOiJhcHAiLCJzdWIiOiJib2IifQ.AAAA` // kid k1, iss app, sub bob
	for range 20 {                                                                         // more than an address may send
		c := h.dial()
		c.send(msg{"type": "hello", "ticket": token})
		c.expect("error", "code", "unauthorized")
	}
	want := `level=INFO msg="ticket refused" client=127.0.0.1 claims.iss=app claims.sub=bob claims.kid=k1 err=unauthorized`
	if !strings.Contains(log.String(), want) || strings.Contains(log.String(), "AAAA") {
		t.Errorf("the log is %s", log.String())
	}
	if lines := strings.Count(log.String(), "ticket refused"); lines != 2 {
		t.Errorf("the log has %d lines of one address, want 2: %s", lines, log.String())
	}
}
