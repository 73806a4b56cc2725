//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	library "example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/spake2"
)

// answerCode is the sender's side of an exchange, as a program has it.
func answerCode(ctx context.Context, conn *library.Conn, words string, say func(programLine)) {
	_, err := io.WriteString(conn, "ok\n")
	if err == nil {
		err = code.Send(ctx, conn, words)
	}
	say(programLine{Answer: outcome(err)})
	_ = conn.Close()
}

// tryCode is the receiver's side: "code" tries words, one after the other or, as "codes", all at once. "open" opens streams of those
// names, without having proved anything.
func tryCode(ctx context.Context, room *library.Room, verb string, words []string, say func(programLine)) error {
	peer, err := room.WaitPeer(ctx, func(p *library.Peer) bool { return p.Name() != "receiver" })
	if err != nil {
		return err
	}
	name, try := "code", code.Receive
	switch verb {
	case "half":
		try = halfAnExchange
	case "hold":
		try = sayNothing
	}
	var all sync.WaitGroup
	for _, word := range words {
		if verb == "open" {
			name = word
		}
		conn, err := peer.Open(ctx, name)
		if err != nil {
			return err
		}
		one := func() {
			defer conn.Close()
			line := firstLine(conn)
			if line == "ok" {
				line = outcome(try(ctx, conn, word))
			}
			say(programLine{Answer: line})
		}
		if verb == "codes" {
			all.Go(one)
		} else {
			one()
		}
	}
	all.Wait()
	return nil
}

// firstLine reads what the other side says of a stream, and nothing that follows.
func firstLine(conn *library.Conn) string {
	var line []byte
	for b := make([]byte, 1); len(line) < 256; line = append(line, b[0]) {
		if _, err := io.ReadFull(conn, b); err != nil {
			return "no line: " + err.Error()
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
	return "a long line"
}

// sayNothing keeps the other side waiting, for as long as it does.
func sayNothing(_ context.Context, conn code.Stream, _ string) error {
	_, err := conn.Read(make([]byte, 1))
	return fmt.Errorf("given up: %w", err)
}

// halfAnExchange stops once the sender has answered.
func halfAnExchange(_ context.Context, conn code.Stream, words string) error {
	password, err := spake2.NewPassword([]byte(words), "turnpike code 1")
	if err != nil {
		return err
	}
	run, err := spake2.Start(spake2.B, password, spake2.Identities{A: "sender", B: "receiver"}, nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append([]byte{1, spake2.ShareSize}, run.Share()...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 2+spake2.ShareSize)); err != nil {
		return err
	}
	return errors.New("it has answered")
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "confirmed"
	case errors.Is(err, code.ErrWrong):
		return "wrong"
	case errors.Is(err, code.ErrBroken):
		return "broken"
	}
	return "nothing begun: " + err.Error()
}

// passExchange passes an exchange on, as somebody does who has the rooms of both and a link to each.
func passExchange(ctx context.Context, conn *library.Conn, onwards *library.Room, say func(programLine)) {
	peer, err := onwards.WaitPeer(ctx, nil)
	if err != nil {
		say(programLine{Problem: err.Error()})
		return
	}
	other, err := peer.Open(ctx, "code")
	if err != nil {
		say(programLine{Problem: err.Error()})
		return
	}
	go func() { _, _ = io.Copy(other, conn); _ = other.CloseWrite() }()
	n, _ := io.Copy(conn, other)
	_ = conn.Close()
	_ = other.Close()
	say(programLine{Data: fmt.Sprintf("passed %d bytes on", n)})
}

// TestCodeExchange has a page and a program exchange codes: the page's BigInt and fingerprints meet Go's, over data channels.
func TestCodeExchange(t *testing.T) {
	need(t, "node", "chromium", "firefox-esr", "certutil")
	host := netlab.New(t).Public("host")
	for _, browser := range []string{chromium, firefox} {
		d, place := newDriver(t, host), browserAt(t, browser, host, nil)
		for _, test := range []struct {
			name, words string
			between     bool
			page        string
			program     string
		}{
			{"right words", "crossover-clockwork", false, "confirmed", "confirmed"},
			{"wrong words", "crossover-cobra", false, "WrongCodeError", "wrong"},
			{"somebody in between", "crossover-clockwork", true, "WrongCodeError", "wrong"},
		} {
			t.Run(browser+", "+test.name, func(t *testing.T) {
				serveLocally(t, host)
				sender := programPlan{URL: localURL, Name: "sender", Room: "pair", Words: "crossover-clockwork"}
				if test.between {
					sender.Room = "elsewhere"
				}
				var s *running
				d.play(t, "codeExchange", map[string]any{
					"place": place, "url": localURL, "room": "pair", "words": test.words, "want": test.page,
				}, map[string]func(){
					"sender": func() {
						s = startProgram(t, host, sender)
						if test.between {
							startProgram(t, host, programPlan{URL: localURL, Name: "between", Room: "pair", Onwards: "elsewhere"})
						}
					},
					"ended": func() { s.want(t, func(line programLine) bool { return line.Answer == test.program }) },
				})
			})
		}
	}
}

// TestCodeExchangeOfPrograms is the same between two programs, over QUIC: its exporter is the binding.
func TestCodeExchangeOfPrograms(t *testing.T) {
	t.Parallel()
	host := netlab.New(t).Public("host")
	for _, test := range []struct {
		name, words string
		between     bool
		want        string
	}{
		{"right words", "crossover-clockwork", false, "confirmed"},
		{"wrong words", "crossover-cobra", false, "wrong"},
		{"somebody in between", "crossover-clockwork", true, "wrong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			serveLocally(t, host)
			sender := programPlan{URL: localURL, Name: "sender", Room: "pair", Words: "crossover-clockwork"}
			if test.between {
				sender.Room = "elsewhere"
			}
			s := startProgram(t, host, sender)
			if test.between {
				startProgram(t, host, programPlan{URL: localURL, Name: "between", Room: "pair", Onwards: "elsewhere"})
			}
			r := startProgram(t, host, programPlan{URL: localURL, Name: "receiver", Room: "pair"})
			r.tell(t, "code "+test.words)
			ended := func(line programLine) bool { return line.Answer != "" }
			for _, side := range []*running{r, s} {
				if line := side.want(t, ended); line.Answer != test.want {
					t.Errorf("a side ends with %q, want %q", line.Answer, test.want)
				}
			}
		})
	}
}
