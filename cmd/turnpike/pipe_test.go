package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// pipeSide is one side of a pipe, as a command in this process.
type pipeSide struct {
	stderr syncBuffer
	status chan int
	stop   context.CancelFunc
}

// startPipe starts a side in the room home of s.
func startPipe(t *testing.T, s *testServer, stdin io.Reader, stdout io.Writer, args ...string) *pipeSide {
	ctx, cancel := context.WithCancel(context.Background())
	side := &pipeSide{status: make(chan int, 1), stop: cancel}
	p := &program{stdin: stdin, stdout: stdout, stderr: &side.stderr}
	first, _, _ := strings.Cut(s.row("web"), "  ")
	done := make(chan struct{})
	go func() {
		defer close(done)
		side.status <- p.run(ctx, append([]string{"pipe", "--room", "home", "--server", first}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return side
}

// ends checks how a side ends. An empty text is none.
func (s *pipeSide) ends(t *testing.T, status int, text string) {
	t.Helper()
	got := <-s.status
	if stderr := s.stderr.String(); got != status || text != "" && !strings.Contains(stderr, text) {
		t.Errorf("status %d, want %d, and %q in\n%s", got, status, text, stderr)
	}
}

// TestPipeBreaks: whatever fails at one side ends both, also if the other side has nothing to send.
func TestPipeBreaks(t *testing.T) {
	s := startServer("--state", t.TempDir())
	defer s.stop()
	idle, idleEnd := io.Pipe()
	defer idleEnd.Close()

	t.Run("standard input", func(t *testing.T) {
		nas := startPipe(t, s, idle, io.Discard, "--listen", "--name", "nas")
		laptop := startPipe(t, s, iotest.ErrReader(errors.New("the disk is broken")), io.Discard, "--to", "nas", "--name", "laptop")
		laptop.ends(t, 1, "the disk is broken")
		nas.ends(t, 1, "laptop has left before the end of the pipe")
	})
	t.Run("standard output", func(t *testing.T) {
		nas := startPipe(t, s, strings.NewReader("hello"), io.Discard, "--listen", "--name", "nas")
		laptop := startPipe(t, s, idle, brokenWriter{}, "--to", "nas", "--name", "laptop")
		laptop.ends(t, 1, "standard output was closed before the end of the pipe")
		nas.ends(t, 1, "laptop has left before the end of the pipe")
	})
	t.Run("the other side, after the end of its own", func(t *testing.T) {
		nas := startPipe(t, s, strings.NewReader("hello"), io.Discard, "--listen", "--name", "nas")
		output, closed := io.Pipe()
		laptop := startPipe(t, s, idle, closed, "--to", "nas", "--name", "laptop")
		_, _ = io.Copy(io.Discard, output) // until it is closed
		nas.stop()
		laptop.ends(t, 1, "nas has left before the end of the pipe")
	})
	t.Run("the service behind a port", func(t *testing.T) {
		service, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer service.Close()
		go func() {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1)) // the pipe is open
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close() // with a reset
		}()
		_, port, _ := net.SplitHostPort(service.Addr().String())
		startPipe(t, s, idle, io.Discard, "--listen", "--allow", port, "--name", "nas")
		typing, typed := io.Pipe()
		defer typed.Close()
		laptop := startPipe(t, s, typing, io.Discard, "--to", "nas", port, "--name", "laptop")
		_, _ = typed.Write([]byte("x"))
		laptop.ends(t, 1, "nas has left before the end of the pipe")
	})
}

// TestPipeClosesOutput: ssh ends its own side only after that.
func TestPipeClosesOutput(t *testing.T) {
	s := startServer("--state", t.TempDir())
	defer s.stop()
	var got bytes.Buffer
	nas := startPipe(t, s, strings.NewReader("bye"), io.Discard, "--listen", "--name", "nas")
	typing, typed := io.Pipe()
	defer typed.Close()
	output, closed := io.Pipe()
	laptop := startPipe(t, s, typing, closed, "--to", "nas", "--name", "laptop")
	if _, err := io.Copy(&got, output); err != nil || got.String() != "bye" { // until it is closed
		t.Fatalf("%q, %v", got.String(), err)
	}
	_ = typed.Close()
	laptop.ends(t, 0, "")
	nas.ends(t, 0, "")
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestSameName: two names are one where the server takes them for one, and nowhere else.
func TestSameName(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"nas", "NAS", true},
		{"nas", "ｎａｓ", true},
		{"nas", " nas ", true},
		{"вася", "\u1c80ася", false}, // unicode's folding calls them equal
		{"nas", "nas-2", false},
		{"", "", false},
	} {
		if got := sameName(row.a, row.b); got != row.want {
			t.Errorf("%q and %q: %v", row.a, row.b, got)
		}
	}
}

// TestErrorsAreHarmless: the words of a server or a peer do not steer the terminal.
func TestErrorsAreHarmless(t *testing.T) {
	var stderr bytes.Buffer
	p := &program{stdout: io.Discard, stderr: &stderr}
	p.run(t.Context(), []string{"pipe", "--to", "nas", "--room", "home", "--wait", "1s", "--invite-file", "\x1b[31mno\u202efile"})
	if got := stderr.String(); !strings.Contains(got, "no\uFFFDfile") || strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
}
