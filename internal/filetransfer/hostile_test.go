package filetransfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a sender that says what it likes: lines on files, and an answer to each request. It ends when the receiver does.
type script struct {
	lines  []string
	answer func(frame) []byte
	sum    string                         // answers each sum, if it is not empty
	after  func(w io.Writer, line string) // what follows a line of the receiver
}

const helloFrom = `{"type":"hello","version":1,"session":"s"}`

// run plays the sender against a receiver, and returns what the receiver says.
func (s script) run(t testing.TB, o ReceiverOptions) (*Result, error) {
	t.Helper()
	n := newNet()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			name, stream, err := n.Accept(ctx)
			if err != nil {
				return
			}
			if name == StreamFiles {
				go s.files(stream)
			} else {
				go s.blocks(stream)
			}
		}
	}()
	defer func() { <-served }()
	defer cancel()
	return Receive(ctx, n, o)
}

func (s script) files(stream Stream) {
	_, _ = io.WriteString(stream, streamAccepted)
	for _, line := range s.lines {
		if _, err := io.WriteString(stream, line+"\n"); err != nil {
			return
		}
	}
	for in := newLineReader(stream); ; {
		line, err := in.raw()
		if err != nil {
			return
		}
		m, _ := parseLine(line)
		switch {
		case s.after != nil:
			s.after(stream, string(line))
		case m.Type == "sum":
			fmt.Fprintf(stream, `{"type":"sum","file":%d,"sha256":"%s"}`+"\n", *m.File, s.sum)
		case m.Type == "end":
			_, _ = io.WriteString(stream, `{"type":"end"}`+"\n")
		}
	}
}

func (s script) blocks(stream Stream) {
	_, _ = io.WriteString(stream, streamAccepted)
	for {
		var b [frameSize]byte
		if _, err := io.ReadFull(stream, b[:]); err != nil {
			_ = stream.Close()
			return
		}
		f, _ := parseFrame(b[:])
		if _, err := stream.Write(s.answer(f)); err != nil {
			return
		}
	}
}

// honest answers a request with zeros.
func honest(f frame) []byte {
	b := make([]byte, f.length)
	sum := sumOf(b)
	return append(append(f.append(nil), b...), sum[:]...)
}

// only lists what is in a folder and beside it.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	_ = filepath.WalkDir(filepath.Dir(dir), func(p string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(filepath.Dir(dir), p); err == nil && p != dir && rel != "." {
			got = append(got, strings.TrimPrefix(rel, filepath.Base(dir)+"/"))
		}
		return err
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there is %q, and should be %q", got, want)
	}
}

func entry(p string, size int64) string {
	return fmt.Sprintf(`{"type":"entry","path":%q,"size":%d}`, p, size)
}

func plan(entries int, bytes int64) string {
	return fmt.Sprintf(`{"type":"plan","entries":%d,"bytes":%d}`, entries, bytes)
}

