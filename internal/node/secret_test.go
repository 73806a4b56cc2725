package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

// TestNewSecretIsTakenUp: a running server takes up a rotated secret. It then knows what others sign with the new one, and
// what the former one has signed as long as that is kept. Those who are in get what the new one signs.
func TestNewSecretIsTakenUp(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	path := filepath.Join(state, "secret")
	ada := signIn(t, s, "Ada")
	rotate := func(keep time.Duration) {
		t.Helper()
		if err := auth.RotateSecret(path, time.Now().Add(keep), time.Now(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	bySecretOfFile := func() string {
		t.Helper()
		secret, err := auth.LoadSecret(path)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := auth.NewTickets(secret, time.Now, rand.Reader).Issue(auth.Ticket{Name: "Bob", Role: auth.RoleMember}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	former := bySecretOfFile()
	want := func(when, ticket, want string) {
		t.Helper()
		if got := answered(t, s, ticket); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	const signs = "a new secret signs from now on"
	rotate(time.Hour)
	untilLogged(t, s, signs, 1)
	want("signed with the new one", bySecretOfFile(), "welcome")
	want("signed with the former one", former, "welcome")

	renewed := ada.hear("resume").(*wire.NewToken).Token
	ada.comeBack(s, wire.ResumedReplayed) // by the token of before

	rotate(0)
	untilLogged(t, s, signs, 2)
	want("voided", former, "error")
	want("signed with the newest", bySecretOfFile(), "welcome")
	ada.welcome.Resume = renewed
	if got := ada.resumed(s); got != string(wire.CodeNoSuchSession) {
		t.Errorf("a voided token resumes: %s", got)
	}
}

// untilLogged waits until the log has a text so many times.
func untilLogged(t *testing.T, s *testNode, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); strings.Count(s.log.String(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has:\n%s", s.log.String())
		}
	}
}

// answered says hello with a ticket, and returns the type of the answer.
func answered(t *testing.T, s *testNode, ticket string) string {
	t.Helper()
	c := &signalingClient{t: t}
	c.dial(s)
	defer c.conn.Close()
	c.say(`{"type":"hello","ticket":%q}`, ticket)
	_, data, err := c.conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := wire.ParseServer(data)
	if err != nil {
		t.Fatal(err)
	}
	return m.Type()
}

// TestBrokenSecretChangesNothing: a secret that cannot be read leaves the one in force, and the log says so once.
func TestBrokenSecretChangesNothing(t *testing.T) {
	cfg := config.Default(t.TempDir())
	file, err := auth.OpenSecretFile(cfg.SecretFile(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := file.Secret().Bytes()
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		n := &Node{cfg: cfg, secret: file, log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { n.watchSecret(ctx) })
		if err := os.WriteFile(cfg.SecretFile(), []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * secretInterval) // in the bubble's time
		cancel()
		watching.Wait()
		if got := strings.Count(log.String(), "cannot be read"); got != 1 || !bytes.Equal(file.Secret().Bytes(), before) {
			t.Errorf("it says %d times: %s", got, log.String())
		}
	})
}

// TestStateProblem: a state directory that cannot be written is an error that says whose, where and what to do.
func TestStateProblem(t *testing.T) {
	cfg := config.Default("here")
	here, err := filepath.Abs("here")
	if err != nil {
		t.Fatal(err)
	}
	for want, errno := range map[string]syscall.Errno{
		fmt.Sprintf("give this user (uid %d) the directory %s", os.Getuid(), here): syscall.EACCES,
		"make " + here + " writable": syscall.EROFS,
		"make room for " + here:      syscall.ENOSPC,
	} {
		err := stateProblem(cfg, fmt.Errorf("create secret: %w", &fs.PathError{Op: "mkdir", Path: "here", Err: errno}))
		if got := err.Error(); !strings.HasPrefix(got, "state_dir: create secret: mkdir here: ") || !strings.Contains(got, want) || !strings.HasSuffix(got, "with --state") {
			t.Errorf("%v: %s, want %s", errno, got, want)
		}
	}
}
