package turnserver

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// pipeEnd is one end of a net.Pipe with addresses: a stream with a read at one end for every write at the other. Like a
// TLS connection, it is no system socket.
type pipeEnd struct {
	net.Conn
	local, remote netip.AddrPort
}

func (p pipeEnd) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(p.local) }
func (p pipeEnd) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.remote) }

// pipe connects a client through memory to a shard of the server.
func pipe(t testing.TB, s *Server, shard *shard) *testClient {
	t.Helper()
	near, far := net.Pipe()
	client, server := netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("192.0.2.2:3478")
	s.serveStream(pipeEnd{far, server, client}, shard)
	t.Cleanup(func() { _ = near.Close() })
	return clientOn(t, pipeEnd{near, client, server})
}

// streamShard makes a shard like that of a listener for streams.
func streamShard(s *Server) *shard {
	shard := newShard(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = append(s.shards, shard)
	return shard
}

// TestStreamFraming cuts a stream of frames at every byte and into single bytes, and sends many frames at once.
func TestStreamFraming(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer := pipe(t, s, streamShard(s)).as(mintREST(t, "alice", time.Hour)), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)

	binding := buildMessage(t, stun.BindingRequest, stun.Fingerprint)
	frames := bytes.Join([][]byte{
		channelMessage(wire.MinChannel, []byte("channel"), true),
		sendIndication(t, peer.addr, []byte("indication")),
		channelMessage(wire.MinChannel, nil, true),
		binding.Raw,
	}, nil)
	wantAll := func() {
		t.Helper()
		peer.want(relayed, []byte("channel"))
		peer.want(relayed, []byte("indication"))
		peer.want(relayed, nil)
		if res := decode(t, c.read()); res.TransactionID != binding.TransactionID || codeOf(t, res) != 0 {
			t.Fatal("the Binding request was answered with", res)
		}
	}
	for cut := range len(frames) {
		if cut > 0 {
			c.write(frames[:cut])
		}
		c.write(frames[cut:])
		wantAll()
	}
	for i := range frames {
		c.write(frames[i : i+1])
	}
	wantAll()
	const many = 50
	c.write(bytes.Repeat(frames, many))
	for range many {
		wantAll()
	}
}

// TestBadFrames: a stream with anything else ends at once, without a wait for the rest, and is counted.
func TestBadFrames(t *testing.T) {
	s := startServer(t, nil)
	bad := map[string][]byte{
		"HTTP GET":            []byte("GET / HTTP/1.1\r\n"),
		"HTTP HEAD":           []byte("HEAD"),
		"HTTP OPTIONS":        []byte("OPTIONS *"),
		"HTTP POST":           []byte("POST /"),
		"SSH":                 []byte("SSH-2.0-x"),
		"TLS":                 {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01},
		"ChannelData first":   {0x40, 0x00, 0x00, 0x01},
		"empty channel first": {0x40, 0x00, 0x00, 0x00},
		"old channel first":   {0x50, 0x00, 0x00, 0x00},
		"last channel first":  {0x7F, 0xFF, 0x00, 0x00},
		"RTP":                 {0x80, 0x00, 0x00, 0x00},
		"all ones":            {0xFF, 0xFF, 0xFF, 0xFF},
		"no magic cookie":     {0x00, 0x01, 0x00, 0x00, 0, 0, 0, 0},
		"odd length":          {0x00, 0x01, 0x00, 0x01},
		"DNS over TCP":        {0x00, 0x1c, 0x12, 0x34, 0x01, 0x00, 0x00, 0x01},
	}
	for name, first := range bad {
		t.Run(name, func(t *testing.T) {
			closed := counterOf(t, s, "streams_closed", "bad_frame")
			c := dial(t, s, "tcp")
			c.write(first)
			c.wantClosed()
			waitCounted(t, s, "streams_closed", "bad_frame", closed+1)
		})
	}
}

