package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"example.org/turnpike/internal/code"
)

// codeVariable has a code for programs, which type nothing.
const codeVariable = "TURNPIKE_CODE"

// maxShown bounds the words that Tab shows at a time.
const maxShown = 24

// questioner asks the person at the terminal.
type questioner struct {
	// Static after construction.
	terminal *term.Terminal                   // nil: standard input is no terminal, and nobody answers
	raw      func() (restore func(), _ error) // has the terminal hand over each key
	input    *bufio.Reader                    // standard input, where it is no terminal
	board    *transferBoard                   // which rests while a question is open
}

// questioner returns one who asks at the terminal of standard input.
func (p *program) questioner(board *transferBoard) *questioner {
	q := &questioner{input: bufio.NewReader(p.stdin), board: board}
	f, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return q
	}
	to := io.Writer(f) // standard output may be the file that comes, and standard error a log
	if errs, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(errs.Fd())) {
		to = errs
	}
	q.terminal = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{f, to}, "")
	q.raw = func() (func(), error) {
		state, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		if columns, lines, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			_ = q.terminal.SetSize(columns, lines)
		}
		return func() { _ = term.Restore(int(f.Fd()), state) }, nil
	}
	return q
}

// asks reports whether there is somebody to ask.
func (q *questioner) asks() bool { return q.terminal != nil }

// ask returns what the person types. complete says what a line may become, for Tab; nil: nothing completes.
func (q *questioner) ask(ctx context.Context, question string, complete func(string) []string) (string, error) {
	q.board.rest()
	defer q.board.goOn() // after restore: while the terminal is raw, the next line would begin below the end of the last one
	restore, err := q.raw()
	if err != nil {
		return "", fmt.Errorf("ask at the terminal: %w", err)
	}
	defer restore()
	q.terminal.SetPrompt(question)
	q.terminal.AutoCompleteCallback = q.completer(complete)
	type typed struct {
		line string
		err  error
	}
	answer := make(chan typed, 1)
	go func() { // once ctx has ended, it waits for the terminal until the process ends
		line, err := q.terminal.ReadLine()
		answer <- typed{line, err}
	}()
	select {
	case a := <-answer:
		if errors.Is(a.err, io.EOF) { // Ctrl-C, too, which is a key now
			_, _ = q.terminal.Write([]byte("\n"))
			return "", errors.New("stopped")
		}
		return strings.TrimSpace(a.line), a.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// completer has Tab complete a line as far as it is clear, and else show what may follow.
func (q *questioner) completer(complete func(string) []string) func(string, int, rune) (string, int, bool) {
	if complete == nil {
		return nil
	}
	return func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || pos != len(line) {
			return "", 0, false
		}
		found := complete(line)
		if len(found) == 0 {
			return line, pos, true
		}
		common := found[0]
		for _, other := range found {
			common = commonPrefix(common, other)
		}
		if len(common) <= len(line) {
			q.show(found)
			return line, pos, true
		}
		return common, len(common), true
	}
}

// show lists what a line may become.
func (q *questioner) show(found []string) {
	var words []string
	for _, text := range found[:min(len(found), maxShown)] {
		text = strings.TrimRight(text, "-")
		words = append(words, text[strings.LastIndexByte(text, '-')+1:])
	}
	if len(found) > maxShown {
		words = append(words, "...")
	}
	_, _ = fmt.Fprintln(q.terminal, strings.Join(words, " "))
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// agrees asks a question with the answers yes and no. An empty answer is the usual one.
func (q *questioner) agrees(ctx context.Context, question string, usual bool) (bool, error) {
	choice := " [y/N] "
	if usual {
		choice = " [Y/n] "
	}
	answer, err := q.ask(ctx, question+choice, nil)
	if err != nil {
		return false, err
	}
	if answer == "" {
		return usual, nil
	}
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes"), nil
}

// readCode returns the code that the receiver was told: from a file, a variable, the terminal or standard input. It never stands among
// the arguments, where others on this machine can see it.
func (p *program) readCode(ctx context.Context, q *questioner, file string) (code.Code, error) {
	var text string
	var err error
	switch {
	case file == "-":
		text, err = tokenOf(q.input, "code", "standard input")
	case file != "":
		text, err = readTokenFile("code", file)
	case p.getenv(codeVariable) != "":
		text = p.getenv(codeVariable)
	case q.asks():
		return q.askCode(ctx)
	default:
		text, _ = q.input.ReadString('\n') // the last line needs no end
		if text = strings.TrimSpace(text); text == "" {
			err = errors.New("standard input has no code; the sender's program shows one, like " + code.Example)
		}
	}
	if err != nil {
		return code.Code{}, err
	}
	return code.Parse(text)
}

// askCode asks until there is a code.
func (q *questioner) askCode(ctx context.Context) (code.Code, error) {
	for {
		text, err := q.ask(ctx, "code: ", code.Complete)
		if err != nil {
			return code.Code{}, err
		}
		c, err := code.Parse(text)
		if err == nil {
			return c, nil
		}
		near, ok := errors.AsType[*code.NearMissError](err)
		if !ok {
			q.say(err.Error())
			continue
		}
		meant, err := q.agrees(ctx, "did you mean "+near.Meant.Text()+"?", true)
		if err != nil {
			return code.Code{}, err
		}
		if meant {
			return near.Meant, nil
		}
	}
}

// say prints a line at the terminal.
func (q *questioner) say(line string) {
	_, _ = fmt.Fprintf(q.terminal, "%s\r\n", harmless(line))
}
