//go:build linux

package signal

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"

	"github.com/gorilla/websocket"
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

// polledPair is a socket over TCP, and the other end of it, which its pollers watch over once it is released. Nobody acts on what comes.
func polledPair(t *testing.T) (net.Conn, *polledConn) {
	t.Helper()
	near, far := tcpPair(t)
	var ps pollers
	c, err := ps.take(far, &sync.Pool{New: func() any { return new([readAhead]byte) }})
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

// TestPolledConnCloses holds that Close ends a read and a write that wait, and whatever comes later, and closes the socket.
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
	for c.state.Load() != connAwaited || !c.wantsRoom.Load() {
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

// TestPolledConnClosesOnce has many use a socket while many close it. The descriptor must be closed once, after its last use: another
// socket, which is there at once, has the same number then.
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

// TestSendWithoutPatience holds that such a send never waits, and that what the socket did not take then comes first later.
func TestSendWithoutPatience(t *testing.T) {
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
	if c.wantsRoom.Load() {
		t.Error("nobody waits, and room is wanted")
	}
}

// countedConn keeps something until it is closed itself.
type countedConn struct {
	*net.TCPConn
	closed bool
}

func (c *countedConn) CloseSocket() error { return c.TCPConn.Close() }

func (c *countedConn) Close() error {
	c.closed = true
	return c.TCPConn.Close()
}

// TestTakeSockets tells which connections a poller takes over, and what becomes of them.
func TestTakeSockets(t *testing.T) {
	var ps pollers
	defer ps.close()
	near, far := tcpPair(t)
	pipe, _ := net.Pipe()
	for name, conn := range map[string]net.Conn{"pipe": pipe, "TLS": tls.Client(near, nil), "unknown": struct{ net.Conn }{near}} {
		if _, err := ps.take(conn, nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	counted := &countedConn{TCPConn: near}
	c, err := ps.take(counted, nil)
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
	if _, err := ps.take(counted, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection: %v", err)
	}
	ps.close()
	if _, err := ps.take(near, nil); err == nil {
		t.Error("a socket was taken after the end")
	}
}

// TestSocketInPieces sends all kinds of frames in pieces of all sizes: what they say is acted on in order.
func TestSocketInPieces(t *testing.T) {
	h := newHarness(t, unlimited)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		room := fmt.Sprint("room", round)
		from, to := h.pair(room)
		sent := 1 + random.IntN(30)
		var stream []byte
		for n := range sent {
			text := fmt.Appendf(nil, `{"type":"signal","room":%q,"to":%q,"description":{"type":"offer","sdp":"%d%s"}}`,
				room, to.session, n, strings.Repeat(" ", random.IntN(1<<random.IntN(16))))
			switch random.IntN(5) {
			case 0: // in fragments, with a ping between
				cut := random.IntN(len(text))
				stream = append(stream, clientFrame(0x01, text[:cut])...)
				stream = append(stream, clientFrame(finalPing, []byte("between"))...)
				text, stream = nil, append(stream, clientFrame(0x80, text[cut:])...)
			case 1:
				stream = append(stream, clientFrame(finalPong, []byte("unasked"))...)
			case 2: // what takes a goroutine
				stream = append(stream, clientFrame(finalText, []byte(`{"type":"leave","room":"another"}`))...)
			}
			if text != nil {
				stream = append(stream, clientFrame(finalText, text)...)
			}
		}
		together(func() {
			conn := from.conn.NetConn()
			for len(stream) > 0 {
				n := min(len(stream), 1+random.IntN(1<<random.IntN(17)))
				if _, err := conn.Write(stream[:n]); err != nil {
					t.Error(err)
					return
				}
				if stream = stream[n:]; random.IntN(3) == 0 {
					runtime.Gosched()
				}
			}
		}, func() {
			for n := range sent {
				m, err := to.read()
				if err != nil {
					t.Errorf("message %d: %v", n, err)
					return
				}
				sdp := m["description"].(map[string]any)["sdp"].(string)
				if strings.TrimSpace(sdp) != fmt.Sprint(n) {
					t.Errorf("got %.10q, want message %d", sdp, n)
				}
			}
		})
	}
}

// TestClientEnds holds that the end of a client is seen, with a last message before it or without.
func TestClientEnds(t *testing.T) {
	last := []byte(`{"type":"leave","room":"r"}`)
	for name, bytes := range map[string][]byte{
		"nothing":      nil,
		"a message":    clientFrame(finalText, last),
		"an ack":       clientFrame(finalText, []byte(`{"type":"ack","received":1}`)),
		"a part":       clientFrame(finalText, last)[:10],
		"a close":      clientFrame(0x88, websocket.FormatCloseMessage(1001, "")),
		"a breach":     {0x83, 0x80, 0, 0, 0, 0},
		"no mask":      {0x81, 0x01, 'x'},
		"whole, part":  append(clientFrame(finalText, last), clientFrame(finalText, last)[:3]...),
		"two and text": append(clientFrame(finalText, last), clientFrame(finalText, last)...),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, unlimited)
			a, b := h.pair("r")
			conn := a.conn.NetConn()
			if len(bytes) > 0 {
				if _, err := conn.Write(bytes); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server's end: %v", err)
			}
			b.skipTo("peer-left")
		})
	}
}

