package forward

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUDP carries datagrams of all sizes, both ways, and keeps those of two programs apart.
func TestUDP(t *testing.T) {
	to := udpEcho(t)
	b := newTwo(t, "udp/"+to, "")
	local := b.localUDP(t, to)
	one, other := dialUDP(t, local), dialUDP(t, local)
	for _, size := range []int{1, 8, 1200, 1500, 9000, 60000} {
		datagram := bytes.Repeat([]byte{byte(size)}, size)
		if got := exchange(t, one, datagram); len(got) != size+1 {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	if got := exchange(t, other, []byte("other's")); string(got) != ">other's" {
		t.Errorf("%q came back", got)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) != 2 {
		t.Errorf("two programs have %d flows: %v", len(b.asked), b.asked)
	}
}

func dialUDP(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// localUDP starts a forward as -L udp/.
func (b *two) localUDP(t *testing.T, to string) string {
	t.Helper()
	s, err := ParseSpec("udp/0:" + to)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := s.ListenUDP(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.running.Go(func() { b.client.ServeUDP(b.ctx, socket, s) })
	return socket.LocalAddr().String()
}

// TestUDPRefused: the reason is said, and nobody is asked again for each datagram.
func TestUDPRefused(t *testing.T) {
	b := newTwo(t, "localhost:22", "")
	conn := dialUDP(t, b.localUDP(t, "localhost:53"))
	for range 20 {
		_, _ = conn.Write([]byte("x"))
	}
	if err := b.failure(t); !strings.Contains(err.Error(), "udp/localhost:53 is not allowed here") {
		t.Errorf("the reason is %v", err)
	}
	for range 20 {
		_, _ = conn.Write([]byte("x"))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) > 2 { // a slow machine may have had its second of rest
		t.Errorf("the peer was asked %d times", len(b.asked))
	}
}

// TestUDPLate: a service that comes later is found by the same flow.
func TestUDPLate(t *testing.T) {
	reserved, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := reserved.LocalAddr().(*net.UDPAddr)
	_ = reserved.Close()
	b := newTwo(t, "udp/"+at.String(), "")
	conn := dialUDP(t, b.localUDP(t, at.String()))
	_, _ = conn.Write([]byte("nobody"))
	eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.asked) == 1
	})
	var late *net.UDPConn
	eventually(t, func() bool { // another test may have the port for a moment
		late, err = net.ListenUDP("udp", at)
		return err == nil
	})
	defer late.Close()
	heard := make(chan bool, 1)
	go func() {
		_, _, err := late.ReadFromUDPAddrPort(make([]byte, 100))
		heard <- err == nil
	}()
	for {
		_, _ = conn.Write([]byte("hello"))
		select {
		case ok := <-heard:
			if !ok {
				t.Error("the service is broken")
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// memoryStream is a stream in memory, for tests of time.
type memoryStream struct {
	net.Conn
}

func (m memoryStream) CloseWrite() error { return errors.ErrUnsupported }
func (m memoryStream) Reset()            { _ = m.Close() }
func (m memoryStream) Name() string      { return "udp/localhost:53" }

// TestFlows: a flow ends when it was silent for long, and the table has a bound.
func TestFlows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := newFlows(ctx, time.Second, new(backlog))
		open := func(context.Context) (Stream, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return memoryStream{near}, nil
		}
		send := func(from uint16) {
			all.send(flowKey{from: netip.AddrPortFrom(netip.IPv4Unspecified(), from)}, []byte("x"),
				func() (func(context.Context) (Stream, error), func([]byte)) { return open, func([]byte) {} })
		}
		count := func() int {
			synctest.Wait()
			all.mu.Lock()
			defer all.mu.Unlock()
			return len(all.flows)
		}
		for port := range uint16(maxFlows + 10) {
			send(port)
		}
		if n := count(); n != maxFlows {
			t.Errorf("there are %d flows", n)
		}
		time.Sleep(flowYields)
		send(9999) // takes the place of one that was silent
		if n := count(); n != maxFlows {
			t.Errorf("there are %d flows", n)
		}
		all.mu.Lock()
		fresh := all.flows[flowKey{from: netip.AddrPortFrom(netip.IPv4Unspecified(), 9999)}]
		all.mu.Unlock()
		if fresh == nil {
			t.Error("a new flow has no place among silent ones")
		}
		time.Sleep(flowIdle - time.Second)
		if n := count(); n != 1 {
			t.Errorf("after a long silence there are %d flows", n)
		}
		time.Sleep(2 * time.Second)
		if n := count(); n != 0 {
			t.Errorf("after a long silence there are %d flows", n)
		}
		cancel()
		all.running.Wait()
	})
}

// TestFlowsSlow: what a stream does not take has a bound, and no datagram is cut.
func TestFlowsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := newFlows(ctx, time.Second, new(backlog))
		near, far := net.Pipe() // nobody reads
		send := func() {
			all.send(flowKey{}, make([]byte, 60000), func() (func(context.Context) (Stream, error), func([]byte)) {
				return func(context.Context) (Stream, error) { return memoryStream{near}, nil }, func([]byte) {}
			})
		}
		for range 100 {
			send()
		}
		synctest.Wait()
		for range 100 {
			send()
		}
		all.mu.Lock()
		one := all.flows[flowKey{}]
		all.mu.Unlock()
		one.mu.Lock()
		if len(one.waiting) > maxQueued || len(one.waiting) == 0 {
			t.Errorf("%d bytes wait", len(one.waiting))
		}
		one.mu.Unlock()
		go func() {
			_ = eachDatagram(far, func(b []byte) {
				if len(b) != 60000 {
					t.Errorf("a datagram has %d bytes", len(b))
				}
			})
		}()
		synctest.Wait()
		cancel()
		all.running.Wait()
		_ = far.Close()
	})
}

