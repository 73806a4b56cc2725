//go:build linux

package socket

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcpPair is both ends of a connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// polledPair is both ends of a connection. Pollers watch one of them once it is released; nobody acts on what comes.
func polledPair(t *testing.T) (net.Conn, *polledConn) {
	t.Helper()
	near, far := tcpPair(t)
	var ps pollers
	c, err := ps.adopt(far, &sync.Pool{New: func() any { return new([readAhead]byte) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ps.close()
	})
	return near, c
}

// TestPolledConn holds that bytes come as they were sent, in reads of any size, and that no buffer is kept afterwards.
func TestPolledConn(t *testing.T) {
	near, c := polledPair(t)
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

// TestPolledConnCloses holds that Close ends a read and a write that wait, and all later ones, and closes the socket.
func TestPolledConnCloses(t *testing.T) {
	near, c := polledPair(t)
	for full := false; !full; full = len(c.rest) > 0 {
		if err := c.send(make([]byte, 100_000), false); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	go func() { ended <- c.finish() }()
	for c.state.Load() != connAwaited || !c.blocked.Load() {
		runtime.Gosched()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("what waited: %v", err)
		}
	}
	_, read := c.Read(make([]byte, 1))
	for what, err := range map[string]error{"read": read, "send": c.send([]byte("x"), true), "close": c.Close()} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s afterwards: %v", what, err)
		}
	}
	if _, err := io.Copy(io.Discard, near); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client: %v", err)
	}
	if len(c.poller.free) != 1 || c.poller.conns[c.slot] != nil {
		t.Error("the poller has not forgotten the socket")
	}
}

// TestPolledConnClosesOnce has many goroutines use a socket while others close it. The descriptor must be closed once,
// after its last use: another socket may have the same number at once.
func TestPolledConnClosesOnce(t *testing.T) {
	for range 100 {
		_, c := polledPair(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for err := error(syscall.EAGAIN); err == syscall.EAGAIN; {
					_, err = c.readNow(make([]byte, 10))
				}
			})
			all.Go(func() {
				for {
					if _, err := c.writeNow([]byte("x")); err != nil {
						return
					}
				}
			})
		}
		closed := make(chan bool, 3)
		for range cap(closed) {
			all.Go(func() { closed <- c.Close() == nil })
		}
		all.Wait()
		times := 0
		for range cap(closed) {
			if <-closed {
				times++
			}
		}
		if times != 1 || c.uses.Load() != connClosed || len(c.poller.free) != 1 {
			t.Fatalf("closed %d times, %d uses, free slots %v", times, c.uses.Load()-connClosed, c.poller.free)
		}
	}
}

// TestSendWithoutWaiting holds that a send that may not wait never waits, and that finish writes what the socket did
// not take.
func TestSendWithoutWaiting(t *testing.T) {
	near, c := polledPair(t)
	var want []byte
	for i := byte(0); len(c.rest) == 0; i++ {
		b := bytes.Repeat([]byte{i}, 100_000)
		if err := c.send(b, false); err != nil {
			t.Fatal(err)
		}
		want = append(want, b...)
	}
	last := []byte("last")
	written := make(chan error, 1)
	go func() {
		err := c.finish()
		if err == nil {
			err = c.send(last, true)
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

// TestSendToNobody holds that a send gives a client that does not read its time, and no more.
func TestSendToNobody(t *testing.T) {
	_, c := polledPair(t)
	err := c.sendSlowly(make([]byte, 64<<20), 10*time.Millisecond)
	if ne := net.Error(nil); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%v", err)
	}
	if c.blocked.Load() {
		t.Error("the writer still counts as blocked")
	}
}

// countedConn counts as a connection until Close, like those of a listener with limits.
type countedConn struct {
	*net.TCPConn
	closed bool
}

func (c *countedConn) CloseSocket() error { return c.TCPConn.Close() }

func (c *countedConn) Close() error {
	c.closed = true
	return c.TCPConn.Close()
}

// TestAdopt holds which connections a poller takes over, and what becomes of these.
func TestAdopt(t *testing.T) {
	var ps pollers
	defer ps.close()
	near, far := tcpPair(t)
	pipe, _ := net.Pipe()
	for name, conn := range map[string]net.Conn{"pipe": pipe, "TLS": tls.Client(near, nil), "unknown": struct{ net.Conn }{near}} {
		if _, err := ps.adopt(conn, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	counted := &countedConn{TCPConn: near}
	c, err := ps.adopt(counted, nil)
	if err != nil {
		t.Fatal(err)
	}
	if counted.closed {
		t.Error("the connection was closed when its socket was taken")
	}
	if c.LocalAddr().String() != near.LocalAddr().String() || c.RemoteAddr().String() != far.LocalAddr().String() {
		t.Errorf("addresses: %v, %v", c.LocalAddr(), c.RemoteAddr())
	}
	if c.Close(); !counted.closed {
		t.Error("the connection was not closed with its socket")
	}
	if _, err := ps.adopt(counted, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection: %v", err)
	}
	ps.close()
	if _, err := ps.adopt(near, nil); err == nil {
		t.Error("a socket was taken after the end")
	}
}

// TestPollerLeavesFloods holds that one socket with much to read does not keep its poller from the others.
func TestPollerLeavesFloods(t *testing.T) {
	client, e := echoPair(t)
	c := &e.Conn
	for c.polled.state.Load() != connWatched {
		runtime.Gosched()
	}
	if !c.polled.claim() {
		t.Fatal("the socket has a reader")
	}
	const sent, reads = 20, 3
	frame := clientFrame(finalPong, []byte("turnpike"))
	write(t, client, bytes.Repeat(frame, sent))
	for there := 0; there < sent*len(frame); {
		var err error
		if there, err = unix.IoctlGetInt(c.polled.fd, unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if held, task := c.pump(make([]byte, len(frame)), reads); !held || task != nil {
		t.Fatalf("held: %v, task: %v", held, task)
	}
	left, err := unix.IoctlGetInt(c.polled.fd, unix.TIOCINQ)
	if want := (sent - reads) * len(frame); err != nil || left != want {
		t.Errorf("%d bytes are left, %v, want %d", left, err, want)
	}
	c.engine.running.Go(func() { c.readOn(nil) })
	write(t, client, clientFrame(finalText, []byte("after")))
	expect(t, client, "after")
}
