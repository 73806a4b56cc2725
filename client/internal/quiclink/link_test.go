package quiclink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// side is a Link with what it told.
type side struct {
	link.Link
	mu    sync.Mutex
	paths []link.Path
	sent  []wire.Payload
	other *side // Who gets what it sends.
}

func (s *side) told() []link.Path {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]link.Path(nil), s.paths...)
}

// pairOf makes two Links whose signals reach each other.
func pairOf(t testing.TB, change func(a, b *link.Config)) (a, b *side) {
	t.Helper()
	a, b = &side{}, &side{}
	a.other, b.other = b, a
	var ready sync.WaitGroup
	ready.Add(1)
	config := func(own *side) link.Config {
		return link.Config{
			Send: func(p wire.Payload) {
				ready.Wait()
				own.mu.Lock()
				own.sent = append(own.sent, p)
				to := own.other
				own.mu.Unlock()
				to.Receive(p)
			},
			OnPath: func(p link.Path) {
				own.mu.Lock()
				defer own.mu.Unlock()
				own.paths = append(own.paths, p)
			},
			Logger: testLog(),
		}
	}
	ca, cb := config(a), config(b)
	ca.Offers, cb.Polite = true, true
	if change != nil {
		change(&ca, &cb)
	}
	var err error
	if a.Link, err = New(ca); err != nil {
		t.Fatal(err)
	}
	if b.Link, err = New(cb); err != nil {
		t.Fatal(err)
	}
	ready.Done()
	t.Cleanup(func() {
		var g sync.WaitGroup
		g.Go(func() { _ = a.Close() })
		g.Go(func() { _ = b.Close() })
		g.Wait()
	})
	return a, b
}

