//go:build linux

package e2e

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	library "example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/netlab"
	"example.org/turnpike/internal/spake2"
)

// enterSlot has the program come by a code's slot, if its plan says so, and returns the number.
func (p *programPlan) enterSlot(ctx context.Context, config *library.Config) (int, error) {
	var c *library.Code
	var err error
	switch {
	case p.Makes:
		c, err = library.NewCode(ctx, *config, 2)
	case p.Slot > 0:
		c, err = library.TakeCode(ctx, *config, p.Slot)
	default:
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	p.Room, config.GetTicket = c.Room, c.GetTicket
	return c.Slot, nil
}

// desk is a machine with a server for its own people, who send and receive files there.
type desk struct {
	host *netlab.Host
	dir  string
	env  []string
}

func newDesk(t *testing.T) *desk {
	need(t)
	host := netlab.New(t).Public("host")
	serveLocally(t, host)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("Dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &desk{host, dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "TURNPIKE_SERVER="+localURL)}
}

// start starts turnpike; code is what its user types.
func (d *desk) start(t *testing.T, code string, args ...string) *verb {
	t.Helper()
	term := &terminal{d.host, append(d.env, "TURNPIKE_CODE="+code), d.dir}
	return term.start(t, strings.NewReader(""), args...)
}

// send sends the letter to so many receivers, and returns the code.
func (d *desk) send(t *testing.T, to int) (*verb, code.Code) {
	t.Helper()
	v := d.start(t, "", "send", "letter.txt", "--to", strconv.Itoa(to), "--name", "sender")
	line := regexp.MustCompile(`(?m)^  code: (\S+)$`)
	if !v.stdout.await(30*time.Second, func(said string) bool { return line.MatchString(said) }) {
		t.Fatalf("no code, but %q and %q", v.stdout.String(), v.stderr.String())
	}
	c, err := code.Parse(line.FindStringSubmatch(v.stdout.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	return v, c
}

// receive receives by a code, and holds whether the letter is there afterwards: whole under its name, or not at all.
func (d *desk) receive(t *testing.T, text string, status int, says string) {
	t.Helper()
	in := t.TempDir()
	v := d.start(t, text, "receive", "--yes", "--output", in, "--name", "receiver")
	v.exits(t, status)
	if said := v.stderr.String(); !strings.Contains(said, says) {
		t.Errorf("receive says %q, want %q", said, says)
	}
	got, err := os.ReadFile(filepath.Join(in, "letter.txt"))
	if status == 0 && string(got) != "Dear" || status != 0 && !os.IsNotExist(err) {
		t.Errorf("the letter is %q, %v", got, err)
	}
}

// stranger is somebody who knows the number of a code.
func (d *desk) stranger(t *testing.T, c code.Code) *running {
	return startProgram(t, d.host, programPlan{URL: localURL, Name: "stranger", Slot: c.Slot()})
}

// answers collects what became of so many streams of a program.
func (r *running) answers(t *testing.T, n int) (all []string) {
	t.Helper()
	for range n {
		all = append(all, r.want(t, func(line programLine) bool { return line.Answer != "" }).Answer)
	}
	return all
}

// wrongWords are two words that are not those of the code.
func wrongWords(c code.Code, n int) (all []string) {
	for len(all) < n {
		if other := code.New(c.Slot()).Words(); other != c.Words() {
			all = append(all, other)
		}
	}
	return all
}

// TestCodeGuesses has a stranger try many words at once, on as many streams: one of them is a guess, and ends the code for all. The
// receiver who comes later with the right words is told.
func TestCodeGuesses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sender, c := d.send(t, 2)
	s := d.stranger(t, c)
	const guesses = 12
	s.tell(t, "codes "+strings.Join(wrongWords(c, guesses), " "))
	wrong := 0
	for _, answer := range s.answers(t, guesses) {
		switch {
		case answer == "wrong":
			wrong++
		case !strings.HasPrefix(answer, "error: ") && !strings.HasPrefix(answer, "no line: "): // the sender may have ended
			t.Errorf("a guess ends with %q", answer)
		}
	}
	if wrong != 1 {
		t.Errorf("%d words were tried, want one", wrong)
	}
	sender.exits(t, 1)
	sender.says(t, "the code is burnt")
	d.receive(t, c.Text(), 1, "there is no code with the number")
}

// TestCodeHalfExchange: a stranger who stops once the sender has answered may have learned what a guess tells. So it counts as one.
func TestCodeHalfExchange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sender, c := d.send(t, 2)
	s := d.stranger(t, c)
	s.tell(t, "half "+wrongWords(c, 1)[0])
	if got := s.answers(t, 1)[0]; got != "nothing begun: it has answered" {
		t.Fatalf("the stranger ends with %q", got)
	}
	sender.exits(t, 1)
	sender.says(t, "that counts as a wrong guess")
	d.receive(t, c.Text(), 1, "there is no code with the number")
}

// TestCodeUnproved: without a proof there are no files, under no name of a stream. It is no guess either: the right receiver gets all.
func TestCodeUnproved(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sender, c := d.send(t, 2)
	s := d.stranger(t, c)
	names := []string{"files", "blocks/1", "machine", "tcp/22", "pipe", "listen", "x"}
	s.tell(t, "open "+strings.Join(names, " "))
	for i, answer := range s.answers(t, len(names)) {
		if !strings.HasPrefix(answer, "error: ") {
			t.Errorf("%s: a stranger gets %q", names[i], answer)
		}
	}
	d.receive(t, c.Text(), 0, "")
	s.tell(t, "open files blocks/1") // the proof of the receiver is not the stranger's
	for _, answer := range s.answers(t, 2) {
		if !strings.HasPrefix(answer, "error: ") {
			t.Errorf("after somebody's proof, a stranger gets %q", answer)
		}
	}
	sender.interrupt(t)
	sender.exits(t, 1)
}

// TestCodeImpostor has a stranger play the sender: it has the slot, and not the words. The receiver writes nothing.
func TestCodeImpostor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	s := startProgram(t, d.host, programPlan{URL: localURL, Name: "sender", Makes: true, Words: "crossover-cobra"})
	slot := s.slot
	d.receive(t, slot+"-crossover-clockwork", 1, "somebody is in between")
	if got := s.answers(t, 1)[0]; got != "wrong" {
		t.Errorf("the impostor ends with %q", got)
	}
}

// takeAndLeave plays a sender that takes the proof of a receiver, and then breaks off.
func takeAndLeave(conn *library.Conn, say func(programLine)) {
	_, _ = io.WriteString(conn, "ok\n")
	_, err := io.ReadFull(conn, make([]byte, 2+spake2.ShareSize))
	say(programLine{Answer: fmt.Sprint("took a share: ", err)})
	_ = conn.Close()
}

// TestCodeSlowStranger has a stranger ask for a proof and then say nothing: the receiver who comes next waits for its turn only briefly.
func TestCodeSlowStranger(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sender, c := d.send(t, 2)
	s := d.stranger(t, c)
	begin := time.Now()
	s.tell(t, "hold x")
	d.receive(t, c.Text(), 0, "")
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("the receiver waited %v", took)
	}
	if got := s.answers(t, 1)[0]; !strings.HasPrefix(got, "nothing begun: given up") {
		t.Errorf("the stranger ends with %q", got)
	}
	sender.interrupt(t)
	sender.exits(t, 1)
}

// TestCodeReceiverAmongStrangers has strangers in the room who take the receiver's proof for the sender, and break off. It finds the sender
// all the same, and no code is burnt.
func TestCodeReceiverAmongStrangers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	sender, c := d.send(t, 3)
	for _, name := range []string{"one", "two"} {
		startProgram(t, d.host, programPlan{URL: localURL, Name: name, Slot: c.Slot(), Mute: true})
	}
	d.receive(t, c.Text(), 0, "")
	sender.interrupt(t)
	sender.exits(t, 1)
}