// TestFrameLengths sends a good frame, then frames with lengths around every edge. In 16 bits, 0xFFEC and 0xFFFC would
// wrap to frames of no length, and the server would read them for ever.
func TestFrameLengths(t *testing.T) {
	const send, request, response, data = 0x0016, 0x0001, 0x0101, 0x0017
	for _, row := range []struct {
		typ    uint16
		length int
		ok     bool
	}{
		{request, 0, true}, {request, 4, true}, {request, 3, false},
		{request, wire.MaxRequest - wire.HeaderSize, true}, {request, wire.MaxRequest - wire.HeaderSize + 4, false},
		{request, 0x7FFC, false}, {request, 0x8000, false}, {request, 0xFFE8, false}, {request, 0xFFEC, false}, {request, 0xFFF0, false},
		{request, 0xFFFC, false}, {request, 0xFFFD, false}, {request, 0xFFFF, false},
		{response, 0xFFEC, false}, {response, 0xFFFC, false}, {data, 0xFFEC, false}, {data, 4096, false},
		{0x3FFF, 0xFFEC, false}, {0x0003, 0xFFFC, false},
		{send, 0, true}, {send, 4096, true}, {send, 0xFFE8, true}, {send, 0xFFEC, true}, {send, 0xFFF0, true}, {send, 0xFFFC, true},
		{send, 0xFFED, false}, {send, 0xFFFF, false},
		{wire.MinChannel, 0, true}, {wire.MinChannel, 1, true}, {wire.MinChannel, 0xFFEB, true}, {wire.MinChannel, 0xFFEC, true}, {wire.MinChannel, 0xFFF8, true},
		{wire.MinChannel, 0xFFFB, true}, {wire.MinChannel, 0xFFFC, true}, {wire.MinChannel, 0xFFFD, true}, {wire.MaxChannel, 0xFFFF, true},
		{wire.MaxChannel + 1, 0, false},
	} {
		s := startServer(t, nil)
		c := dial(t, s, "tcp")
		c.barrier()
		frame := binary.BigEndian.AppendUint16(nil, row.typ)
		frame = binary.BigEndian.AppendUint16(frame, uint16(row.length))
		if !row.ok {
			c.write(frame)
			c.wantClosed()
			waitCounted(t, s, "streams_closed", "bad_frame", 1)
			continue
		}
		if row.typ < wire.MinChannel {
			frame = binary.BigEndian.AppendUint32(frame, wire.MagicCookie)
			frame = append(frame, make([]byte, 12)...)
		}
		c.write(append(frame, make([]byte, wire.Pad4(row.length))...))
		c.barrier() // whatever was in it, the next frame is found
		if got := counterOf(t, s, "streams_closed", "bad_frame"); got != 0 {
			t.Errorf("type %#x, length %#x: counted as a bad frame", row.typ, row.length)
		}
	}
}

// inMemory makes a server without sockets and a client of it, for tests in a bubble of false time.
func inMemory(t *testing.T) (*Server, *testClient) {
	s := newServer(t, nil)
	return s, pipe(t, s, newShard(s))
}

// untilClosed returns how long the stream stays open.
func (c *testClient) untilClosed() time.Duration {
	start := time.Now()
	_ = c.conn.SetReadDeadline(time.Time{})
	_, _ = io.Copy(io.Discard, c.conn)
	return time.Since(start)
}

// TestStreamWithoutAllocation: a client has thirty seconds to make an allocation, whatever else it sends.
func TestStreamWithoutAllocation(t *testing.T) {
	binding := buildMessage(t, stun.BindingRequest).Raw
	for name, spend := range map[string]func(conn net.Conn){
		"silent": func(net.Conn) {},
		"one byte at a time": func(conn net.Conn) {
			for i := 0; ; i++ {
				if _, err := conn.Write(binding[i%len(binding):][:1]); err != nil {
					return
				}
				time.Sleep(4 * time.Second)
			}
		},
		"a request at a time": func(conn net.Conn) {
			for {
				if _, err := conn.Write(binding); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"a frame begun": func(conn net.Conn) { _, _ = conn.Write(binding[:19]) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := inMemory(t)
				var wg sync.WaitGroup
				wg.Go(func() { spend(c.conn) })
				if got := c.untilClosed(); got != setupTime {
					t.Errorf("closed after %v, want %v", got, setupTime)
				}
				wg.Wait()
				synctest.Wait()
				if got := counterOf(t, s, "streams_closed", "no_allocation"); got != 1 {
					t.Errorf("counted %d times", got)
				}
			})
		})
	}
}

// TestStreamLivesWithItsAllocation: the time does not run while there is an allocation, and begins anew after it.
func TestStreamLivesWithItsAllocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t)
		var served *stream
		s.mu.Lock()
		for served = range s.streams {
		}
		s.mu.Unlock()
		served.allocationMade(nil)
		time.AfterFunc(time.Hour, served.allocationEnded)
		if got, want := c.untilClosed(), time.Hour+setupTime; got != want {
			t.Errorf("closed after %v, want %v", got, want)
		}
	})
}

