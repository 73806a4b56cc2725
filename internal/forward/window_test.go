package forward

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// windows returns the two ends of a stream with windows.
func windows(t testing.TB) (near, far *window, b *budget) {
	one, other := pair(t, "tcp/localhost:80")
	b = &budget{}
	near, far = newWindow(one, b), newWindow(other, b)
	t.Cleanup(func() {
		near.Reset()
		far.Reset()
		if left := b.taken.Load(); left != 0 {
			t.Errorf("%d bytes of the budget are not given back", left)
		}
	})
	return near, far, b
}

// TestWindow: what nobody reads waits at the sender, but for one window. Once it is read, all of it comes.
func TestWindow(t *testing.T) {
	near, far, _ := windows(t)
	data := make([]byte, 3*firstWindow)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := near.Write(data)
		if err == nil {
			err = near.CloseWrite()
		}
		sent <- err
	}()
	eventually(t, func() bool {
		far.mu.Lock()
		defer far.mu.Unlock()
		return len(far.waiting)-far.read == firstWindow
	})
	near.mu.Lock()
	if near.credit != 0 {
		t.Errorf("the sender still has credit for %d bytes", near.credit)
	}
	near.mu.Unlock()
	if _, err := far.Write([]byte("the other way")); err != nil { // it goes on meanwhile
		t.Fatal(err)
	}
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(near); err != nil || string(got) != "the other way" {
		t.Errorf("%q, %v", got, err)
	}
	got, err := io.ReadAll(far)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("%d bytes of %d, or others, %v", len(got), len(data), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestWindowGrows: a reader that is as fast as the sender gets a greater window, within the budget.
func TestWindowGrows(t *testing.T) {
	near, far, b := windows(t)
	go func() { _ = Copy(near, io.LimitReader(zeros{}, 64<<20)); _ = near.CloseWrite() }()
	if n, err := io.Copy(io.Discard, struct{ io.Reader }{far}); err != nil || n != 64<<20 {
		t.Fatal(n, err)
	}
	far.mu.Lock()
	size := far.size
	far.mu.Unlock()
	if size <= firstWindow || size > mostWindow || b.taken.Load() != int64(size-firstWindow) {
		t.Errorf("the window is of %d bytes, the budget has %d", size, b.taken.Load())
	}
	full := &budget{}
	full.taken.Store(maxBudget)
	if full.take(1) || full.taken.Load() != maxBudget {
		t.Error("the budget has no end")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestWindowAllocations: what is read as it comes costs no heap object.
func TestWindowAllocations(t *testing.T) {
	near, far, _ := windows(t)
	data, got := make([]byte, 8<<10), make([]byte, 8<<10)
	carry := func() {
		if _, err := near.Write(data); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, got); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // until the buffers have grown
		carry()
	}
	if n := testing.AllocsPerRun(1000, carry); n >= 1 {
		t.Errorf("a message costs %v objects", n)
	}
}

// TestWindowEnds: an end that is none of the protocol's is a break, and a break ends those who wait.
func TestWindowEnds(t *testing.T) {
	t.Run("a break", func(t *testing.T) {
		near, far, _ := windows(t)
		ended := make(chan error, 1)
		go func() {
			_, err := near.Write(make([]byte, 4*firstWindow))
			ended <- err
		}()
		eventually(t, func() bool {
			far.mu.Lock()
			defer far.mu.Unlock()
			return len(far.waiting) == firstWindow
		})
		far.Reset()
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if _, err := io.ReadAll(near); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
	t.Run("no end", func(t *testing.T) {
		one, other := pair(t, "tcp/localhost:80")
		far := newWindow(other, &budget{})
		defer far.Reset()
		_, _ = one.Write([]byte{frameData, 0, 0, 1, 'x'})
		_ = one.Close()
		if got, err := io.ReadAll(far); string(got) != "x" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, %v", got, err)
		}
	})
	for name, bytes := range map[string][]byte{
		"a kind that is none":    {3, 0, 0, 0},
		"data behind the end":    {frameEnd, 0, 0, 0, frameData, 0, 0, 1, 'x'},
		"two ends":               {frameEnd, 0, 0, 0, frameEnd, 0, 0, 0},
		"an end with a length":   {frameEnd, 0, 0, 1},
		"more credit than sense": append(bytes.Repeat([]byte{frameCredit, 255, 255, 255}, 3), 0),
		"more than the window":   append([]byte{frameData, 255, 255, 255}, make([]byte, firstWindow+1)...),
	} {
		t.Run(name, func(t *testing.T) {
			one, other := pair(t, "tcp/localhost:80")
			far := newWindow(other, &budget{})
			defer far.Reset()
			_, _ = one.Write(bytes)
			_ = one.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadAll(one); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the stream has ended with %v", err)
			}
		})
	}
}

// FuzzWindow: whatever a peer sends, no more than the window waits here, and what is read is what its frames have.
func FuzzWindow(f *testing.F) {
	f.Add([]byte{frameData, 0, 0, 2, 'h', 'i', frameCredit, 0, 1, 0, frameEnd, 0, 0, 0})
	f.Add([]byte{frameData, 0, 0, 0, frameEnd, 0, 0, 0, frameEnd, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		w := newWindow(deafStream{bytes.NewReader(stream)}, &budget{})
		<-w.done
		w.mu.Lock()
		waiting := bytes.Clone(w.waiting)
		w.mu.Unlock()
		if len(waiting) > firstWindow {
			t.Errorf("%d bytes wait", len(waiting))
		}
		got, err := io.ReadAll(w)
		if !bytes.Equal(got, waiting) || len(got) > len(stream) {
			t.Errorf("%q is read, and %q has come", got, waiting)
		}
		if w.ended != (err == nil) {
			t.Errorf("ended: %v, and reading ends with %v", w.ended, err)
		}
		w.Reset()
	})
}
