package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestTCP carries a connection both ways, with an end in each direction of its own.
func TestTCP(t *testing.T) {
	to := service(t, echo)
	b := newTwo(t, to, "")
	if got := says(t, dialLocal(t, b.local(t, to)), "hello"); got != "you said hello" {
		t.Errorf("%q came back", got)
	}
	large := strings.Repeat("0123456789abcdef", 1<<16)
	if got := says(t, dialLocal(t, b.local(t, to)), large); got != "you said "+large {
		t.Errorf("%d bytes came back", len(got))
	}
}

// TestResets: a connection that breaks at one end breaks at the other, and is never taken for one that has ended in order.
func TestResets(t *testing.T) {
	t.Run("the service breaks", func(t *testing.T) {
		to := service(t, func(conn *net.TCPConn) {
			_, _ = conn.Write([]byte("half"))
			_, _ = io.ReadFull(conn, make([]byte, 1)) // until half is there
			_ = conn.SetLinger(0)
		})
		b := newTwo(t, to, "")
		conn := dialLocal(t, b.local(t, to))
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("x"))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	t.Run("the program breaks", func(t *testing.T) {
		_, conn, heard := listened(t)
		ResetTCP(conn)
		if err := <-heard; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the service has read %v", err)
		}
	})
	t.Run("the path breaks", func(t *testing.T) {
		b, conn, heard := listened(t)
		b.breaks()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the program has read %v", err)
		}
		if err := <-heard; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the service has read %v", err)
		}
	})
	t.Run("the program closes, and the service sends on", func(t *testing.T) {
		heard := make(chan error, 1)
		to := service(t, func(conn *net.TCPConn) {
			_, err := io.Copy(io.Discard, conn)
			for err == nil {
				_, err = conn.Write(make([]byte, 1<<16))
			}
			heard <- err
		})
		b := newTwo(t, to, "")
		_ = dialLocal(t, b.local(t, to)).Close()
		if err := <-heard; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the service has heard %v", err)
		}
	})
}

// listened returns a connection to a service that reads, and what the service hears at its end.
func listened(t *testing.T) (b *two, conn *net.TCPConn, heard <-chan error) {
	ends := make(chan error, 1)
	to := service(t, func(conn *net.TCPConn) {
		_, _ = conn.Write([]byte("x"))
		_, err := io.Copy(io.Discard, conn)
		ends <- err
	})
	b = newTwo(t, to, "")
	conn = dialLocal(t, b.local(t, to))
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return b, conn, ends
}

// TestRefused: what is not allowed, does not answer or is away breaks the connection, with a reason.
func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	long := strings.Repeat("a.", 100) + "example:80"
	b := newTwo(t, closed+",localhost:22", "")
	for _, row := range []struct{ to, why string }{
		{"localhost:3306", "localhost:3306 is not allowed here; only " + closed + ", localhost:22"},
		{"udp/localhost:22", "udp/localhost:22 is not allowed here"},
		{closed, closed + " there: connection refused"},
		{long, long + " is not allowed here"},
	} {
		text, isUDP := strings.CutPrefix(row.to, "udp/")
		d, err := ParseDestination(text)
		if err != nil {
			t.Fatal(err)
		}
		prefix := TCPPrefix
		if isUDP {
			prefix = UDPPrefix
		}
		_, err = b.client.to(t.Context(), prefix, d)
		var refusal *Refusal
		if !errors.As(err, &refusal) || !strings.HasPrefix(refusal.Why, row.why) {
			t.Errorf("%s: %v; want %q", row.to, err, row.why)
		}
	}
	if err := readFrom(b.local(t, "localhost:3306")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused connection has read %v", err)
	}
	if err := b.failure(t); !strings.Contains(err.Error(), "is not allowed here") {
		t.Errorf("the reason is %v", err)
	}
}

// readFrom connects, and returns how reading a byte ends. A reset may come before the connection counts as made.
func readFrom(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// TestAway: while the peer is away the listener stays. A new connection waits for so long, and is then refused.
func TestAway(t *testing.T) {
	to := service(t, echo)
	b := newTwo(t, to, "")
	b.client.Wait = time.Second
	b.client.Ask = func(ask Ask) Ask {
		return func(ctx context.Context, name, begin string) (Stream, error) {
			for {
				stream, err := ask(ctx, name, begin)
				if err == nil || !pause(ctx, time.Millisecond) {
					return stream, cmpErr(ctx, err)
				}
			}
		}
	}(b.client.Ask)
	address := b.local(t, to)
	b.setAway(true)
	if err := readFrom(address); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without a peer, a connection has read %v", err)
	}
	if err := b.failure(t); !errors.Is(err, errNoAnswer) {
		t.Errorf("the reason is %v", err)
	}
	b.setAway(false)
	if got := says(t, dialLocal(t, address), "hello"); got != "you said hello" {
		t.Errorf("%q came back", got)
	}
}

func cmpErr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// waiter is a service that says x and waits for the end.
func waiter(conn *net.TCPConn) {
	_, _ = conn.Write([]byte("x"))
	_, _ = io.Copy(io.Discard, conn)
}