// TestClientThatNeverReads: the queue for the client is bounded, and its stream ends.
func TestClientThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		var q sendQueue
		var wg sync.WaitGroup
		q.init(far, wg.Go)
		frame, taken := make([]byte, 1000), 0
		for q.enqueue(frame) {
			if taken += len(frame); taken > 10*maxQueued {
				t.Fatal("the queue has no end")
			}
			synctest.Wait()
		}
		if taken < maxQueued-len(frame) || taken > 2*maxQueued {
			t.Errorf("%d bytes were queued", taken)
		}
		start := time.Now()
		wg.Wait()
		if got := time.Since(start); got != writeTimeout {
			t.Errorf("gave up after %v, want %v", got, writeTimeout)
		}
		if q.enqueue(frame) {
			t.Error("a queue that failed takes more")
		}
		if _, err := near.Read(frame); err != io.EOF {
			t.Errorf("the stream is open: %v", err)
		}
	})
}

// TestClientThatReadsSlowly: while the client reads at all, its stream lives, and everything in the queue comes.
func TestClientThatReadsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		var q sendQueue
		var wg sync.WaitGroup
		q.init(far, wg.Go)
		queued, n := pattern(maxQueued), 0
		if !q.enqueue(queued) {
			t.Fatal("the queue is smaller than it says")
		}
		for buf := make([]byte, 1024); n < len(queued); time.Sleep(time.Second) {
			got, err := near.Read(buf)
			if err != nil || !bytes.Equal(buf[:got], queued[n:n+got]) {
				t.Fatalf("after %d bytes: %v", n, err)
			}
			n += got
		}
		wg.Wait()
		if !q.enqueue(nil) {
			t.Error("the stream was given up")
		}
		wg.Wait()
	})
}

// TestFloodedClient floods the relayed address of a client that does not read. The cost is bounded and counted, another
// client notices nothing, and when the client reads again, it finds whole frames.
func TestFloodedClient(t *testing.T) {
	s := startServer(t, allowLoopback)
	victim, other, peer := dialREST(t, s, "tcp", "alice"), dialREST(t, s, "tcp", "bob"), newPeer(t)
	relayed, otherRelayed := victim.allocate(), other.allocate()
	victim.bind(wire.MinChannel, peer.addr)
	other.bind(wire.MinChannel, peer.addr)

	flood, deadline := pattern(30001), time.Now().Add(2*patience)
	for dropped := uint64(0); dropped < 100; dropped = counterOf(t, s, "packets_dropped", "slow_client") {
		if time.Now().After(deadline) {
			t.Fatal("nothing was ever dropped")
		}
		peer.send(relayed, flood)
		peer.send(otherRelayed, []byte("meanwhile"))
		other.wantData(wire.MinChannel, peer.addr, []byte("meanwhile"))
	}
	q := &s.relays.Load().udp[0].allocationAt(relayed.Port()).home.Load().stream.out
	q.mu.Lock()
	if waiting, room := len(q.queue), cap(q.queue); waiting > maxQueued || room > 2*maxQueued {
		t.Errorf("%d bytes wait in %d", waiting, room)
	}
	q.mu.Unlock()

	request := buildMessage(t, stun.BindingRequest)
	for frames := 0; ; frames++ {
		frame := victim.read()
		if frame[0]&0xC0 == 0 {
			if frames < 8 {
				t.Errorf("only %d frames came through", frames)
			}
			break
		}
		if !bytes.Equal(frame[wire.ChannelHeaderSize:], flood) {
			t.Fatalf("frame %d is torn", frames)
		}
		if frames == 8 { // by now there is room for an answer
			victim.write(request.Raw)
		}
	}
	waitFor(t, "nothing to wait any more", func() bool { return s.backlog.waiting.Load() == 0 })
}

