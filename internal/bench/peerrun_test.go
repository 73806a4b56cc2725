//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// endProcess is an end that runs on a host, as the test sees it.
type endProcess struct {
	name    string
	stdin   io.WriteCloser
	signals chan json.RawMessage // for the other end
	began   chan struct{}        // closed when the receiver has the first byte
	report  chan *report
	ended   chan struct{}
	log     bytes.Buffer // until ended: the process's
	stop    func()
	paths   chan pathNote
}

// startEnd starts an end on a host.
func startEnd(t *testing.T, host *netlab.Host, j job) *endProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &endProcess{name: map[bool]string{true: "sender", false: "receiver"}[j.Sends], signals: make(chan json.RawMessage, 100),
		began: make(chan struct{}), paths: make(chan pathNote, 100), report: make(chan *report, 1), ended: make(chan struct{})}
	cmd := host.Command(ctx, self)
	cmd.Env = append(os.Environ(), endVariable+"="+string(config))
	cmd.Stderr = &p.log
	var out io.Reader
	if p.stdin, err = cmd.StdinPipe(); err == nil {
		if out, err = cmd.StdoutPipe(); err == nil {
			err = cmd.Start()
		}
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.listen(out)
		_ = cmd.Wait()
	}()
	p.stop = sync.OnceFunc(func() { cancel(); <-p.ended })
	t.Cleanup(p.stop)
	return p
}

// listen reads what the end says, until it ends.
func (p *endProcess) listen(out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadBytes('\n')
		var n note
		if err != nil || json.Unmarshal(line, &n) != nil {
			return
		}
		if n.Signal != nil {
			p.signals <- n.Signal
		}
		if n.Path != nil {
			p.paths <- *n.Path
		}
		if n.Began {
			close(p.began)
		}
		if n.Report != nil {
			p.report <- n.Report
		}
	}
}

// tell writes a note to the end. An end that has ended is somebody else's to find.
func (p *endProcess) tell(n note) {
	line, err := json.Marshal(n)
	if err != nil {
		panic(err) // a note is of this package
	}
	_, _ = p.stdin.Write(append(line, '\n'))
}

// outcome is a transfer that has been measured.
type outcome struct {
	sender, receiver *report
	paths            []pathNote // that the sender took
}

// patience bounds how long a transfer may take beyond its time.
const patience = 60 * time.Second

// interruption is something that happens in mid-transfer.
type interruption struct {
	at     time.Duration // since the first byte
	happen func()
	over   func(p pathNote) bool // tells for each path of the sender that comes then whether it is the last that matters
}

// after is how long a transfer goes on when an interruption is over.
const after = time.Second

// measureTransfer transfers from one host to another, with an interruption unless that is nil.
func measureTransfer(t *testing.T, from, to *netlab.Host, j job, in *interruption) outcome {
	t.Helper()
	j.Address = to.Addr().String()
	receiver := startEnd(t, to, j)
	defer receiver.stop()
	j.Address, j.Sends = from.Addr().String(), true
	sender := startEnd(t, from, j)
	defer sender.stop()
	tooLong := time.After(j.For + patience)
	began, due, done := receiver.began, (<-chan time.Time)(nil), (<-chan time.Time)(nil)
	happened := false
	var o outcome
	for o.sender == nil {
		select {
		case raw := <-receiver.signals:
			sender.tell(note{Signal: raw})
		case raw := <-sender.signals:
			receiver.tell(note{Signal: raw})
		case <-began:
			if began = nil; in != nil {
				due = time.After(in.at)
			}
		case <-due:
			in.happen()
			happened = true
		case path := <-sender.paths:
			o.paths = append(o.paths, path)
			if happened && in.over(path) {
				done = time.After(after)
			}
		case <-receiver.paths:
		case <-done:
			receiver.tell(note{Stop: true})
		case o.receiver = <-receiver.report:
			sender.tell(note{Stop: true})
		case o.sender = <-sender.report:
		case <-sender.ended:
			t.Fatalf("%s: the sender ended: %s", j.Transfer, sender.log.Bytes())
		case <-receiver.ended:
			t.Fatalf("%s: the receiver ended: %s", j.Transfer, receiver.log.Bytes())
		case <-tooLong:
			sender.stop()
			receiver.stop()
			t.Fatalf("%s: no end within %v after its time; the sender says: %s; the receiver: %s", j.Transfer, patience, sender.log.Bytes(), receiver.log.Bytes())
		}
	}
	return o
}
