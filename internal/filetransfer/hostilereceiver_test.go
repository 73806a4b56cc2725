package filetransfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hostileReceiver is a session with one receiver that says what it likes.
type hostileReceiver struct {
	t       *testing.T
	n       *memNet
	files   Stream
	session *Session
	served  chan error
}

func newHostile(t *testing.T) *hostileReceiver {
	t.Helper()
	from := t.TempDir()
	write(t, filepath.Join(from, "top", "a"), randomBytes(1, 3*blockSize+5))
	write(t, filepath.Join(from, "top", "b"), []byte("b"))
	s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
	h := &hostileReceiver{t: t, n: newNet(), session: s.Session(), served: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	go func() { h.served <- h.session.Serve(ctx, h.n) }()
	var err error
	if h.files, err = h.n.Open(ctx, StreamFiles); err != nil {
		t.Fatal(err)
	}
	return h
}

// until reads lines of the sender until one has a text.
func (h *hostileReceiver) until(in lineReader, text string) string {
	h.t.Helper()
	for {
		line, err := in.raw()
		if err != nil {
			h.t.Fatalf("waiting for %s: %v", text, err)
		}
		if strings.Contains(string(line), text) {
			return string(line)
		}
	}
}

// TestHostileReceiver: a receiver that breaks the protocol ends its session, and is told why.
func TestHostileReceiver(t *testing.T) {
	const hello = `{"type":"hello","version":1}` + "\n"
	hashes := hash64.EncodeToString(make([]byte, hashSize))
	many := hash64.EncodeToString(make([]byte, (maxHashes+1)*hashSize))
	for name, c := range map[string]struct{ says, want string }{
		"no hello":       {`{"type":"accept"}` + "\n", "hello"},
		"no JSON":        {"GET / HTTP/1.1\r\n\r\n", "not as it must be"},
		"never-ending":   {hello + strings.Repeat("x", maxLine+1), "65536"},
		"sum of nothing": {hello + `{"type":"sum"}` + "\n", "no file"},
		"sum of folder":  {hello + `{"type":"sum","file":0}` + "\n", "no file 0"},
		"sum beyond":     {hello + `{"type":"sum","file":3}` + "\n", "no file 3"},
		"have of folder": {hello + `{"type":"have","file":0,"piece":1048576,"hashes":"` + hashes + `"}` + "\n", "no file 0"},
		"have nothing":   {hello + `{"type":"have","file":1,"piece":1048576,"hashes":""}` + "\n", "no hashes"},
		"have cut":       {hello + `{"type":"have","file":1,"piece":1048576,"hashes":"AAAA"}` + "\n", "no hashes"},
		"have too many":  {hello + `{"type":"have","file":1,"piece":65536,"hashes":"` + many + `"}` + "\n", "no hashes"},
		"have pieces":    {hello + `{"type":"have","file":1,"piece":1,"hashes":"` + hashes + `"}` + "\n", "pieces"},
		"have no pieces": {hello + `{"type":"have","file":1,"hashes":"` + hashes + `"}` + "\n", "pieces"},
		"have crooked":   {hello + `{"type":"have","file":1,"piece":65536,"offset":1,"hashes":"` + hashes + `"}` + "\n", "pieces"},
		"have beyond":    {hello + `{"type":"have","file":1,"piece":1048576,"offset":4194304,"hashes":"` + hashes + `"}` + "\n", "beyond"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			_, _ = io.WriteString(h.files, c.says)
			if told := h.until(newLineReader(h.files), `"error"`); !strings.Contains(told, c.want) {
				t.Errorf("it is told %s, and not %q", told, c.want)
			}
			if err := <-h.served; !errors.As(err, new(*ProtocolError)) {
				t.Errorf("the session ended with %v", err)
			}
		})
	}
}

// TestHostileRequests: a request for anything but a part of a block of a file ends the session.
func TestHostileRequests(t *testing.T) {
	for name, request := range map[string]frame{
		"folder":    {0, 0, 1},
		"no file":   {3, 0, 1},
		"far file":  {1<<32 - 1, 0, 1},
		"nothing":   {1, 0, 0},
		"too much":  {1, 0, blockSize + 1},
		"border":    {1, blockSize - 1, 2},
		"beyond":    {1, 3 * blockSize, 6},
		"far":       {1, maxSize, 1},
		"overflow":  {1, -1, 1},
		"overflow2": {1, 1<<63 - 1, blockSize},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			_, _ = io.WriteString(h.files, `{"type":"hello","version":1}`+"\n")
			in := newLineReader(h.files)
			h.until(in, `"plan"`)
			blocks, err := h.n.Open(t.Context(), StreamBlocks+"1")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = blocks.Write(request.append(nil))
			h.until(in, `"error"`)
			if err := <-h.served; !errors.As(err, new(*ProtocolError)) {
				t.Errorf("the session ended with %v", err)
			}
		})
	}
}

