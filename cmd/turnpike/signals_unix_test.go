//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/testcert"
)

// child is a turnpike in a process of its own, so that a signal reaches it alone.
type child struct {
	*exec.Cmd
	stderr bytes.Buffer
}

// newChild does not start it yet. The end of the test, or of a minute, kills it.
func newChild(t *testing.T, args ...string) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := &child{Cmd: exec.CommandContext(ctx, "turnpike", args...)}
	c.Cmd.Stderr = &c.stderr
	return c
}

func (c *child) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// wantEnd waits for the end, which must be by exit status, or for -1 by SIGTERM itself.
func (c *child) wantEnd(t *testing.T, status int, stderr string) {
	t.Helper()
	_ = c.Wait()
	ended, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	byTerm := ok && ended.Signaled() && ended.Signal() == syscall.SIGTERM
	if c.ProcessState.ExitCode() != status || status == -1 && !byTerm || !strings.Contains(c.stderr.String(), stderr) {
		t.Errorf("it ended with %v, not with status %d and %q: %s", c.ProcessState, status, stderr, c.stderr.String())
	}
}

// TestTerminateCheck: SIGTERM ends a check that waits for a server which does not answer.
func TestTerminateCheck(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := newChild(t, "check", "http://"+silent.Addr().String(), "--timeout", "10m")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.signal(t, syscall.SIGTERM)
	c.wantEnd(t, 1, "stopped before everything was tried")
}

// TestTerminateBench: so does a bench.
func TestTerminateBench(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("bench needs Linux")
	}
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := newChild(t, "bench", "turn:"+silent.LocalAddr().String(), "--secret", "s", "--calls", "1", "--relayed", "--seconds", "100")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := silent.ReadFrom(make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	c.signal(t, syscall.SIGTERM)
	c.wantEnd(t, 1, "")
	if c.stderr.Len() > 0 { // it gave up by itself, some seconds later
		t.Errorf("it ended with: %s", c.stderr.String())
	}
}

// TestTerminateInvite: a command with nothing to tidy up ends as any process does.
func TestTerminateInvite(t *testing.T) {
	state := t.TempDir()
	if _, err := auth.LoadOrCreateSecret(filepath.Join(state, "secret"), rand.Reader); err != nil {
		t.Fatal(err)
	}
	c := newChild(t, "invite", "--revoke", "-", "--state", state)
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until it waits for the invite
		_, err := os.Stat(filepath.Join(state, "invites"))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	c.signal(t, syscall.SIGTERM)
	c.wantEnd(t, -1, "")
}

// serving starts a server, and returns what it logs once it is up.
func serving(t *testing.T, args ...string) (*child, *bufio.Scanner) {
	t.Helper()
	c := newChild(t, append([]string{"serve", "--state", filepath.Join(t.TempDir(), "state"), "--http-listen", "127.0.0.1:0", "--metrics-listen", "",
		"--turn-listen", "udp://127.0.0.1:0", "--turn-relay-addresses", "127.0.0.1"}, args...)...)
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Cmd.Stderr = nil
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // the banner
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return c, bufio.NewScanner(stderr)
}

// wantLine reads the log until a line has the text.
func wantLine(t *testing.T, log *bufio.Scanner, text string) {
	t.Helper()
	for log.Scan() {
		if strings.Contains(log.Text(), text) {
			return
		}
	}
	t.Fatalf("the log ended without %q", text)
}

// TestHangup: SIGHUP never ends a server. One with a certificate reads it again, and one without says that it has none.
func TestHangup(t *testing.T) {
	certFile, keyFile, _ := testcert.For(t, t.TempDir(), "localhost")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"without TLS": {nil, "SIGHUP: there is no certificate to read again"},
		"with TLS":    {[]string{"--tls-mode", "files", "--tls-cert-file", certFile, "--tls-key-file", keyFile}, "tls: new certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c, log := serving(t, test.args...)
			for range 2 {
				c.signal(t, syscall.SIGHUP)
				wantLine(t, log, test.want)
			}
			c.signal(t, syscall.SIGTERM)
			wantLine(t, log, "msg=stopped")
			for log.Scan() {
			}
			c.wantEnd(t, 0, "")
		})
	}
}
