package signal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// appendFrame appends a frame as a client sends it, or without a mask.
func appendFrame(b []byte, size int, masked bool) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	b = append(b, 0x81)
	switch {
	case size < 126:
		b = append(b, mask|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(size))
	}
	if masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, bytes.Repeat([]byte{0xff}, size)...)
}

// TestFrameEnds holds that the ends of frames are found, however their bytes come.
func TestFrameEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 125, 126, 127, 65535, 65536, 70_000}
	for range 2000 {
		var stream []byte
		ends := map[int]bool{}
		for range 1 + random.IntN(5) {
			stream = appendFrame(stream, sizes[random.IntN(len(sizes))], random.IntN(4) > 0)
			ends[len(stream)] = true
		}
		var f frameEnds
		for at := 0; at < len(stream); {
			n := f.take(stream[at:min(len(stream), at+1+random.IntN(1<<random.IntN(18)))])
			if at += n; n == 0 || f.isEnd() != ends[at] {
				t.Fatalf("after %d of %d bytes: took %d, an end: %v, want %v", at, len(stream), n, f.isEnd(), ends[at])
			}
		}
	}
}

// FuzzFrameEnds: where frames end does not depend on how the bytes come, and no byte is passed over.
func FuzzFrameEnds(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, 5, true), 130, true), uint8(3))
	f.Add(appendFrame(nil, 70_000, false), uint8(200))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		var whole, parts frameEnds
		ends := map[int]bool{}
		for at := 0; at < len(stream); {
			n := whole.take(stream[at:])
			if n < 1 || n > len(stream)-at {
				t.Fatalf("took %d of %d", n, len(stream)-at)
			}
			at += n
			ends[at] = whole.isEnd()
		}
		for at := 0; at < len(stream); {
			at += parts.take(stream[at:min(len(stream), at+1+int(step))])
			if parts.isEnd() != ends[at] && (parts.isEnd() || ends[at]) {
				t.Fatalf("an end after %d bytes: %v, not %v", at, parts.isEnd(), ends[at])
			}
		}
	})
}

// TestLazyConnRests holds that a reader rests when it is told to between two frames, and never within one or with bytes in hand.
func TestLazyConnRests(t *testing.T) {
	near, c := lazyPair(t)
	awaited := make(chan bool)
	await := func() { go func() { awaited <- c.await() }() }
	untilWaiting := func() {
		for waits := false; !waits; {
			c.mu.Lock()
			waits = c.waiting
			c.mu.Unlock()
		}
	}
	c.sendToRest() // nobody waits: nothing happens
	await()
	untilWaiting()
	c.sendToRest()
	c.sendToRest()
	if <-awaited {
		t.Fatal("the reader goes on instead of resting")
	}

	dozed := make(chan struct{})
	go func() {
		c.doze()
		close(dozed)
	}()
	frame := appendFrame(nil, 10, true)
	if _, err := near.Write(append(frame, frame[:7]...)); err != nil {
		t.Fatal(err)
	}
	<-dozed
	if await(); !<-awaited {
		t.Fatal("the reader rests with a frame in hand")
	}
	got := make([]byte, 2*len(frame))
	if n, err := io.ReadFull(c, got[:len(frame)]); err != nil || !bytes.Equal(got[:n], frame) {
		t.Fatalf("%x, %v", got[:n], err)
	}
	if n, err := c.Read(got); n != 7 || err != nil {
		t.Fatalf("the beginning of the next frame: %d bytes, %v", n, err)
	}
	if await(); !<-awaited {
		t.Fatal("the reader rests within a frame")
	}
	if _, err := near.Write(frame[7:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got[:len(frame)-7]); err != nil {
		t.Fatal(err)
	}

	await()
	untilWaiting()
	near.Close()
	if !<-awaited {
		t.Error("the reader rests although the client is gone")
	}
	if n, err := c.Read(got); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	c.Close()
	c.doze() // must not wait
}

// TestRestlessSockets has readers rest all the time, in mid-traffic and while clients come and go.
func TestRestlessSockets(t *testing.T) {
	h := newHarness(t, unlimited)
	stop := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			h.srv.mu.Lock()
			for c := range h.srv.conns {
				if c.lazy != nil {
					c.lazy.sendToRest()
				}
			}
			h.srv.mu.Unlock()
			runtime.Gosched()
		}
	})
	defer func() {
		close(stop)
		helpers.Wait()
	}()
	const messages = 300
	var pairs sync.WaitGroup
	for i := range 4 {
		room := fmt.Sprintf("room%d", i)
		from, to := h.pair(room)
		pairs.Go(func() {
			for n := range messages {
				from.send(msg{"type": "signal", "room": room, "to": to.session, "candidate": msg{"candidate": fmt.Sprint(n)}})
			}
		})
		pairs.Go(func() {
			for n := range messages {
				m, err := to.read()
				if err != nil || m["type"] != "signal" || m["candidate"].(map[string]any)["candidate"] != fmt.Sprint(n) {
					t.Errorf("message %d of %s: %v, %v", n, room, m, err)
					return
				}
			}
			to.conn.Close()
		})
	}
	pairs.Wait()
}

// untilAtRest has all readers rest.
func (h *harness) untilAtRest() {
	for {
		busy := 0
		h.srv.mu.Lock()
		for c := range h.srv.conns {
			if c.lazy == nil {
				continue
			}
			c.lazy.sendToRest()
			c.lazy.mu.Lock()
			if c.lazy.waiting {
				busy++
			}
			c.lazy.mu.Unlock()
		}
		h.srv.mu.Unlock()
		if busy == 0 {
			return
		}
		runtime.Gosched()
	}
}
