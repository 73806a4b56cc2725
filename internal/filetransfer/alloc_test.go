package filetransfer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// discard is a stream that takes everything, and brings the same bytes again and again.
type discard struct {
	canned
	bytes []byte
	at    int
}

func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) Read(b []byte) (int, error) {
	if d.at == len(d.bytes) {
		d.at = 0
	}
	n := copy(b, d.bytes[d.at:])
	d.at += n
	return n, nil
}

// TestBlockAllocatesNothing: neither side allocates for a block.
func TestBlockAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	content := randomBytes(1, 3*blockSize)
	write(t, filepath.Join(dir, "a"), content)
	s := newSender(t, SenderOptions{}, filepath.Join(dir, "a"))
	c := &control{}
	c.ctx, c.cancel = context.WithCancelCause(t.Context())
	defer c.cancel(nil)
	v := &server{x: s.Session(), c: c, stream: &discard{}, in: bufio.NewReader(bytes.NewReader(nil)), out: make([]byte, 0, serveBuffer), hash: sha256.New()}
	defer func() { _ = v.open.Close() }()
	request := frame{0, blockSize, blockSize}
	answer := func() {
		if err := v.answer(0, request); err != nil {
			t.Fatal(err)
		}
		v.open.checked = time.Now() // which looks at the file only now and then
	}
	if n := testing.AllocsPerRun(50, answer); n > 0 {
		t.Errorf("a sender allocates %v times for a block", n)
	}

	part, err := os.OpenFile(filepath.Join(dir, ".a.turnpike-part"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	r := &receiver{now: new(Progress)}
	r.changed = sync.NewCond(&r.mu)
	f := newFile(0, &s.Entries()[0])
	f.part = part
	sum := sumOf(content[blockSize:][:blockSize])
	from := &discard{bytes: append(append(request.append(nil), content[blockSize:][:blockSize]...), sum[:]...)}
	get := &fetcher{a: &attempt{r: r}, hash: sha256.New(), chunk: make([]byte, chunkSize)}
	f.blocks = 1 << 20
	take := func() {
		if again, err := get.piece(piece{f, blockSize, blockSize}, from); again || err != nil {
			t.Fatal(again, err)
		}
	}
	if n := testing.AllocsPerRun(50, take); n > 0 {
		t.Errorf("a receiver allocates %v times for a block", n)
	}
}
