package filetransfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzLine: no line panics, and what is shown of it is a line without control characters.
func FuzzLine(f *testing.F) {
	for _, line := range []string{helloFrom, entry("a/b", 5), plan(1, 5), `{"type":"have","file":1,"offset":0,"piece":65536,"hashes":"AA"}`, `{"type":"error","error":"x\ny"}`, `{"mtime":"x"}`, "null", "[]"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parseLine(line)
		shown := ""
		if err != nil {
			shown = err.Error()
		} else {
			shown = oneLine(m.Error)
			if why := checkPath(m.Path); why == "" && (!filepath.IsLocal(filepath.FromSlash(m.Path)) || len(m.Path) > maxPath) {
				t.Errorf("the path %q is taken", m.Path)
			}
			if m.Size != nil && (*m.Size < 0 || *m.Size > maxSize) {
				t.Errorf("the size %d is taken", *m.Size)
			}
		}
		if strings.ContainsFunc(shown, unicode.IsControl) || !utf8.ValidString(shown) || len(shown) > maxText+100 {
			t.Errorf("a user would see %q", shown)
		}
	})
}

// FuzzPath: a path that is taken stays in its folder, and so does its part, on each system.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"a/b", "../a", "/a", "a//b", "CON", ".a.turnpike-part", strings.Repeat("日", 80), "a\x00"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if checkPath(p) != "" {
			return
		}
		part := partName(p)
		if !fs.ValidPath(p) || !fs.ValidPath(part) || !isPart(filepath.Base(part)) || checkPath(part) == "" || len(filepath.Base(part)) > maxPart {
			t.Errorf("%q is taken, with the part %q", p, part)
		}
		if windowsRefuses(p) == "" && strings.ContainsAny(p, `\:*?"<>|`) {
			t.Errorf("Windows takes %q", p)
		}
	})
}

// canned is a stream on which given bytes come, and what is written is kept.
type canned struct {
	r    io.Reader // of one goroutine
	over atomic.Bool

	mu    sync.Mutex
	wrote bytes.Buffer
}

func (c *canned) Read(b []byte) (int, error) {
	if c.over.Load() {
		return 0, errReset
	}
	return c.r.Read(b)
}

func (c *canned) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over.Load() {
		return 0, errReset
	}
	return c.wrote.Write(b)
}