// TestBacklog: what all flows of all sockets queue together has a bound. The flow that waits the longest gives way, and nothing is counted any
// more at the end.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var shared backlog
		sockets := []*flows{newFlows(ctx, time.Hour, &shared), newFlows(ctx, time.Hour, &shared)}
		never := func(ctx context.Context) (Stream, error) { // the peer is away
			<-ctx.Done()
			return nil, ctx.Err()
		}
		stuck := func(context.Context) (Stream, error) { // it takes streams, and reads nothing
			near, _ := net.Pipe()
			return memoryStream{near}, nil
		}
		send := func(socket *flows, from uint16, open func(context.Context) (Stream, error)) {
			socket.send(flowKey{from: netip.AddrPortFrom(netip.IPv4Unspecified(), from)}, make([]byte, 60000),
				func() (func(context.Context) (Stream, error), func([]byte)) { return open, func([]byte) {} })
		}
		there := func(socket *flows, from uint16) bool {
			synctest.Wait()
			socket.mu.Lock()
			defer socket.mu.Unlock()
			return socket.flows[flowKey{from: netip.AddrPortFrom(netip.IPv4Unspecified(), from)}] != nil
		}
		queued := func() (bytes int) {
			synctest.Wait()
			for _, socket := range sockets {
				socket.mu.Lock()
				for _, one := range socket.flows {
					one.mu.Lock()
					bytes += len(one.waiting)
					one.mu.Unlock()
				}
				socket.mu.Unlock()
			}
			return bytes
		}
		send(sockets[0], 1, stuck)
		for port := range uint16(maxFlows - 1) {
			for i := range 4 {
				send(sockets[i%2], 2+port, never)
			}
			if n := queued(); n > maxBacklog {
				t.Fatalf("%d bytes wait", n)
			}
		}
		if n := queued(); n < maxBacklog/2 {
			t.Errorf("only %d bytes wait: flows give way that need not", n)
		}
		if there(sockets[0], 1) || there(sockets[1], 2) {
			t.Error("the flows that wait the longest have not given way")
		}
		if !there(sockets[0], maxFlows) || !there(sockets[1], maxFlows) {
			t.Error("the newest flows have given way")
		}
		cancel()
		for _, socket := range sockets {
			socket.running.Wait()
		}
		if shared.bytes != 0 || shared.first != nil || shared.last != nil {
			t.Errorf("at the end %d bytes are counted", shared.bytes)
		}
	})
}

// TestBacklogTaken: a flow whose stream takes what comes gives way to none, however much that is.
func TestBacklogTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var shared backlog
		all := newFlows(ctx, time.Hour, &shared)
		opened := 0
		for range 3 * maxBacklog / 60000 {
			all.send(flowKey{}, make([]byte, 60000), func() (func(context.Context) (Stream, error), func([]byte)) {
				opened++
				near, far := net.Pipe()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				return func(context.Context) (Stream, error) { return memoryStream{near}, nil }, func([]byte) {}
			})
			synctest.Wait()
			if shared.bytes != 0 {
				t.Fatalf("%d bytes are counted that were taken", shared.bytes)
			}
		}
		if opened != 1 {
			t.Errorf("the flow began %d times", opened)
		}
		cancel()
		all.running.Wait()
	})
}

// TestFlowAllocations: a datagram of a flow that is there costs no heap object.
func TestFlowAllocations(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	all := newFlows(ctx, time.Second, new(backlog))
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	datagram := make([]byte, 1200)
	from := netip.AddrPortFrom(netip.IPv4Unspecified(), 1)
	send := func() {
		all.send(flowKey{from: from}, datagram, func() (func(context.Context) (Stream, error), func([]byte)) {
			return func(context.Context) (Stream, error) { return memoryStream{near}, nil }, func([]byte) {}
		})
	}
	for range 1000 { // until the buffers have grown
		send()
	}
	if n := testing.AllocsPerRun(1000, send); n >= 1 {
		t.Errorf("a datagram costs %v objects", n)
	}
	cancel()
	all.running.Wait()
}

// TestDatagramAllocations: a datagram that comes by a stream costs no heap object.
func TestDatagramAllocations(t *testing.T) {
	const many = 1000
	stream := bytes.Repeat(append([]byte{1200 >> 8, 1200 & 255}, make([]byte, 1200)...), many)
	all := testing.AllocsPerRun(10, func() {
		n := 0
		if err := eachDatagram(bytes.NewReader(stream), func(datagram []byte) { n += len(datagram) }); !errors.Is(err, io.EOF) || n != many*1200 {
			t.Fatal(n, err)
		}
	})
	if all > 10 { // for the stream
		t.Errorf("%d datagrams cost %v objects", many, all)
	}
}

// FuzzDatagrams: whatever a peer sends, each datagram that is taken is whole.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0, 1, 'x', 0, 0, 0, 2, 'a'})
	f.Add([]byte{255, 255})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var again []byte
		_ = eachDatagram(bytes.NewReader(stream), func(datagram []byte) {
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(datagram))), datagram...)
		})
		if !bytes.HasPrefix(stream, again) {
			t.Errorf("%x is read as %x", stream, again)
		}
	})
}
