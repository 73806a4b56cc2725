//go:build linux

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	library "example.org/turnpike/client"
	"example.org/turnpike/internal/netlab"
)

// programVariable has the test binary be a program of the Go library: namespaces hold processes, and not goroutines.
const programVariable = "TURNPIKE_E2E_PROGRAM"

// programPlan is what such a program is told first, as a line on stdin.
type programPlan struct {
	URL, Invite, Name, Room, Roots string
	RelayOnly                      bool
	Mute                           bool   // it takes proofs as a sender, and breaks off
	Words                          string // of a code, whose exchange it answers as the sender
	Onwards                        string // the room to which it passes exchanges on instead: it is in between
	Slot                           int    // of somebody's code, whose room it enters
	Makes                          bool   // a code of its own, whose room it enters; it says the number
}

// programLine is a line of its output: an event, or the result of what it was told to do.
type programLine struct {
	Path    string `json:",omitempty"`
	Data    string `json:",omitempty"`
	Sent    string `json:",omitempty"` // the sum of what was sent
	Answer  string `json:",omitempty"`
	Problem string `json:",omitempty"`
}

// program joins a room, answers streams by their name, and opens one to a peer for each line on stdin, which says how many
// bytes it sends, or the words of a code that it tries. It ends with stdin.
func program() int {
	out := json.NewEncoder(os.Stdout)
	var mu sync.Mutex
	say := func(line programLine) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(line)
	}
	if err := runProgram(os.Stdin, say); err != nil {
		say(programLine{Problem: err.Error()})
		return 1
	}
	return 0
}

func runProgram(stdin io.Reader, say func(programLine)) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	lines := bufio.NewScanner(stdin)
	var plan programPlan
	if lines.Scan(); json.Unmarshal(lines.Bytes(), &plan) != nil {
		return fmt.Errorf("no plan: %q", lines.Text())
	}
	config := library.Config{
		URL: plan.URL, Invite: plan.Invite, Name: plan.Name, RelayOnly: plan.RelayOnly,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if plan.Roots != "" {
		pem, err := os.ReadFile(plan.Roots)
		if err != nil {
			return err
		}
		config.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		config.TLS.RootCAs.AppendCertsFromPEM(pem)
	}
	heard := make(chan library.Data, 16)
	config.OnEvent = func(e library.Event) {
		switch e := e.(type) {
		case library.PathChanged:
			say(programLine{Path: e.Path.String()})
		case library.Data:
			heard <- e
		}
	}
	slot, err := plan.enterSlot(ctx, &config)
	if err != nil {
		return err
	}
	session, err := library.Dial(ctx, config)
	if err != nil {
		return err
	}
	defer session.Close()
	room, err := session.Join(ctx, plan.Room, library.JoinOptions{Create: true, Size: 8})
	if err != nil {
		return err
	}
	var onwards *library.Room
	if plan.Onwards != "" {
		if onwards, err = session.Join(ctx, plan.Onwards, library.JoinOptions{Create: true, Size: 8}); err != nil {
			return err
		}
	}
	go func() {
		for e := range heard {
			answerData(ctx, room, e, say)
		}
	}()
	go func() {
		for {
			conn, err := room.Accept(ctx)
			if err != nil {
				return
			}
			switch {
			case conn.Name() != "code":
				go serveStream(conn, say)
			case plan.Onwards != "":
				go passExchange(ctx, conn, onwards, say)
			case plan.Mute:
				go takeAndLeave(conn, say)
			case plan.Words == "":
				conn.Reset() // it is no sender
			default:
				go answerCode(ctx, conn, plan.Words, say)
			}
		}
	}()
	say(programLine{Answer: "ready", Data: strconv.Itoa(slot)})
	for lines.Scan() {
		if verb, words, _ := strings.Cut(lines.Text(), " "); words != "" {
			if err := tryCode(ctx, room, verb, strings.Fields(words), say); err != nil {
				return err
			}
			continue
		}
		size, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		if err := sendTo(ctx, room, size, say); err != nil {
			return err
		}
	}
	return nil
}

// pattern is what a program sends: the page knows it, too.
func pattern(size int) []byte {
	bytes := make([]byte, size)
	for i := range bytes {
		bytes[i] = byte(i * 7 % 251)
	}
	return bytes
}

// serveStream answers "sum" with the sum of what comes, and "bulk" with as many bytes as were asked for.
func serveStream(conn *library.Conn, say func(programLine)) {
	defer conn.Close()
	err := func() error {
		all, err := io.ReadAll(conn)
		if err != nil {
			return err
		}
		answer := fmt.Appendf(nil, "%x", sha256.Sum256(all))
		if conn.Name() == "bulk" {
			size, err := strconv.Atoi(string(all))
			if err != nil {
				return err
			}
			answer = pattern(size)
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
		return conn.CloseWrite()
	}()
	if err != nil {
		say(programLine{Problem: fmt.Sprintf("the stream %s: %v", conn.Name(), err)})
	}
}

func sendTo(ctx context.Context, room *library.Room, size int, say func(programLine)) error {
	peer, err := room.WaitPeer(ctx, nil)
	if err != nil {
		return err
	}
	conn, err := peer.Open(ctx, "from the program")
	if err != nil {
		return err
	}
	defer conn.Close()
	bytes := pattern(size)
	if _, err := conn.Write(bytes); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	say(programLine{Sent: fmt.Sprintf("%x", sha256.Sum256(bytes)), Answer: fmt.Sprintf("%x", answer)})
	return nil
}

// answerData says what chat was heard.
func answerData(ctx context.Context, room *library.Room, e library.Data, say func(programLine)) {
	say(programLine{Data: e.Topic + " " + string(e.Data)})
	var chat struct{ Text string }
	if e.Topic != "turnpike.chat" || json.Unmarshal(e.Data, &chat) != nil {
		return
	}
	if err := room.Say(ctx, map[string]string{"heard": chat.Text}, e.Peer); err != nil {
		say(programLine{Problem: err.Error()})
	}
}

// A running program, as the test sees it.
type running struct {
	stdin io.WriteCloser
	lines chan programLine
	slot  string // of its code
}

// startProgram starts one on a host, and waits until it is in the room.
func startProgram(t *testing.T, host *netlab.Host, plan programPlan) *running {
	t.Helper()
	ctx, cancel := within(t, 5*time.Minute)
	t.Cleanup(cancel)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := host.Command(ctx, self)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	var log output
	cmd.Stderr = &log
	r := &running{lines: make(chan programLine, 256)}
	if r.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stdin.Close()
		for line := range r.lines {
			t.Logf("the program: %+v", line)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the program's log:\n%s", log.String())
		}
	})
	go func() {
		defer close(r.lines)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var line programLine
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				r.lines <- line
			}
		}
	}()
	input, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	r.tell(t, string(input))
	r.slot = r.want(t, func(line programLine) bool { return line.Answer == "ready" }).Data
	return r
}

func (r *running) tell(t *testing.T, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(r.stdin, line); err != nil {
		t.Fatal(err)
	}
}

// want waits for a line of the program.
func (r *running) want(t *testing.T, fits func(programLine) bool) programLine {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok || line.Problem != "" {
				t.Fatalf("the program has a problem: %+v", line)
			}
			t.Logf("the program: %+v", line)
			if fits(line) {
				return line
			}
		case <-timeout:
			t.Fatal("the program does not say what it must")
		}
	}
}