// TestHostilePlan: no list makes a receiver write outside of its folder, or write at all.
func TestHostilePlan(t *testing.T) {
	many := make([]string, 0, maxEntries+3)
	many = append(many, helloFrom)
	for i := range maxEntries + 1 {
		many = append(many, entry(fmt.Sprint(i), 0))
	}
	long := []string{helloFrom}
	for i := range maxPathBytes/4000 + 1 {
		long = append(long, entry(strings.Repeat(strings.Repeat("x", 199)+"/", 19)+fmt.Sprint(i), 0))
	}
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"climbs":           {[]string{helloFrom, entry("../evil", 1), plan(1, 1)}, "climbs"},
		"absolute":         {[]string{helloFrom, entry("/tmp/evil", 1), plan(1, 1)}, "absolute"},
		"control":          {[]string{helloFrom, `{"type":"entry","path":"a\u001b[2J","size":1}`, plan(1, 1)}, "control character"},
		"part":             {[]string{helloFrom, entry(".a.turnpike-part", 1), plan(1, 1)}, "unfinished"},
		"twice":            {[]string{helloFrom, entry("a", 1), entry("a", 1), plan(2, 2)}, "twice"},
		"no folder":        {[]string{helloFrom, entry("a/b", 1), plan(1, 1)}, "no folder"},
		"in a file":        {[]string{helloFrom, entry("a", 1), entry("a/b", 1), plan(2, 2)}, "no folder"},
		"count":            {[]string{helloFrom, entry("a", 1), plan(2, 1)}, "does not say"},
		"bytes":            {[]string{helloFrom, entry("a", 1), plan(1, 2)}, "does not say"},
		"nothing":          {[]string{helloFrom, plan(0, 0)}, "does not say"},
		"negative":         {[]string{helloFrom, entry("a", -1), plan(1, 0)}, "out of range"},
		"huge":             {[]string{helloFrom, entry("a", 1<<53), plan(1, 1)}, "out of range"},
		"huge together":    {[]string{helloFrom, entry("a", 1<<53-1), entry("b", 1), plan(2, 1)}, "out of range"},
		"too many":         {many, "more than 100000"},
		"too long":         {long, "no folder"},
		"no hello":         {[]string{plan(0, 0)}, "hello"},
		"version":          {[]string{`{"type":"hello","version":0,"session":"s"}`}, "hello"},
		"no session":       {[]string{`{"type":"hello","version":1}`}, "hello"},
		"no JSON":          {[]string{"hello"}, "not as it must be"},
		"no UTF-8":         {[]string{"{\"type\":\"hello\xff\"}"}, "UTF-8"},
		"never-ending":     {[]string{helloFrom, strings.Repeat("x", 1<<20)}, "65536"},
		"end":              {[]string{helloFrom, entry("a", 1), plan(1, 1), `{"type":"end"}`}, "ends before"},
		"same":             {[]string{helloFrom, entry("a", 1), plan(1, 1), `{"type":"same"}`, `{"type":"same"}`}, "unasked"},
		"failed":           {[]string{helloFrom, entry("a", 1), plan(1, 1), `{"type":"failed","file":1}`}, "no file"},
		"failed, negative": {[]string{helloFrom, entry("a", 1), plan(1, 1), `{"type":"failed","file":-1}`}, "no file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s := script{lines: c.lines, answer: func(frame) []byte { return nil }}
			_, err := s.run(t, ReceiverOptions{Dir: dir})
			if !errors.As(err, new(*ProtocolError)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the receiver says %v, and should say %q", err, c.want)
			}
			if len(c.lines) < 4 || !strings.HasPrefix(c.lines[2], `{"type":"plan"`) {
				only(t, dir)
			}
		})
	}
}

// TestHostileAnswers: bytes that were not asked for or are not right never have a final name, and cost no more disk than was announced.
func TestHostileAnswers(t *testing.T) {
	const size = 2*blockSize + 5
	for name, c := range map[string]struct {
		answer func(frame) []byte
		want   string
	}{
		"wrong hash":   {func(f frame) []byte { b := honest(f); b[len(b)-1]++; return b }, "SHA-256"},
		"other file":   {func(f frame) []byte { f.file++; return honest(f) }, "not to the request"},
		"other offset": {func(f frame) []byte { f.offset += blockSize; return honest(f) }, "not to the request"},
		"far offset":   {func(f frame) []byte { f.offset = -1; return honest(f) }, "out of range"},
		"longer":       {func(f frame) []byte { f.length++; return honest(f) }, "length"},
		"shorter":      {func(f frame) []byte { f.length--; return honest(f) }, "length"},
		"endless":      {func(f frame) []byte { f.length = 1 << 31; return f.append(nil) }, "length"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s := script{lines: []string{helloFrom, entry("a", size), plan(1, size)}, answer: c.answer}
			_, err := s.run(t, ReceiverOptions{Dir: dir})
			if !errors.As(err, new(*ProtocolError)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the receiver says %v, and should say %q", err, c.want)
			}
			only(t, dir, ".a.turnpike-part")
			if info, err := os.Stat(filepath.Join(dir, ".a.turnpike-part")); err != nil || info.Size() > size {
				t.Errorf("the part has %v bytes, %v", info.Size(), err)
			}
		})
	}
}

// TestWrongSum: a file whose SHA-256 is another one keeps the name of a part.
func TestWrongSum(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sumOf([]byte("something else"))
	s := script{lines: []string{helloFrom, entry("a", blockSize+1), entry("b", 1), plan(2, blockSize+2)}, answer: honest, sum: hash64.EncodeToString(sum[:])}
	result, err := s.run(t, ReceiverOptions{Dir: dir})
	if err != nil || len(result.Left) != 1 || result.Left[0].Why != errWrongSum.Error() || result.Files != 1 {
		t.Errorf("the receiver says %v, %+v", err, result)
	}
	only(t, dir, ".a.turnpike-part", "b")
}