// TestBounds: the server counts for each peer.
func TestBounds(t *testing.T) {
	to := service(t, waiter)
	b := newTwo(t, to, "")
	b.server.OfPeer = 3
	address := b.local(t, to)
	for range 3 {
		if _, err := io.ReadFull(dialLocal(t, address), make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := readFrom(address); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many has read %v", err)
	}
	if err := b.failure(t); !strings.Contains(err.Error(), "3 connections of yours are open, and no more are allowed") {
		t.Errorf("the reason is %v", err)
	}
	if why := b.server.enter("phone"); why != "" {
		t.Errorf("another peer has no place: %s", why)
	}
	b.server.leave("phone")
}

// TestShares: one peer cannot take the places of all others, all of them together have so many, and a place that was given back is free.
func TestShares(t *testing.T) {
	s := &Server{OfPeer: 64, OfAll: 256}
	taken := 0
	for peer := range 8 {
		before := taken
		for range 256 {
			if s.enter(fmt.Sprint("peer-", peer)) == "" {
				taken++
			}
		}
		if peer == 0 && taken != 64 {
			t.Errorf("one peer has taken %d places", taken)
		}
		if peer == 1 && taken == before {
			t.Error("another peer has got none")
		}
	}
	if taken != 256 {
		t.Errorf("%d places were taken", taken)
	}
	s.leave("peer-0")
	if why := s.enter("another"); why != "" {
		t.Error(why)
	}
	for peer, n := range s.open {
		for range n {
			s.leave(peer)
		}
	}
	if s.total != 0 || len(s.open) != 0 {
		t.Errorf("%d places, and %d peers, are left", s.total, len(s.open))
	}
}

// TestPlaces: the client takes no more connections than it has places; others wait.
func TestPlaces(t *testing.T) {
	to := service(t, waiter)
	b := newTwo(t, to, "")
	b.client.Places = make(Places, 1)
	address := b.local(t, to)
	first, second := dialLocal(t, address), dialLocal(t, address)
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(second, make([]byte, 1))
		got <- err
	}()
	b.mu.Lock()
	asked := len(b.asked)
	b.mu.Unlock()
	if asked != 1 {
		t.Errorf("the peer was asked %d times", asked)
	}
	_ = first.Close() // its place is the second's
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestStalled: a program that reads nothing holds up its own connection, and no other.
func TestStalled(t *testing.T) {
	to := service(t, func(conn *net.TCPConn) {
		for {
			if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	chat := service(t, echo)
	b := newTwo(t, to+","+chat, "")
	address := b.local(t, to)
	for range 10 {
		dialLocal(t, address)
	}
	if got := says(t, dialLocal(t, b.local(t, chat)), "hello"); got != "you said hello" {
		t.Errorf("%q came back", got)
	}
}

// TestMany has 200 connections at once through one forward.
func TestMany(t *testing.T) {
	const many = 200
	var all sync.WaitGroup
	all.Add(many)
	to := service(t, func(conn *net.TCPConn) {
		all.Done()
		all.Wait() // until all are there
		echo(conn)
	})
	b := newTwo(t, to, "")
	address := b.local(t, to)
	var running sync.WaitGroup
	for i := range many {
		running.Go(func() {
			text := strings.Repeat(fmt.Sprintf("number %d, ", i), 1000)
			if got := says(t, dialLocal(t, address), text); got != "you said "+text {
				t.Errorf("connection %d: %d bytes came back", i, len(got))
			}
		})
	}
	running.Wait()
}

// TestListeners: what is wrong with an address is said in words.
func TestListeners(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for text, why := range map[string]string{
		port(taken.Addr().String()) + ":localhost:80": "is taken by another program; choose another port",
		"203.0.114.7:8080:localhost:80":               "this machine has no such address",
	} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		if listener, err := s.ListenTCP(t.Context()); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, %v; want %q", text, listener, err, why)
		}
	}
	s := Spec{Port: 80}
	if err := s.explain(&net.OpError{Op: "listen", Err: syscall.EACCES}); !strings.Contains(err.Error(), "choose a port from 1024 on") {
		t.Error(err)
	}
	listener, err := Spec{}.ListenTCP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if host, _, _ := net.SplitHostPort(listener.Addr().String()); host != "127.0.0.1" {
		t.Errorf("without an address it listens on %s", host)
	}
}

// TestAnswer: only the two answers of the protocol are answers, and nothing behind them is lost.
func TestAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"ok\nrest":                             "",
		"error: no such host\nrest":            "no such host",
		"error: \n":                            "none of the protocol",
		"okay\n":                               "none of the protocol",
		"ok":                                   "EOF",
		strings.Repeat("x", 300):               "longer than 256",
		"error: " + strings.Repeat("x", 300):   "longer than 256",
		"HTTP/1.1 400 Bad Request\r\n\r\nrest": "none of the protocol",
	} {
		r := strings.NewReader(text)
		err := Answer(r)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if rest, _ := io.ReadAll(r); strings.HasSuffix(text, "\nrest") && !strings.HasSuffix(string(rest), "rest") {
			t.Errorf("%q leaves %q", text, rest)
		}
	}
}

// TestRefuse: a reason is one line, and fits.
func TestRefuse(t *testing.T) {
	for _, why := range []string{"no", "two\nlines\r\x1b[31m", strings.Repeat("ä", 300)} {
		near, far := pair(t, "tcp/22")
		Refuse(far, why)
		line, err := io.ReadAll(near)
		if err != nil || bytes.Count(line, []byte("\n")) != 1 || len(line) > maxRefusal || bytes.ContainsAny(line, "\r\x1b") {
			t.Errorf("%q is %q, %v", why, line, err)
		}
		if err := Answer(bytes.NewReader(line)); !errors.As(err, new(*Refusal)) {
			t.Errorf("%q is %v", why, err)
		}
	}
}

// TestCopyGrows: a connection that chats costs little, and one that carries much is read in large pieces.
func TestCopyGrows(t *testing.T) {
	var sizes []int
	from := readerFunc(func(b []byte) (int, error) {
		sizes = append(sizes, len(b))
		if len(sizes) > 8 {
			return 10, io.EOF
		}
		return len(b), nil
	})
	if err := Copy(io.Discard, from); err != nil {
		t.Fatal(err)
	}
	if sizes[0] != smallBuffer || sizes[len(sizes)-1] != largeBuffer {
		t.Errorf("the pieces are %v", sizes)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
