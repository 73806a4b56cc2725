package code

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"example.org/turnpike/internal/spake2"
)

// page is what a page does with the other end of a stream, in Node.js.
type page struct {
	io.Reader
	io.WriteCloser
	binding [32]byte
}

func (p *page) SetDeadline(time.Time) error     { return nil } // the test's context ends the process
func (p *page) ChannelBinding() ([]byte, error) { return p.binding[:], nil }

// TestPage has Go and the page's JavaScript exchange codes with each other, in both roles.
func TestPage(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs Node.js: ", err)
	}
	const confirmed, wrong, broken, unanswered = 0, 10, 11, 12
	for _, c := range []struct {
		name, words, theirs string
		want                int
		ours                error
	}{
		{"the same words", rightWords, "one connection", confirmed, nil},
		{"other words", "crossover-cobra", "one connection", wrong, ErrWrong},
		{"somebody in between", rightWords, "another connection", wrong, ErrWrong},
	} {
		for side, run := range map[string]func(context.Context, Stream, string) error{"receiver": Send, "sender": Receive} {
			t.Run(c.name+", the page is the "+side, func(t *testing.T) {
				t.Parallel()
				status, err := againstPage(t, node, side, c.words, c.theirs, func(ctx context.Context, p *page) error { return run(ctx, p, rightWords) })
				if status != c.want || !errors.Is(err, c.ours) {
					t.Errorf("the page ends with %d, this side with %v; want %d and %v", status, err, c.want, c.ours)
				}
			})
		}
	}
	for name, want := range map[string]int{"a sender that does not answer": unanswered, "a sender that stops": broken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _ := againstPage(t, node, "receiver", rightWords, "one connection", func(_ context.Context, p *page) error {
				_, err := io.ReadFull(p, make([]byte, 2+spake2.ShareSize))
				if err == nil && want == broken {
					_, err = p.Write(frame(shareFrame, run(t, spake2.A, "guess", "one connection").Share()))
					readFrame(t, p)
				}
				return err
			})
			if status != want {
				t.Errorf("the page ends with %d, want %d", status, want)
			}
		})
	}
}

// againstPage runs the page's side, and one of ours, and returns how both ended.
func againstPage(t *testing.T, node, side, words, connection string, ours func(context.Context, *page) error) (status int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	binding := sha256.Sum256([]byte(connection))
	cmd := exec.CommandContext(ctx, node, "testdata/exchange.mjs", side, hex.EncodeToString(binding[:]))
	cmd.Env = append(os.Environ(), "WORDS="+words)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = ours(ctx, &page{stdout, stdin, sha256.Sum256([]byte("one connection"))})
	stdin.Close()
	var exit *exec.ExitError
	if waited := cmd.Wait(); waited != nil && !errors.As(waited, &exit) {
		t.Fatal(waited)
	}
	if stderr.Len() > 0 {
		t.Error(fmt.Sprint("the page says: ", stderr.String()))
	}
	return cmd.ProcessState.ExitCode(), err
}