// TestTwoEnds: a file without a size has one end, and all bytes before it.
func TestTwoEnds(t *testing.T) {
	const none = -1
	type answer struct{ index, n int64 }
	for name, answers := range map[string][]answer{
		"two ends":        {{0, blockSize}, {2, 5}, {1, 5}},
		"the same twice":  {{0, blockSize}, {1, 5}, {1, 5}},
		"behind the end":  {{1, 5}, {2, blockSize}},
		"an end before":   {{0, blockSize}, {2, blockSize}, {1, 5}},
		"a hole":          {{1, none}, {2, blockSize}},
		"a hole, late":    {{2, blockSize}, {1, none}},
		"none at the end": {{0, blockSize}, {2, 5}, {2, none}},
		"end behind none": {{2, none}, {2, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			e := Entry{Path: "a", Size: unknownSize}
			r := &receiver{plan: &Plan{Entries: []Entry{e}}, now: new(Progress), status: make([]status, 1)}
			r.changed = sync.NewCond(&r.mu)
			f := newFile(0, &e)
			r.activate(f)
			for i, a := range answers {
				p := piece{f, a.index * blockSize, blockSize}
				var err error
				if a.n == none {
					err = r.none(p)
				} else {
					err = r.got(p, a.n, [hashSize]byte{})
				}
				if last := i == len(answers)-1; last != errors.As(err, new(*ProtocolError)) {
					t.Errorf("answer %d: %v", i, err)
				}
			}
		})
	}
}

// TestLostPieces: nobody asks for what lacks of a file that is lost, and it is closed once, when nobody uses it any more.
func TestLostPieces(t *testing.T) {
	for _, when := range []string{"given back before", "given back after"} {
		e := Entry{Path: "a", Size: 3 * blockSize}
		r := &receiver{plan: &Plan{Entries: []Entry{e}}, now: new(Progress), status: make([]status, 1), allRead: true}
		r.changed = sync.NewCond(&r.mu)
		f := newFile(0, &e)
		r.activate(f)
		l := lane{window: streamWindow, most: streamWindow}
		var taken []piece
		for range 3 {
			p, _ := r.take(t.Context(), &l)
			taken = append(taken, p)
		}
		if when == "given back after" {
			r.leave(0, "lost", false)
		}
		for _, p := range taken {
			r.untake(&l, p, true)
		}
		if when == "given back before" {
			r.leave(0, "lost", false)
		}
		if p, more := r.take(t.Context(), &l); more || r.open != 0 || l.bytes != 0 {
			t.Errorf("%s: %+v is asked for, %d files are open, %d bytes under way", when, p, r.open, l.bytes)
		}
	}
}

// TestSilentSender: a sender that has nothing and says nothing about it costs a file and a few seconds; one that does not even begin ends the
// attempt.
func TestSilentSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script{lines: []string{helloFrom, entry("a", 5), entry("b", 5), plan(2, 10)}, answer: func(f frame) []byte {
			if f.file == 0 {
				f.length = nothing
				return f.append(nil)
			}
			return honest(f)
		}}
		began := time.Now()
		result, err := s.run(t, ReceiverOptions{Dir: t.TempDir()})
		if err != nil || len(result.Left) != 1 || result.Files != 1 || time.Since(began) > 10*time.Second {
			t.Errorf("after %v: %v, %+v", time.Since(began), err, result)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		mute := muteOpener{}
		_, err := Receive(t.Context(), mute, ReceiverOptions{Dir: t.TempDir()})
		if err == nil || time.Since(began) > 10*time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// muteOpener opens streams on which nothing comes.
type muteOpener struct{}

func (muteOpener) Open(context.Context, string) (Stream, error) {
	mine, _ := pair()
	return mine, nil
}

// TestFarTimes: a time that no system takes leaves a file its own, and does not become another one. Times that systems take are set.
func TestFarTimes(t *testing.T) {
	for mtime, year := range map[string]int{
		"0001-01-01T00:00:01Z": 0, "1600-05-01T08:00:00Z": 0, "2300-05-01T08:00:00Z": 0, "9999-12-31T23:59:59Z": 0,
		"1970-01-01T00:00:00Z": 1970, "2026-05-01T08:00:00Z": 2026, "2200-05-01T08:00:00Z": 2200,
	} {
		begin, dir := time.Now(), t.TempDir()
		s := script{answer: honest, sum: fmt.Sprintf("%x", sumOf(make([]byte, 5))), lines: []string{
			helloFrom,
			fmt.Sprintf(`{"type":"entry","path":"d","folder":true,"mtime":%q}`, mtime),
			fmt.Sprintf(`{"type":"entry","path":"d/a","size":5,"mtime":%q}`, mtime),
			plan(2, 5),
		}}
		if _, err := s.run(t, ReceiverOptions{Dir: dir}); err != nil {
			t.Errorf("%s: %v", mtime, err)
			continue
		}
		for _, name := range []string{"d", "d/a"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Errorf("%s: %v", mtime, err)
				continue
			}
			got := info.ModTime().UTC()
			if year == 0 && got.Before(begin.Add(-time.Minute)) || year != 0 && got.Year() != year {
				t.Errorf("%s: %s has %v", mtime, name, got)
			}
		}
	}
}
