//go:build linux

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An end is one of two processes that transfer something. It is this test's binary, which TestMain turns into an end when
// the variable endVariable has its job. It speaks with the test in lines of JSON:
//
//	test ── note{Signal} ──▶ end      what the other end says, so that they find each other
//	     ── note{Stop}   ──▶          the test has all that it wants
//	     ◀─ note{Signal} ──
//	     ◀─ note{Path}   ──           a path was found, or another one
//	     ◀─ note{Began}  ──           the receiver has the first byte
//	     ◀─ note{Report} ──           the figures, once: after Stop, of the receiver also when its time is over
const endVariable = "TURNPIKE_BENCH_END"

// job says what an end does.
type job struct {
	Transfer string        // the name of one of transfers
	Sends    bool          // this end opens the streams, and writes
	Address  string        // of this end
	Bulk     int           // streams that carry as much as they can
	Echo     time.Duration // the pause between echoes on a stream beside those; 0: none
	For      time.Duration // the receiver reports this long after the first byte, or earlier if the test says stop

	// For transfers that need our server.
	URL       string
	Roots     string // a file with certificates
	RelayOnly bool
}

// note is a line between the test and an end.
type note struct {
	Signal json.RawMessage `json:",omitempty"`
	Path   *pathNote       `json:",omitempty"`
	Stop   bool            `json:",omitempty"`
	Began  bool            `json:",omitempty"`
	Report *report         `json:",omitempty"`
}

// pathNote tells of the path in use.
type pathNote struct {
	At     time.Duration // as monotonic returns it
	Direct bool
	Text   string
}

// report is what an end has measured.
type report struct {
	Bytes     int64           // received
	First     time.Duration   // when the first byte came, as monotonic returns it
	End       time.Duration   // when the receiver stopped counting, likewise
	Progress  []progress      // a step whenever something has come since the last look
	Echoes    []time.Duration // round trips
	Processor time.Duration   // that the process spent since its first stream
	Memory    int64           // the most that the process had resident, in bytes
}

type progress struct {
	At    time.Duration // as monotonic returns it
	Bytes int64         // so far
}

// look is how often a receiver notes its progress.
const look = 5 * time.Millisecond

// monotonic is the time on a clock that all processes of the machine share.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // Linux has this clock
	}
	return time.Duration(t.Nano())
}

// A transfer is a way for two ends to open streams to each other.
type transfer interface {
	open(ctx context.Context) (stream, error)
	accept(ctx context.Context) (stream, error)
}

type stream = io.ReadWriter

// signals is how an end hears from the other one before they have a path, and tells the test.
type signals struct {
	send    func(any)
	receive <-chan json.RawMessage
	path    func(direct bool, text string)
	began   func()
}

// next reads a signal into v.
func (s signals) next(ctx context.Context, v any) error {
	select {
	case raw := <-s.receive:
		return json.Unmarshal(raw, v)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transfers are the ways that are compared.
var transfers = map[string]func(context.Context, job, signals) (transfer, error){
	overTCP:         newTCPTransfer,
	overDataChannel: newChannelTransfer,
	overQUIC:        newClientTransfer,
}

// runEnd is the main function of an end.
func runEnd(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("%s: %w", endVariable, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(n note) {
		mu.Lock()
		defer mu.Unlock()
		if err := out.Encode(n); err != nil {
			cancel() // the test is gone
		}
	}
	heard := make(chan json.RawMessage, 100)
	stop := make(chan struct{})
	go func() {
		defer cancel()
		stopped := false
		for lines := bufio.NewReader(os.Stdin); ; {
			line, err := lines.ReadBytes('\n')
			var n note
			if err != nil || json.Unmarshal(line, &n) != nil {
				return
			}
			if n.Signal != nil {
				heard <- n.Signal
			}
			if n.Stop && !stopped {
				stopped = true
				close(stop)
			}
		}
	}()
	s := signals{
		receive: heard,
		send: func(v any) {
			raw, err := json.Marshal(v)
			if err != nil {
				panic(err) // v is of this package
			}
			say(note{Signal: raw})
		},
		began: func() { say(note{Began: true}) },
		path:  func(direct bool, text string) { say(note{Path: &pathNote{monotonic(), direct, text}}) },
	}
	tr, err := transfers[j.Transfer](ctx, j, s)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Transfer, err)
	}
	work := j.receive
	if j.Sends {
		work = j.send
	}
	r, err := work(ctx, tr, s, stop)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Transfer, err)
	}
	if r.Memory, err = peakMemory(); err != nil {
		return err
	}
	say(note{Report: r})
	<-ctx.Done() // The streams stay until the test has both reports.
	return nil
}