// TestBreach holds that a client which breaks RFC 6455 gets the close frame that it asks for, after what was before.
func TestBreach(t *testing.T) {
	h := newHarness(t, unlimited)
	c := h.guest("breach")
	bytes := append(clientFrame(finalText, []byte(`{"type":"ping","id":"1"}`)), 0x83, 0x80, 0, 0, 0, 0)
	if _, err := c.conn.NetConn().Write(bytes); err != nil {
		t.Fatal(err)
	}
	c.expect("pong", "ref", "1")
	if _, err := c.read(); !websocket.IsCloseError(err, websocket.CloseProtocolError) {
		t.Errorf("closed with %v", err)
	}
}

// TestIdleSocketsTakeNoGoroutine holds that for sockets and the pings that keep them alive.
func TestIdleSocketsTakeNoGoroutine(t *testing.T) {
	h := newHarness(t, unlimited)
	for i := range 20 {
		c := h.welcome(testTicket(fmt.Sprint(i), fmt.Sprint(i), auth.RoleGuest))
		c.sendText(`{"type":"ping","id":"1"}`)
		c.expect("pong", "ref", "1")
		if err := c.conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(c.patience)); err != nil {
			t.Fatal(err)
		}
	}
	h.untilWatched()
	buf := make([]byte, 1<<20)
	for range 1000 { // one that is done may not have exited yet
		if !bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("signal.(*socket)")) {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%s", buf[:runtime.Stack(buf, true)])
}

// TestPolledTraffic sends both ways between pairs at once, with requests between that take goroutines, while clients come and go.
func TestPolledTraffic(t *testing.T) {
	h := newHarness(t, unlimited)
	const messages = 300
	var pairs sync.WaitGroup
	for i := range 4 {
		room := fmt.Sprintf("room%d", i)
		one, other := h.pair(room)
		for _, way := range [][2]*client{{one, other}, {other, one}} {
			from, to := way[0], way[1]
			pairs.Go(func() {
				for n := range messages {
					from.signalTo(to, room, fmt.Sprint(n))
					if n%10 == 0 {
						from.send(msg{"type": "leave", "room": "another"})
					}
				}
			})
			pairs.Go(func() {
				for n := 0; n < messages; {
					m, err := to.read()
					switch {
					case err != nil:
						t.Errorf("message %d of %s: %v", n, room, err)
						return
					case m["type"] == "signal":
						if got := m["candidate"].(map[string]any)["candidate"]; got != fmt.Sprint(n) {
							t.Errorf("message %v of %s, want %d", got, room, n)
						}
						n++
					case m["type"] != "error" || m["code"] != string(wire.CodeNotInRoom):
						t.Errorf("in %s: %v", room, m)
					}
				}
			})
		}
		pairs.Go(func() {
			for range 20 {
				h.guest(fmt.Sprint("passes by ", i)).conn.Close()
			}
		})
	}
	pairs.Wait()
}

// TestPollerLeavesFloods holds that one socket which has much to say does not keep its poller from the others.
func TestPollerLeavesFloods(t *testing.T) {
	h := newHarness(t, unlimited)
	client := h.guest("flood")
	h.untilWatched()
	h.srv.mu.Lock()
	c := h.srv.sessions[client.session].socket
	h.srv.mu.Unlock()
	if !c.polled.claim() {
		t.Fatal("the socket has a reader")
	}
	const sent, reads = 20, 3
	frame := clientFrame(finalPong, []byte("turnpike"))
	if _, err := client.conn.NetConn().Write(bytes.Repeat(frame, sent)); err != nil {
		t.Fatal(err)
	}
	for there := 0; there < sent*len(frame); {
		var err error
		if there, err = unix.IoctlGetInt(c.polled.fd, unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if held, rare := c.pump(make([]byte, len(frame)), reads); !held || rare != nil {
		t.Fatalf("held: %v, rare: %v", held, rare)
	}
	left, err := unix.IoctlGetInt(c.polled.fd, unix.TIOCINQ)
	if want := (sent - reads) * len(frame); err != nil || left != want {
		t.Errorf("%d bytes are left, %v, want %d", left, err, want)
	}
	c.srv.running.Go(func() { c.readOn(nil) })
	client.sendText(`{"type":"ping","id":"1"}`)
	client.expect("pong", "ref", "1")
}
