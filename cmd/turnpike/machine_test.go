package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/machine"
)

// testMachine is a machine in this process, with a folder of its own.
type testMachine struct {
	t   *testing.T
	s   *testServer
	dir string
	now func() time.Time
}

// joinMachine has a machine join the server of a state directory, in the room home.
func joinMachine(t *testing.T, s *testServer, state, name string) *testMachine {
	t.Helper()
	m := &testMachine{t: t, s: s, dir: t.TempDir()}
	if status, _, stderr := m.run("join", "--name", name, "--server", s.url(), "--invite-file", inviteFile(t, state)); status != 0 {
		t.Fatalf("join: status %d, %s", status, stderr)
	}
	return m
}

func (s *testServer) url() string {
	first, _, _ := strings.Cut(s.row("web"), "  ")
	return first
}

// inviteFile is a file with an invite, without a link around it.
func inviteFile(t *testing.T, state string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr}
	if status := p.run(t.Context(), []string{"invite", "--state", state, "--room", "home"}); status != 0 {
		t.Fatalf("invite: %s", stderr.String())
	}
	_, invite, _ := strings.Cut(strings.TrimSpace(stdout.String()), "#invite=")
	name := filepath.Join(t.TempDir(), "invite")
	if err := os.WriteFile(name, []byte(invite), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (m *testMachine) program(stdin io.Reader, stdout, stderr io.Writer) *program {
	return &program{stdin: stdin, stdout: stdout, stderr: stderr, configDir: func() (string, error) { return m.dir, nil }, now: m.now}
}

// run runs a command to its end.
func (m *testMachine) run(args ...string) (status int, stdout, stderr string) {
	m.t.Helper()
	var out, errs syncBuffer
	status = m.program(strings.NewReader(""), &out, &errs).run(m.t.Context(), args)
	return status, out.String(), errs.String()
}

// start runs a command until the end of the test, or its own.
func (m *testMachine) start(stdin io.Reader, stdout io.Writer, args ...string) *pipeSide {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	side := &pipeSide{status: make(chan int, 1), stop: cancel}
	p, done := m.program(stdin, stdout, &side.stderr), make(chan struct{})
	go func() {
		defer close(done)
		side.status <- p.run(ctx, args)
	}()
	m.t.Cleanup(func() {
		cancel()
		<-done
	})
	return side
}

// TestRevokeInMidPipe: a pipe to a machine that is revoked ends on both sides, and each says why. The direct path between them would work.
func TestRevokeInMidPipe(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state)
	defer s.stop()
	nas, laptop := joinMachine(t, s, state, "nas"), joinMachine(t, s, state, "laptop")
	idle, idleEnd := io.Pipe()
	defer idleEnd.Close()
	typing, typed := io.Pipe()
	defer typed.Close()
	output, printed := io.Pipe()
	listens := nas.start(idle, printed, "pipe", "--listen")
	listens.stderr.await(t, "listens as nas")
	sends := laptop.start(typing, io.Discard, "pipe", "--to", "nas")
	if _, err := typed.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(output, make([]byte, 1)); err != nil { // it flows
		t.Fatal(err)
	}
	begin := time.Now()
	if status, stdout, stderr := nas.run("machines", "--state", state, "--revoke", "nas"); status != 0 || !strings.Contains(stdout, "1 session ended") {
		t.Fatalf("%s%s", stdout, stderr)
	}
	listens.ends(t, 1, "has ended the session of nas: the machine was revoked, or thrown out")
	sends.ends(t, 1, "nas has left before the end of the pipe")
	t.Logf("both had ended after %v", time.Since(begin))
	if status, _, stderr := nas.run("ping", "-c", "1", "laptop"); status != 1 || !strings.Contains(stderr, "it was revoked there") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

// TestSeveralSessionsOfMachine: of the commands that run on a machine, the one that takes a stream gets it.
func TestSeveralSessionsOfMachine(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state)
	defer s.stop()
	nas, laptop := joinMachine(t, s, state, "nas"), joinMachine(t, s, state, "laptop")
	service, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	go func() {
		for {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "the service")
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(service.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	idle, idleEnd := io.Pipe()
	defer idleEnd.Close()
	nas.start(idle, io.Discard, "ping").stderr.await(t, "answers pings as nas")
	nas.start(idle, io.Discard, "pipe", "--listen", "--allow", port).stderr.await(t, "listens as nas")
	nas.start(strings.NewReader("hello"), io.Discard, "pipe", "--listen").stderr.await(t, "listens as nas")
	if status, stdout, stderr := laptop.run("pipe", "--to", "nas", port); status != 0 || stdout != "the service" {
		t.Errorf("the port: status %d, %q, %s", status, stdout, stderr)
	}
	if status, stdout, stderr := laptop.run("pipe", "--to", "nas"); status != 0 || stdout != "hello" {
		t.Errorf("the pipe: status %d, %q, %s", status, stdout, stderr)
	}
	if status, _, stderr := laptop.run("pipe", "--to", "nas", "1"); status != 1 || !strings.Contains(stderr, "nas refuses: ") {
		t.Errorf("a port that nobody allows: status %d, %s", status, stderr)
	}
}

// TestMachineClockIsOff: a machine that is refused for its clock says so, and does not take itself for revoked.
func TestMachineClockIsOff(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state)
	defer s.stop()
	nas := joinMachine(t, s, state, "nas")
	for _, row := range []struct {
		off  time.Duration
		want string
	}{
		{-time.Hour, "this machine's clock is 1h0m0s behind the server's; set it, and try again"},
		{time.Hour, "this machine's clock is 1h0m0s ahead of the server's; set it, and try again"},
	} {
		nas.now = func() time.Time { return time.Now().Add(row.off) }
		if status, _, stderr := nas.run("ping", "-c", "1", "laptop"); status != 1 || !strings.Contains(stderr, row.want) {
			t.Errorf("%v: status %d, %s", row.off, status, stderr)
		}
		other := &testMachine{t: t, s: s, dir: t.TempDir(), now: nas.now}
		if status, _, stderr := other.run("join", "--name", "pi", "--server", s.url(), "--invite-file", inviteFile(t, state)); status != 1 ||
			!strings.Contains(stderr, "The machine's clock differs from the server's by more than 30 seconds; set it.") {
			t.Errorf("join, %v: status %d, %s", row.off, status, stderr)
		}
	}
	nas.now = func() time.Time { return time.Now().Add(-20 * time.Second) }
	if status, _, stderr := nas.run("ping", "-c", "1", "--wait", "100ms", "laptop"); !strings.Contains(stderr, "nobody else came") {
		t.Errorf("20 seconds: status %d, %s", status, stderr)
	}
}

// TestMachineName: the name that a machine asks for by itself is one that it may have.
func TestMachineName(t *testing.T) {
	for host, want := range map[string]string{
		"nas": "nas", "Ada's MacBook": "ada-s-macbook", "-x-": "x", "büro": "b-ro", "": "", "日本": "",
		strings.Repeat("a", 31) + "-" + "b": strings.Repeat("a", 31), strings.Repeat("a", 40): strings.Repeat("a", 32),
	} {
		if got := machineName(host); got != want {
			t.Errorf("%q: %q", host, got)
		}
	}
}

// saidPeer is a peer as a server says that it is.
type saidPeer struct{ id, user, name string }

func (p saidPeer) ID() string   { return p.id }
func (p saidPeer) User() string { return p.user }
func (p saidPeer) Name() string { return p.name }

// TestIdentify: whatever the server calls a peer, it has to be the machine that the user asked for.
func TestIdentify(t *testing.T) {
	for _, row := range []struct {
		peer    saidPeer
		asked   string
		is      bool // PEER means it
		name    string
		vouched bool
	}{
		{saidPeer{"s1", "machine:nas", "nas"}, "nas", true, "nas", true},
		{saidPeer{"s1", "machine:nas", "nas"}, "NAS", true, "nas", true},
		{saidPeer{"s1", "machine:nas", "nas (2)"}, "nas", true, "nas", true},
		{saidPeer{"s1", "machine:evil", "nas"}, "nas", false, "nas", false}, // another machine, shown by that name
		{saidPeer{"s1", "turnpike:u1", "nas"}, "nas", true, "nas", false},   // somebody who has the name now
		{saidPeer{"s1", "turnpike:u1", "zzz"}, "nas", false, "nas", false},  // called another name since
		{saidPeer{"s1", "machine:nas", "nas"}, "s1", true, "nas", true},
		{saidPeer{"s1", "machine:nas", "nas"}, "", false, "nas", true},
		{saidPeer{"s1", "turnpike:u1", "Ann"}, "", false, "ann", false},
	} {
		if got := identify(row.peer, row.asked); hasName(row.peer, row.asked) != row.is || got != (identity{row.name, row.vouched}) {
			t.Errorf("%+v, asked for as %q: %+v, means it: %v", row.peer, row.asked, got, hasName(row.peer, row.asked))
		}
	}
}

// TestInspectMachineTicket: an operator learns why the server refuses a machine.
func TestInspectMachineTicket(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state)
	defer s.stop()
	nas := joinMachine(t, s, state, "nas")
	m, err := machine.Load(nas.dir, s.url())
	if err != nil {
		t.Fatal(err)
	}
	inspect := func() (int, string) {
		t.Helper()
		ticket, err := m.Ticket()
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		p := &program{stdin: strings.NewReader(ticket), stdout: &stdout, stderr: &stderr}
		return p.run(t.Context(), []string{"ticket", "--inspect", "--state", state}), stdout.String() + stderr.String()
	}
	if status, text := inspect(); status != 0 || !strings.Contains(text, "issuer     the machine itself") || !strings.Contains(text, "accepted   user machine:nas") {
		t.Errorf("status %d, %s", status, text)
	}
	if status, _, stderr := nas.run("machines", "--state", state, "--revoke", "nas"); status != 0 {
		t.Fatal(stderr)
	}
	if status, text := inspect(); status != 1 || !strings.Contains(text, "there is no machine \"nas\"") {
		t.Errorf("revoked: status %d, %s", status, text)
	}
}

// TestNetcheckAsMachine: netcheck signs in as the machine where guests may not.
func TestNetcheckAsMachine(t *testing.T) {
	state := t.TempDir()
	s := startServer("--state", state, "--auth-guests", "never")
	defer s.stop()
	nas := joinMachine(t, s, state, "nas")
	other := &testMachine{t: t, s: s, dir: t.TempDir()}
	for m, in := range map[*testMachine]bool{nas: true, other: false} {
		_, stdout, stderr := m.run("netcheck", s.url(), "--timeout", "500ms", "--json")
		if refused := strings.Contains(stdout+stderr, "lets nobody in without an invite"); stdout == "" || refused == in {
			t.Errorf("joined %v: %s%s", in, stdout, stderr)
		}
	}
}