// The first byte of a stream tells which kind it is.
const (
	bulkKind = 'b'
	echoKind = 'e'
)

// send opens the streams, and writes until the test says stop.
func (j job) send(ctx context.Context, tr transfer, _ signals, stop <-chan struct{}) (*report, error) {
	r := &report{}
	failed := make(chan error, j.Bulk+1)
	begin := processorTime()
	chunk := make([]byte, 256<<10)
	for range j.Bulk {
		s, err := tr.open(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := s.Write([]byte{bulkKind}); err != nil {
			return nil, err
		}
		go func() {
			for {
				if _, err := s.Write(chunk); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	echoes := func() []time.Duration { return nil }
	if j.Echo > 0 {
		var err error
		if echoes, err = j.echo(ctx, tr, failed); err != nil {
			return nil, err
		}
	}
	select {
	case <-stop:
	case err := <-failed:
		return nil, fmt.Errorf("write: %w", err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.Processor = processorTime() - begin
	r.Echoes = echoes()
	return r, ctx.Err()
}

// echo measures round trips on a stream of its own, until the process ends. The function that it returns tells those so far. It
// waits for the first.
func (j job) echo(ctx context.Context, tr transfer, failed chan<- error) (soFar func() []time.Duration, err error) {
	s, err := tr.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write([]byte{echoKind}); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var all []time.Duration
	some := make(chan struct{})
	go func() {
		first := sync.OnceFunc(func() { close(some) })
		message := make([]byte, 32)
		for pause := time.NewTicker(j.Echo); ; <-pause.C {
			sent := monotonic()
			_, err := s.Write(message)
			if err == nil {
				_, err = io.ReadFull(s, message)
			}
			if err != nil {
				failed <- err
				return
			}
			mu.Lock()
			all = append(all, monotonic()-sent)
			mu.Unlock()
			first()
		}
	}()
	return func() []time.Duration {
		select {
		case <-some:
		case <-ctx.Done():
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}, nil
}

// receive takes what comes, and reports when its time is over or the test says stop.
func (j job) receive(ctx context.Context, tr transfer, tell signals, stop <-chan struct{}) (*report, error) {
	var received atomic.Int64
	var first atomic.Int64
	came := make(chan time.Duration, 1)
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	serve := func(s stream) {
		buf := make([]byte, 256<<10)
		kind := buf[:1]
		if _, err := io.ReadFull(s, kind); err != nil {
			fail(err)
			return
		}
		if now := monotonic(); first.CompareAndSwap(0, int64(now)) {
			came <- now
		}
		if kind[0] == echoKind {
			_, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{s}, buf)
			fail(fmt.Errorf("the stream of echoes ended: %w", err))
			return
		}
		for {
			n, err := s.Read(buf)
			received.Add(int64(n))
			if err != nil {
				fail(err)
				return
			}
		}
	}
	go func() {
		for {
			s, err := tr.accept(ctx)
			if err != nil {
				fail(err)
				return
			}
			go serve(s)
		}
	}()
	r := &report{}
	select {
	case r.First = <-came:
		tell.began()
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	begin := processorTime()
	end, over := time.After(j.For), false
	for tick := time.NewTicker(look); r.End == 0; {
		select {
		case <-tick.C:
			if n := received.Load(); n > r.Bytes {
				r.Bytes = n
				r.Progress = append(r.Progress, progress{monotonic(), n})
			}
			if over && r.Bytes > 0 { // A report of nothing would be no figure.
				r.End = monotonic()
			}
		case <-end:
			over = true
		case <-stop:
			over, stop = true, nil
		case err := <-failed:
			return nil, fmt.Errorf("read: %w", err)
		}
	}
	r.Processor = processorTime() - begin
	return r, nil
}

// processorTime is the processor time of this process so far, the kernel's work for it among it.
func processorTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// peakMemory is the most that this process had resident. Getrusage would tell that of the process that started it, if that
// had more.
func peakMemory() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kilobytes); err != nil {
		return 0, fmt.Errorf("/proc/self/status has no VmHWM: %w", err)
	}
	return kilobytes << 10, nil
}