// TestStreamsAreBounded: streams that are too many, too early or of another name are refused, and the others go on.
func TestStreamsAreBounded(t *testing.T) {
	h := newHostile(t)
	refused := func(name string) {
		t.Helper()
		s, err := h.n.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := expectOK(s); !errors.As(err, new(*RemoteError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused(StreamBlocks + "1")
	_, _ = io.WriteString(h.files, `{"type":"hello","version":1}`+"\n")
	h.until(newLineReader(h.files), `"plan"`)
	var first Stream
	for i := range maxStreams {
		s, err := h.n.Open(t.Context(), fmt.Sprint(StreamBlocks, i+2))
		if err != nil {
			t.Fatal(err)
		}
		if err := expectOK(s); err != nil {
			t.Fatal(err)
		}
		first = s
	}
	for _, name := range []string{StreamBlocks + "10", StreamBlocks, StreamBlocks + "x", "blocks", "tcp/22", ""} {
		refused(name)
	}
	for range maxHandlers { // some of which are not even refused
		s, err := h.n.Open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := expectOK(s); err == nil {
			t.Error("a stream of another name is served")
		}
	}
	_, _ = first.Write(frame{2, 0, 1}.append(nil))
	answer := make([]byte, frameSize+1+hashSize)
	if _, err := io.ReadFull(first, answer); err != nil || answer[frameSize] != 'b' {
		t.Errorf("the answer is %q, %v", answer, err)
	}
}

// TestFilesAnew: a new stream files ends the one before, and its streams of blocks.
func TestFilesAnew(t *testing.T) {
	h := newHostile(t)
	_, _ = io.WriteString(h.files, `{"type":"hello","version":1}`+"\n")
	plan := h.until(newLineReader(h.files), `"session"`)
	m, err := parseLine([]byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.n.Open(t.Context(), StreamFiles)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(again, `{"type":"hello","version":1,"session":"`+m.Session+`"}`+"\n"+`{"type":"sum","file":2}`+"\n")
	in := newLineReader(again)
	if line := h.until(in, `"type":`); !strings.Contains(line, m.Session) {
		t.Errorf("the new stream begins with %s", line)
	}
	if line := h.until(in, `"type":`); !strings.Contains(line, `"sum"`) {
		t.Errorf("to a receiver that knows the session it says %s", line)
	}
	if _, err := io.Copy(io.Discard, h.files); err == nil {
		t.Error("the former stream has not broken")
	}
}

// TestManySums: as many sums as may be asked for at once are all answered.
func TestManySums(t *testing.T) {
	h := newHostile(t)
	_, _ = io.WriteString(h.files, `{"type":"hello","version":1}`+"\n"+strings.Repeat(`{"type":"sum","file":1}`+"\n", maxSums))
	in := newLineReader(h.files)
	for range maxSums {
		h.until(in, `"sum"`)
	}
	_, _ = io.WriteString(h.files, `{"type":"end","failed":2}`+"\n")
	h.until(in, `"end"`)
	if err := <-h.served; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	if failed, _ := h.session.Left(); failed != 2 {
		t.Errorf("%d files failed", failed)
	}
}

// TestFollowersAreBounded: however many sums are asked for, a sender reads few files at once.
func TestFollowersAreBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a")
	write(t, file, []byte("x"))
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{}, file)
		closers := make(chan func() error, maxFollowers+1)
		var opening sync.WaitGroup
		for range maxFollowers + 1 {
			opening.Go(func() {
				_, done, err := s.opener(0)()
				if err != nil {
					t.Error(err)
					return
				}
				closers <- done
			})
		}
		synctest.Wait()
		if len(closers) != maxFollowers {
			t.Errorf("%d files are open, not %d", len(closers), maxFollowers)
		}
		for range maxFollowers + 1 {
			if err := (<-closers)(); err != nil {
				t.Error(err)
			}
		}
		opening.Wait()
	})
}
