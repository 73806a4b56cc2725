package signal

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// lazyPair is a socket over TCP, and the lazy other end of it.
func lazyPair(t *testing.T) (net.Conn, *lazyConn) {
	t.Helper()
	if !canReadRaw {
		t.Skip("no lazy sockets on this system")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	pool := &sync.Pool{New: func() any { return new([readAhead]byte) }}
	c, ok := lazy(far, pool).(*lazyConn)
	if !ok {
		t.Fatal("a TCP socket is not lazy")
	}
	return near, c
}

// TestLazyConn holds that bytes come as they were sent, in reads of any size, and that no buffer is kept afterwards.
func TestLazyConn(t *testing.T) {
	near, c := lazyPair(t)
	want := []byte(strings.Repeat("turnpike", 3*readAhead/8))
	go near.Write(want)
	var got []byte
	for size := 1; len(got) < len(want); size = size%5000 + 331 {
		b := make([]byte, min(size, len(want)-len(got)))
		n, err := io.ReadFull(c, b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes came than were sent")
	}
	if c.buffer != nil || c.ahead != nil {
		t.Error("a buffer is kept with nothing in it")
	}
	near.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// TestLazyConnEnds holds that waiting ends with a deadline, and when the connection is closed.
func TestLazyConnEnds(t *testing.T) {
	_, c := lazyPair(t)
	c.SetReadDeadline(time.Now())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	ended := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if a, b := net.Pipe(); lazy(a, nil) != a || b.Close() != nil {
		t.Error("what is no socket is lazy")
	}
}

// countingConn counts deadlines.
type countingConn struct {
	net.Conn
	deadlines []time.Time
}

func (c *countingConn) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

// TestLazyDeadline holds that a write has its time but for the slack, and that no earlier deadline is passed over.
func TestLazyDeadline(t *testing.T) {
	under := new(countingConn)
	c := &lazyConn{Conn: under}
	at := time.Now()
	for _, d := range []time.Duration{0, deadlineSlack / 2, deadlineSlack, deadlineSlack * 3 / 2, 0} {
		c.SetWriteDeadline(at.Add(d))
	}
	c.SetWriteDeadline(time.Time{})
	want := []time.Time{at, at.Add(deadlineSlack), at, {}}
	if len(under.deadlines) != len(want) {
		t.Fatalf("%v, want %v", under.deadlines, want)
	}
	for i := range want {
		if !under.deadlines[i].Equal(want[i]) {
			t.Errorf("deadline %d is %v, want %v", i, under.deadlines[i], want[i])
		}
	}
}

// TestHurry holds that a write in a hurry never waits, and that what the socket did not take then comes first later.
func TestHurry(t *testing.T) {
	near, c := lazyPair(t)
	if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil { // of a write long ago
		t.Fatal(err)
	}
	if err := c.hurry(true); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := byte(0); len(c.rest) == 0; i++ {
		b := bytes.Repeat([]byte{i}, 100_000)
		if n, err := c.Write(b); n != len(b) || err != nil {
			t.Fatalf("write %d: %d, %v", i, n, err)
		}
		want = append(want, b...)
	}
	if err := c.hurry(false); err != nil {
		t.Fatal(err)
	}
	last := []byte("last")
	written := make(chan error, 1)
	go func() {
		err := c.finish()
		if err == nil {
			_, err = c.Write(last)
		}
		written <- err
	}()
	got := make([]byte, len(want)+len(last))
	if _, err := io.ReadFull(near, got); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, append(want, last...)) || c.rest != nil {
		t.Error("other bytes came than were sent")
	}
}

// TestHurryToNobody holds that a write to a socket that was closed fails.
func TestHurryToNobody(t *testing.T) {
	_, c := lazyPair(t)
	c.Conn.Close()
	err := c.hurry(true)
	if err == nil {
		_, err = c.Write([]byte("x"))
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to a closed socket: %v", err)
	}
}
