package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"golang.org/x/term"
)

// typed is a terminal on which somebody has typed keys ahead.
type typed struct {
	io.Reader
	bytes.Buffer
}

func (t *typed) Read(b []byte) (int, error) { return t.Reader.Read(b) }

// questionsTo returns a questioner whose person types keys, and what is printed.
func questionsTo(keys string) (*questioner, *typed) {
	screen := &typed{Reader: strings.NewReader(keys)}
	return &questioner{terminal: term.NewTerminal(screen, ""), raw: func() (func(), error) { return func() {}, nil },
		board: &transferBoard{w: io.Discard}}, screen
}

// TestAskCode: Tab completes what is clear and shows what is not, typing errors are asked about, and what is no code is asked for again.
func TestAskCode(t *testing.T) {
	for _, row := range []struct{ keys, want, shown string }{
		{"7-crossover-clockwork\r", "7-crossover-clockwork", "code: "},
		{" 7 Crossover_CLOCKWORK \r", "7-crossover-clockwork", ""},
		{"7-cros\tclo\t\r", "7-crossover-clockwork", "clockwork"},
		{"7-crossover-cl\tockwork\r", "7-crossover-clockwork", "clamshell classic classroom cleanup clockwork"},
		{"7-crossovr-clockwork\r\r", "7-crossover-clockwork", "did you mean 7-crossover-clockwork? [Y/n] "},
		{"7-crossovr-clockwork\ry\r", "7-crossover-clockwork", ""},
		{"7-crossovr-clockwork\rno\r8-adroitness-aardvark\r", "8-adroitness-aardvark", ""},
		{"crossover-clockwork\r7-crossover-clockwork\r", "7-crossover-clockwork", "a code begins with a number"},
		{"\x1b[31m\t\r\r7-crossover-clockwork\r", "7-crossover-clockwork", ""},
		{"7-crossover\x03", "", ""}, // Ctrl-C
		{"7-crossover\r\x04", "", ""},
		{"7-crossover-clock", "", ""}, // the terminal is gone
	} {
		q, screen := questionsTo(row.keys)
		c, err := q.askCode(t.Context())
		got := ""
		if err == nil {
			got = c.Text()
		}
		if got != row.want || !strings.Contains(screen.String(), row.shown) {
			t.Errorf("%q: %q, %v, want %q, and %q in %q", row.keys, got, err, row.want, row.shown, screen.String())
		}
	}
}

func TestAgrees(t *testing.T) {
	for _, row := range []struct {
		keys        string
		usual, want bool
	}{
		{"\r", true, true}, {"\r", false, false}, {"y\r", false, true}, {"YES\r", false, true}, {"n\r", true, false}, {"perhaps\r", true, false},
	} {
		q, _ := questionsTo(row.keys)
		if got, err := q.agrees(t.Context(), "Take it?", row.usual); err != nil || got != row.want {
			t.Errorf("%q: %v, %v", row.keys, got, err)
		}
	}
	q, _ := questionsTo("")
	if got, err := q.agrees(t.Context(), "Take it?", true); err == nil || got {
		t.Errorf("nobody has answered, and yet %v", got)
	}
}

// TestNobodyAnswers: a signal ends a question.
func TestNobodyAnswers(t *testing.T) {
	q, _ := questionsTo("")
	reader, writer := io.Pipe()
	defer writer.Close()
	restored := false
	q.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{reader, io.Discard}, "")
	q.raw = func() (func(), error) { return func() { restored = true }, nil }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.ask(ctx, "code: ", nil); err == nil || !restored {
		t.Errorf("%v, and the terminal is restored: %v", err, restored)
	}
}

// TestNewsAfterAQuestion: what came while a question was open is printed once the terminal is as it was.
func TestNewsAfterAQuestion(t *testing.T) {
	q, _ := questionsTo("y\r")
	var out bytes.Buffer
	q.board = &transferBoard{w: &out, terminal: true, columns: func() int { return 80 }}
	q.raw = func() (func(), error) {
		_, _ = io.WriteString(q.board, "news\n")
		return func() {
			if out.Len() > 0 {
				t.Errorf("the terminal is raw, and there comes %q", out.String())
			}
		}, nil
	}
	if _, err := q.ask(t.Context(), "Take it?", nil); err != nil || out.String() != "news\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}

// TestFilesHelp: the help of each command fits a screen, and has an example.
func TestFilesHelp(t *testing.T) {
	for name, text := range map[string]string{"send": helpSend, "receive": helpReceive} {
		lines := strings.Split(text, "\n")
		if len(lines) > 30 {
			t.Errorf("%s: %d lines", name, len(lines))
		}
		for _, line := range lines {
			if len(line) > 130 {
				t.Errorf("%s: %d characters: %s", name, len(line), line)
			}
		}
		if !strings.Contains(text, "\nexamples:\n  turnpike "+name+" ") {
			t.Errorf("%s has no example", name)
		}
	}
}