// TestSendQueueKeepsOrder sends from several goroutines to a client that reads, over a real socket. Every frame arrives
// whole, and each sender's frames in order.
func TestSendQueueKeepsOrder(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	_ = near.(*net.TCPConn).SetWriteBuffer(4096)

	var q sendQueue
	var drains, senders sync.WaitGroup
	q.init(near, drains.Go)
	const n, each = 4, 3000
	var sent [n]int
	for sender := range n {
		senders.Go(func() {
			frame := make([]byte, 400)
			for i := range each {
				binary.BigEndian.PutUint32(frame, uint32(sender))
				binary.BigEndian.PutUint32(frame[4:], uint32(i))
				binary.BigEndian.PutUint32(frame[396:], uint32(i))
				if q.enqueue(frame) {
					sent[sender]++
				}
			}
		})
	}
	var got [n]int
	next := [n]uint32{}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		frame := make([]byte, 400)
		for {
			if _, err := io.ReadFull(far, frame); err != nil {
				return
			}
			sender, i := binary.BigEndian.Uint32(frame), binary.BigEndian.Uint32(frame[4:])
			if sender >= n || i < next[sender] || i != binary.BigEndian.Uint32(frame[396:]) {
				t.Errorf("frame %d of sender %d came after %d", i, sender, next[sender])
				return
			}
			next[sender] = i + 1
			got[sender]++
		}
	}()
	senders.Wait()
	drains.Wait()
	_ = near.Close()
	<-finished
	if got != sent {
		t.Errorf("sent %v, got %v", sent, got)
	}
}

// TestAllocationEndsWithStream tries each way that a stream can end.
func TestAllocationEndsWithStream(t *testing.T) {
	s := startServer(t, nil)
	for name, end := range map[string]func(c *testClient){
		"closed":      func(c *testClient) { _ = c.conn.Close() },
		"half closed": func(c *testClient) { _ = c.conn.(*net.TCPConn).CloseWrite() },
		"reset": func(c *testClient) {
			_ = c.conn.(*net.TCPConn).SetLinger(0)
			_ = c.conn.Close()
		},
		"bad frame": func(c *testClient) { c.write([]byte("\xFFnonsense")) },
	} {
		c := dialREST(t, s, "tcp", "alice")
		c.allocate()
		end(c)
		waitFor(t, name+": the allocation to end", func() bool { return s.Allocations() == 0 && heldPorts(s) == 0 })
	}
	// A second allocation may follow the first on one stream.
	c := dialREST(t, s, "tcp", "alice")
	for range 3 {
		c.allocate()
		c.accept(stun.MethodRefresh, lifetime(0))
	}
	c.allocate()
}

func TestStreamLimit(t *testing.T) {
	s := startServer(t, func(cfg *Config) { cfg.Limits.Streams = 2 })
	first, second := dialREST(t, s, "tcp", "alice"), dialREST(t, s, "tcp", "alice")
	first.allocate()
	second.allocate()
	dial(t, s, "tcp").wantClosed()
	waitCounted(t, s, "streams_closed", "too_many", 1)
	_ = first.conn.Close()
	waitFor(t, "the closed stream to be forgotten", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.streams) == 1
	})
	dial(t, s, "tcp").barrier()
	second.barrier()
}

// TestOldestWithoutAllocationGoes: streams and associations without an allocation keep nobody out. The oldest of them
// makes room, and those that carry something stay.
func TestOldestWithoutAllocationGoes(t *testing.T) {
	const limit = 5
	s := startServer(t, func(cfg *Config) { allowLoopback(cfg); cfg.Limits.Streams = limit })
	cred := mintREST(t, "alice", time.Hour)
	b := newBridge(t, s, "tcp", cred) // an allocation's stream, and one that carries a peer's data
	inUse := dialREST(t, s, "dtls", "bob")
	inUse.allocate()
	var bare []*testClient
	for _, network := range []string{"tls", "dtls"} {
		bare = append(bare, dial(t, s, network))
		bare[len(bare)-1].barrier() // it has its place
	}
	for i, network := range []string{"tcp", "dtls", "tls"} {
		next := dial(t, s, network)
		next.barrier()
		waitCounted(t, s, "streams_closed", "crowded_out", uint64(i+1))
		bare[0].wantClosed()
		bare = append(bare[1:], next)
	}
	// A stream whose allocation has ended is among the youngest of those without.
	former := bare[1].as(cred)
	former.allocate()
	former.accept(stun.MethodRefresh, lifetime(0))
	dial(t, s, "tcp").barrier()
	bare[0].wantClosed()
	former.allocate()
	inUse.accept(stun.MethodRefresh)
	b.peer.send([]byte("still there"))
	b.client.want([]byte("still there"))
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	if s.places.taken != limit || s.places.bare.Len() != 1 {
		t.Errorf("%d places are taken, %d by connections without an allocation", s.places.taken, s.places.bare.Len())
	}
}
