package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// loopStream is a stream that is a TCP connection of loopback.
type loopStream struct {
	*net.TCPConn
	name string
}

func (s loopStream) Name() string { return s.name }

func (s loopStream) Reset() {
	_ = s.SetLinger(0)
	_ = s.TCPConn.Close()
}

// Close ends writing in order, and gives up reading. A TCP connection that is closed before all was read would break instead, and what
// was written could be lost.
func (s loopStream) Close() error {
	err := s.CloseWrite()
	go func() { // until the other side ends, or the test does
		_, _ = io.Copy(io.Discard, s.TCPConn)
		_ = s.TCPConn.Close()
	}()
	return err
}

// pair returns the two ends of a stream.
func pair(t testing.TB, name string) (opener, accepter loopStream) {
	a, b := tcpPair(t)
	return loopStream{a, name}, loopStream{b, name}
}

func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dialed.Close()
		_ = accepted.Close()
	})
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// two are a client and a server with a path between them.
type two struct {
	client  *Client
	server  *Server
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	away    bool // the peer is
	streams []loopStream
	failed  []error
	asked   []string
}

func newTwo(t *testing.T, allow, remote string) *two {
	b := &two{server: &Server{Wait: 20 * time.Second}}
	b.ctx, b.end = context.WithCancel(context.Background())
	b.client = &Client{Wait: 20 * time.Second, Places: make(Places, MaxOpen)}
	b.client.Failed = func(_ Spec, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.failed = append(b.failed, err)
	}
	for list, text := range map[interface{ Set(string) error }]string{&b.server.Allow: allow, &b.server.AllowRemote: remote} {
		if text == "" {
			continue
		}
		if err := list.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	askBack := func(ctx context.Context, name, begin string) (Stream, error) {
		return Asking(ctx, b.opens(t, func(stream Stream) { b.client.ServeBack(b.ctx, stream) }), name, begin)
	}
	b.client.Ask = func(ctx context.Context, name, begin string) (Stream, error) {
		return Asking(ctx, b.opens(t, func(stream Stream) { b.server.Serve(b.ctx, From{"laptop", askBack}, stream) }), name, begin)
	}
	t.Cleanup(func() {
		b.end()
		b.running.Wait()
	})
	return b
}

// opens opens streams whose other end is served.
func (b *two) opens(t testing.TB, serve func(Stream)) Open {
	return func(ctx context.Context, name string) (Stream, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.away {
			return nil, errors.New("no path")
		}
		near, far := pair(t, name)
		b.streams = append(b.streams, near)
		b.asked = append(b.asked, name)
		b.running.Go(func() { serve(far) })
		return near, nil
	}
}

func (b *two) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// breaks resets all streams, as a link that has ended does.
func (b *two) breaks() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, stream := range b.streams {
		stream.Reset()
	}
	b.streams = nil
}

// failure waits for what Failed has heard.
func (b *two) failure(t *testing.T) error {
	t.Helper()
	var err error
	eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.failed) > 0 {
			err, b.failed = b.failed[0], b.failed[1:]
			return true
		}
		return false
	})
	return err
}

// local starts a forward as -L, and returns the address of its listener.
func (b *two) local(t *testing.T, to string) string {
	t.Helper()
	s, err := ParseSpec("0:" + to)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := s.ListenTCP(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.running.Go(func() { b.client.ServeTCP(b.ctx, listener, s) })
	return listener.Addr().String()
}

// eventually waits until is holds.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("it never came to that")
		}
	}
}

// service is a TCP service whose connections do serves.
func service(t testing.TB, do func(*net.TCPConn)) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				do(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// echo answers with all that it has read, once that has ended.
func echo(conn *net.TCPConn) {
	data, err := io.ReadAll(conn)
	if err == nil {
		_, _ = conn.Write(append([]byte("you said "), data...))
	}
}

func dialLocal(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

// says sends a text, ends it, and returns all that comes back.
func says(t testing.TB, conn *net.TCPConn, text string) string {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// port is the port of an address.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// udpEcho is a UDP service that answers each datagram with itself, and a mark before it.
func udpEcho(t testing.TB) string {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 65536)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(append([]byte(">"), buffer[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return socket.LocalAddr().String()
}

// exchange sends a datagram until an answer comes, since datagrams may be lost.
func exchange(t testing.TB, conn net.Conn, datagram []byte) []byte {
	t.Helper()
	buffer := make([]byte, 65536)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := conn.Write(datagram); err != nil {
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				break
			}
			if bytes.HasSuffix(buffer[:n], datagram[max(0, len(datagram)-8):]) {
				return buffer[:n]
			}
		}
	}
	t.Fatal("no answer came")
	return nil
}
