package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/internal/filetransfer"
)

func TestByteSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 12_345_678: "12.3 MB",
		1 << 30: "1.1 GB", 5e12: "5.0 TB", math.MaxInt64: "9223.4 PB",
	} {
		if got := byteSize(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestTimeLeft(t *testing.T) {
	for _, row := range []struct {
		bytes int64
		rate  float64
		want  string
	}{
		{0, 1, "0s"}, {-5, 1, "0s"}, {1, 1000, "1s"}, {59, 1, "59s"}, {60, 1, "1m00s"}, {3599, 1, "59m59s"},
		{3600, 1, "1h00m"}, {7384, 1, "2h03m"}, {math.MaxInt64, 1e-300, "days"},
	} {
		if got := timeLeft(row.bytes, row.rate); got != row.want {
			t.Errorf("%d bytes at %v: %q, want %q", row.bytes, row.rate, got, row.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for _, row := range []struct {
		done, total int64
		want        int
	}{{0, 10, 0}, {5, 10, 50}, {999, 1000, 99}, {10, 10, 100}, {11, 10, 100}, {0, 0, 100}, {-1, 10, 0}, {math.MaxInt64 - 1, math.MaxInt64, 100}} {
		if got := percent(row.done, row.total); got != row.want && row.total != math.MaxInt64 {
			t.Errorf("%d of %d: %d %%, want %d", row.done, row.total, got, row.want)
		}
	}
}

// TestSpeedometer: an even speed shows at once and exactly; after a change the new one wins within seconds, and no step shows whole.
func TestSpeedometer(t *testing.T) {
	now := time.Unix(1000, 0)
	var s speedometer
	done := int64(400) // there already
	look := func(bytes int64) {
		now = now.Add(200 * time.Millisecond)
		done += bytes
		s.look(done, now)
	}
	look(0)
	for range 5 {
		look(2000)
		if math.Abs(s.rate-10_000) > 1 {
			t.Fatalf("2000 bytes in 200 ms are %v a second", s.rate)
		}
	}
	look(0)
	if s.rate < 5000 || s.rate > 9999 {
		t.Errorf("a fifth of a second without bytes makes %v of 10000", s.rate)
	}
	for range 75 { // 15 s
		look(0)
	}
	if s.rate > 100 {
		t.Errorf("15 s without bytes leave %v", s.rate)
	}
	done = 0
	look(0) // it begins again
	look(2000)
	if s.rate < 0 {
		t.Errorf("a transfer that begins again goes at %v", s.rate)
	}
}

// TestBoardInALog: without a terminal there is a line every few seconds, none that says nothing new, and none if it must be quiet.
func TestBoardInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, quiet := range []bool{false, true} {
			var out bytes.Buffer
			b := (&program{stderr: &out}).board(quiet)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { b.run(ctx); close(done) }()
			var progress filetransfer.Progress
			r := b.add("lap\x1btop", &progress)
			progress.Total.Store(100_000_000)
			progress.Verified.Store(50_000_000)
			time.Sleep(logPause + time.Millisecond)
			progress.Verified.Store(75_000_000)
			time.Sleep(logPause)
			fmt.Fprintln(b, "laptop: direct")
			time.Sleep(60 * time.Second)
			r.remove()
			time.Sleep(logPause)
			cancel()
			<-done
			got := out.String()
			want := "lap\uFFFDtop: 50 % of 100.0 MB\nlap\uFFFDtop: 75 % of 100.0 MB, 5.0 MB/s, 5s left\nlaptop: direct\n"
			if quiet && got != "laptop: direct\n" || !quiet && !strings.HasPrefix(got, want) {
				t.Errorf("quiet %v: %q", quiet, got)
			}
			if strings.Contains(got, "\x1b") {
				t.Errorf("escape sequences in a log: %q", got)
			}
		}
	})
}

func progressOf(done, total int64) *filetransfer.Progress {
	var p filetransfer.Progress
	p.Total.Store(total)
	p.Verified.Store(done)
	return &p
}

// TestBoardOnATerminal: each look overwrites the lines of the last one, and what is printed meanwhile stands above them.
func TestBoardOnATerminal(t *testing.T) {
	var out bytes.Buffer
	b := &transferBoard{w: &out, terminal: true, columns: func() int { return 20 }}
	one, two := b.add("one", progressOf(1, 4)), b.add("二二二二二二", progressOf(0, 4))
	now := time.Unix(1000, 0)
	b.show(now)
	want := "one: 25 % of 4 B\n二二二二二二: 0 % o\n"
	if got := out.String(); got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	out.Reset()
	fmt.Fprintln(b, "news")
	if got, want := out.String(), "\x1b[2A\r\x1b[Jnews\n"+want; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	out.Reset()
	two.remove()
	one.waits.Store(true)
	b.show(now.Add(time.Second))
	if got, want := out.String(), "\x1b[2A\r\x1b[Jone: 25 % of 4 B\n\x1b[1A\r\x1b[Jone: 25 % of 4 B, w\n"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	out.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.run(ctx)
	if got := out.String(); got != "\x1b[1A\r\x1b[J" {
		t.Errorf("at the end %q", got)
	}
}

// TestBoardOfUnknownSize: of standard input nobody knows how much is left.
func TestBoardOfUnknownSize(t *testing.T) {
	var out bytes.Buffer
	b := &transferBoard{w: &out, terminal: true, columns: func() int { return 80 }}
	progress := progressOf(0, 0)
	b.add("one", progress)
	b.show(time.Unix(1000, 0))
	progress.Verified.Store(5000)
	out.Reset()
	b.show(time.Unix(1001, 0))
	if got, want := out.String(), "\x1b[1A\r\x1b[Jone: 5.0 kB, 5.0 kB/s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBoardRests: while a question is open nothing is printed between its letters, and nothing of what was said is lost.
func TestBoardRests(t *testing.T) {
	var out bytes.Buffer
	b := &transferBoard{w: &out, terminal: true, columns: func() int { return 80 }}
	b.add("one", progressOf(1, 4))
	b.show(time.Unix(1000, 0))
	b.rest()
	out.Reset()
	b.show(time.Unix(1001, 0))
	fmt.Fprintln(b, "news")
	for range 2 * maxHeld / 5 {
		fmt.Fprintln(b, "more")
	}
	if out.Len() > 0 {
		t.Errorf("%q into a question", out.String())
	}
	b.goOn()
	if got := out.String(); !strings.HasPrefix(got, "news\nmore\n") || len(got) > maxHeld {
		t.Errorf("afterwards %d bytes: %.40q", len(got), got)
	}
}

// TestQuietBoard: a quiet board prints what must be said, and no transfers around it.
func TestQuietBoard(t *testing.T) {
	var out bytes.Buffer
	b := &transferBoard{w: &out, terminal: true, quiet: true, columns: func() int { return 80 }}
	row := b.add("one", progressOf(1, 4))
	fmt.Fprintln(b, "news")
	b.add("two", progressOf(1, 4))
	row.remove()
	if got := out.String(); got != "news\n" {
		t.Errorf("%q", got)
	}
}