func (c *canned) Reset()                           { c.over.Store(true) }
func (c *canned) Close() error                     { return nil }
func (c *canned) CloseWrite() error                { return nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// cannedSender opens one stream files, and streams of blocks that all say the same.
type cannedSender struct {
	lines, answers []byte

	mu     sync.Mutex
	opened bool
}

var errOver = errors.New("over")

func (c *cannedSender) Open(_ context.Context, name string) (Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != StreamFiles {
		return &canned{r: io.MultiReader(strings.NewReader(streamAccepted), bytes.NewReader(c.answers))}, nil
	}
	if c.opened {
		return nil, errOver
	}
	c.opened = true
	return &canned{r: io.MultiReader(strings.NewReader(streamAccepted), bytes.NewReader(c.lines), lateEnd{})}, nil
}

// lateEnd is the end of a stream, long after all that comes on others.
type lateEnd struct{}

func (lateEnd) Read([]byte) (int, error) {
	time.Sleep(time.Minute) // of the bubble's time
	return 0, io.EOF
}

// FuzzReceiver: whatever a sender says, nothing is written outside of the folder, nor more than was announced, and what has a final name
// is as long as was announced.
func FuzzReceiver(f *testing.F) {
	data := []byte("hello")
	sum := sumOf(data)
	answer := append(append(frame{0, 0, 5}.append(nil), data...), sum[:]...)
	f.Add([]byte(helloFrom+"\n"+entry("a", 5)+"\n"+plan(1, 5)+"\n"+`{"type":"end"}`+"\n"), answer)
	f.Add([]byte(helloFrom+"\n"+`{"type":"entry","path":"d","folder":true,"mode":0}`+"\n"+entry("d/a", 5)+"\n"+plan(2, 5)+"\n"+`{"type":"sum","file":1,"sha256":""}`+"\n"), answer)
	f.Add([]byte(helloFrom+"\n"+`{"type":"entry","path":"a"}`+"\n"+plan(1, 0)+"\n"), answer)
	f.Add([]byte(helloFrom+"\n"+entry("../a", 5)+"\n"+plan(1, 5)+"\n"), answer)
	f.Add([]byte(helloFrom+"\n"+entry("a", 5)+"\n"+plan(1, 5)+"\n"+`{"type":"failed","file":0}`+"\n"), frame{0, 0, nothing}.append(nil))
	f.Fuzz(func(t *testing.T, lines, answers []byte) {
		synctest.Test(t, func(t *testing.T) { receiveCanned(t, lines, answers) })
	})
}

func receiveCanned(t *testing.T, lines, answers []byte) {
	dir := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var announced *Plan
	_, err := Receive(t.Context(), &cannedSender{lines: lines, answers: answers}, ReceiverOptions{Dir: dir, Accept: func(_ context.Context, p *Plan) error {
		announced = p
		return nil
	}})
	if err == nil && announced == nil {
		t.Error("a transfer of nothing has succeeded")
	}
	judgeTree(t, dir, announced, len(answers))
}

// judgeTree holds what is in a folder and beside it against what was announced.
func judgeTree(t *testing.T, dir string, p *Plan, answers int) {
	sizes := map[string]int64{}
	if p != nil {
		for _, e := range p.Entries {
			sizes[e.Path] = e.Size
			if !e.Folder {
				sizes[partName(e.Path)] = e.Size
			}
		}
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == dir || err != nil {
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		size, known := sizes[filepath.ToSlash(rel)]
		if !known {
			t.Errorf("%q was not announced", rel)
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			switch final := !isPart(filepath.Base(rel)); {
			case size == unknownSize && info.Size() > int64(maxStreams*maxBarrenStreams*answers),
				size != unknownSize && info.Size() > size,
				size != unknownSize && final && info.Size() != size:
				t.Errorf("%q has %d bytes", rel, info.Size())
			}
		}
		return nil
	})
	if list, _ := os.ReadDir(filepath.Dir(dir)); len(list) != 1 {
		t.Errorf("beside the folder there is %v", list)
	}
}

// cannedReceiver is a receiver's stream files, and then one of blocks.
type cannedReceiver struct {
	files, blocks *canned
	given         int

	over chan struct{}
}

func (c *cannedReceiver) Accept(ctx context.Context) (string, Stream, error) {
	switch c.given++; c.given {
	case 1:
		return StreamFiles, c.files, nil
	case 2:
		return StreamBlocks + "1", c.blocks, nil
	}
	select {
	case <-ctx.Done():
		return "", nil, context.Cause(ctx)
	case <-c.over:
		return "", nil, errOver
	}
}

// FuzzSender: whatever a receiver says and asks, the sender says nothing but its files.
func FuzzSender(f *testing.F) {
	dir := f.TempDir()
	content := randomBytes(1, 3*pieceSize+5)
	write(f, filepath.Join(dir, "top", "a"), content)
	write(f, filepath.Join(dir, "top", "b"), nil)
	s, err := NewSender([]string{filepath.Join(dir, "top")}, SenderOptions{Stdin: strings.NewReader("input"), StdinName: "in"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	const hello = `{"type":"hello","version":1}` + "\n"
	hashes := hash64.EncodeToString(make([]byte, 2*hashSize))
	f.Add([]byte(hello+`{"type":"accept","bytes":5}`+"\n"+`{"type":"sum","file":1}`+"\n"+`{"type":"end"}`+"\n"), frame{1, 0, uint32(len(content))}.append(nil))
	f.Add([]byte(hello+`{"type":"have","file":1,"offset":0,"piece":65536,"hashes":"`+hashes+`"}`+"\n"), frame{1, 5, 100}.append(frame{3, 0, blockSize}.append(nil)))
	f.Add([]byte(hello+`{"type":"error","error":"no","code":"declined"}`+"\n"), frame{2, 0, 1}.append(nil))
	f.Fuzz(func(t *testing.T, lines, requests []byte) {
		c := &cannedReceiver{files: &canned{}, blocks: &canned{r: bytes.NewReader(requests)}, over: make(chan struct{})}
		c.files.r = io.MultiReader(bytes.NewReader(lines), endOf{c.over})
		x := s.Session()
		err := x.Serve(t.Context(), c)
		if err == nil && !bytes.Contains(lines, []byte("end")) {
			t.Error("the session ended well without an end")
		}
		judgeLines(t, c.files.wrote.Bytes())
		judgeAnswers(t, c.blocks.wrote.Bytes(), content)
	})
}

// endOf tells, when it is read, that there is nothing more.
type endOf struct{ over chan struct{} }

func (e endOf) Read([]byte) (int, error) {
	select {
	case <-e.over:
	default:
		close(e.over)
	}
	return 0, io.EOF
}

func judgeLines(t *testing.T, said []byte) {
	said, ok := bytes.CutPrefix(said, []byte(streamAccepted))
	if !ok && len(said) > 0 {
		t.Errorf("the stream begins with %.20q", said)
	}
	for line := range bytes.Lines(said) {
		if _, err := parseLine(bytes.TrimSuffix(line, []byte("\n"))); err != nil || len(line) > maxLine {
			t.Errorf("the sender says %.200q: %v", line, err)
		}
	}
}

// judgeAnswers reads the answers as a receiver does.
func judgeAnswers(t *testing.T, said, content []byte) {
	if bytes.HasPrefix(said, []byte(streamRefused)) {
		return
	}
	said = bytes.TrimPrefix(said, []byte(streamAccepted))
	for len(said) >= frameSize {
		f, err := parseFrame(said)
		if err != nil {
			t.Fatal(err)
		}
		said = said[frameSize:]
		if f.length == nothing {
			continue
		}
		if len(said) < int(f.length)+hashSize {
			return // a breach of the protocol has cut it
		}
		data, sum := said[:f.length], sumOf(said[:f.length])
		want := map[uint32][]byte{1: content, 2: nil, 3: []byte("input")}[f.file]
		if int(f.offset)+int(f.length) > len(want) || !bytes.Equal(data, want[f.offset:][:f.length]) || !bytes.Equal(sum[:], said[f.length:][:hashSize]) {
			t.Fatalf("the answer %+v is wrong", f)
		}
		said = said[int(f.length)+hashSize:]
	}
}