func testLog() *slog.Logger {
	if os.Getenv("LINK_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// streamsOf opens a stream at a, and accepts it at b.
func streamsOf(t testing.TB, a, b *side, name string) (link.Stream, link.Stream) {
	t.Helper()
	ctx := within(t)
	x, err := a.Open(ctx, name)
	if err != nil {
		t.Fatal("open:", err)
	}
	y, err := b.Accept(ctx)
	if err != nil {
		t.Fatal("accept:", err)
	}
	if y.Name() != name {
		t.Fatalf("the stream is named %q, not %q", y.Name(), name)
	}
	return x, y
}

func TestEcho(t *testing.T) {
	a, b := pairOf(t, nil)
	for _, p := range [][2]*side{{a, b}, {b, a}} {
		x, y := streamsOf(t, p[0], p[1], "echo")
		go func() { _, _ = io.Copy(y, y); _ = y.CloseWrite() }()
		data := bytes.Repeat([]byte("0123456789"), 1<<16)
		go func() { _, _ = x.Write(data); _ = x.CloseWrite() }()
		got, err := io.ReadAll(x)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back, and not what was sent", len(got))
		}
	}
	path, ok := a.Path()
	if !ok || path.Relayed || path.Transport != link.QUIC || path.Protocol != "udp" || path.RTT <= 0 || !path.Remote.IsValid() || !path.Local.IsValid() {
		t.Errorf("the path is %+v", path)
	}
	if told := b.told(); len(told) == 0 || told[0].Transport != link.QUIC {
		t.Errorf("the other side was told of %v", told)
	}
}

func TestDatagrams(t *testing.T) {
	a, b := pairOf(t, nil)
	ctx := within(t)
	streamsOf(t, a, b, "first")
	for _, p := range [][2]*side{{a, b}, {b, a}} {
		if err := p[0].SendDatagram([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got, err := p[1].ReceiveDatagram(ctx)
		if err != nil || string(got) != "hello" {
			t.Fatalf("received %q, %v", got, err)
		}
	}
	if err := a.SendDatagram(make([]byte, 64<<10)); err == nil {
		t.Error("a datagram longer than any path was taken")
	}
}

func TestHalfClose(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "half")
	if _, err := x.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := x.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(y)
	if err != nil || string(got) != "question" {
		t.Fatalf("read %q, %v", got, err)
	}
	if _, err := y.Write([]byte("answer")); err != nil {
		t.Fatal("writing after the other side's end:", err)
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err = io.ReadAll(x); err != nil || string(got) != "answer" {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestDeadline(t *testing.T) {
	a, b := pairOf(t, nil)
	x, _ := streamsOf(t, a, b, "late")
	if err := x.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := x.Read(make([]byte, 1))
	var n net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("reading past the deadline gives %v", err)
	}
}

func TestReset(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "reset")
	x.Reset()
	if _, err := io.ReadAll(y); err == nil {
		t.Error("the other side reads an end in order")
	}
	y.Reset()
	closesAtOnce(t, a) // what was given up holds nobody
}

// TestCloseEndsWrite closes a stream whose Write waits for a reader that does not read.
func TestCloseEndsWrite(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "stuck")
	wrote := make(chan error, 1)
	go func() {
		_, err := x.Write(make([]byte, 64<<20)) // more than all windows take
		wrote <- err
	}()
	if _, err := y.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-wrote:
		if err == nil {
			t.Error("Write says that all was written")
		}
	case <-within(t).Done():
		t.Fatal("Write goes on waiting")
	}
	if _, err := io.Copy(io.Discard, y); err == nil {
		t.Error("the other side reads an end in order")
	}
}

// TestReadIsTold ends a stream twice, as programs do: CloseWrite, and Close after the answer. The other side says once that it has read all.
func TestReadIsTold(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "twice")
	if err := x.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(y); err != nil {
		t.Fatal(err)
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(x); err != nil {
		t.Fatal(err)
	}
	c := x.(*stream).conn
	if c.settle(within(t)); c.unreadStreams() > 0 {
		t.Fatal("the other side does not say that it has read the end")
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	closesAtOnce(t, a)
}

// closesAtOnce fails t if Close waits for the other side in vain.
func closesAtOnce(t *testing.T, s *side) {
	t.Helper()
	begin := time.Now()
	_ = s.Close()
	if d := time.Since(begin); d > closeTimeout/2 {
		t.Errorf("Close took %v", d)
	}
}

// TestWrittenArrives closes a Link at once after writing.
func TestWrittenArrives(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "file")
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	var sum [sha256.Size]byte
	var got int
	var failed error
	var reading sync.WaitGroup
	reading.Go(func() {
		all, err := io.ReadAll(y)
		sum, got, failed = sha256.Sum256(all), len(all), err
		_ = y.Close()
	})
	if _, err := x.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	if failed != nil || sum != sha256.Sum256(data) {
		t.Errorf("%d bytes arrived, %v", got, failed)
	}
}

// TestDocumentedSDP holds that the page for other implementations shows what is sent.
func TestDocumentedSDP(t *testing.T) {
	page, err := os.ReadFile("../../../docs/peer-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```sdp\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no SDP")
	}
	x, err := parseTerms(text)
	if err != nil {
		t.Fatal(err)
	}
	if sent := strings.ReplaceAll(x.marshal(), "\r\n", "\n"); sent != text {
		t.Errorf("the page shows\n%s\nbut what is sent is\n%s", text, sent)
	}
}

func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	for i, step := range []struct {
		after time.Duration
		n     int
		bulk  bool
	}{
		{0, 100, false},
		{time.Millisecond, bulkRate, true},
		{2 * time.Second, 100, true}, // The second before was of bulk.
		{2 * time.Second, 100, false},
		{time.Millisecond, 100, false},
	} {
		was := p.bulk
		now = now.Add(step.after)
		if bulk, changed := p.add(step.n, now); bulk != step.bulk || changed != (bulk != was) {
			t.Errorf("step %d: bulk %v, changed %v", i, bulk, changed)
		}
	}
}

// TestCloseResets holds that a stream that was left open does not end as if it were complete.
func TestCloseResets(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "open")
	if _, err := x.Write([]byte("half of it")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(y, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if _, err := y.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the other side reads %v", err)
	}
	if _, err := x.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed link gives %v", err)
	}
	if _, err := a.Open(within(t), "late"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("opening on a closed link gives %v", err)
	}
}
