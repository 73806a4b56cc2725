package turnserver

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// countingConn keeps the bytes that are written to it, and counts the writes.
type countingConn struct {
	scriptedConn
	mu     sync.Mutex
	pieces [][]byte
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces = append(c.pieces, bytes.Clone(b))
	return len(b), nil
}

// TestOneWriteABatch: the messages of a batch for one stream are written in one piece, and each stream gets its own in
// order.
func TestOneWriteABatch(t *testing.T) {
	s := newServer(t, nil)
	var conns [2]countingConn
	var streams [2]*stream
	for i := range streams {
		streams[i] = newStream(s, newShard(s), &conns[i])
	}
	var b streamBatch
	var want [2][]byte
	var counters counters
	for i := range 40 {
		data := pattern(i)
		to := i / 10 % 2 // runs of ten
		b.queue(streams[to], data, len(data))
		want[to] = append(want[to], data...)
	}
	b.flush(&counters)
	s.readers.Wait() // the writers of the queues
	for i := range conns {
		if got := bytes.Join(conns[i].pieces, nil); !bytes.Equal(got, want[i]) {
			t.Errorf("stream %d got %d bytes, want %d", i, len(got), len(want[i]))
		}
		if n := len(conns[i].pieces); n > 2 {
			t.Errorf("stream %d was written to %d times for two runs", i, n)
		}
	}
	if got := counters.relayed.Sent[classOf(wire.TCP, peerToClient)].Packets.Load(); got != 40 {
		t.Errorf("%d packets were counted", got)
	}
	if len(b.waiting) != 0 {
		t.Error("something waits still")
	}
}

// TestBatchForSlowStream: if a run does not fit, the messages that fit are sent, and the others are dropped and
// counted.
func TestBatchForSlowStream(t *testing.T) {
	s := newServer(t, nil)
	near, far := net.Pipe()
	stream := newStream(s, newShard(s), far)
	stream.account.Store(new(account))
	var b streamBatch
	var counters counters
	const size, n = 50_000, 20
	for range n {
		b.queue(stream, make([]byte, size), size)
	}
	b.flush(&counters)
	sent, dropped := counters.relayed.Sent[classOf(wire.TCP, peerToClient)].Packets.Load(), counters.reasons[dropSlowClient].Load()
	if most := uint64(2*maxQueued/size + 1); sent < maxQueued/size || sent > most || sent+dropped != n {
		t.Errorf("%d were sent and %d dropped of %d", sent, dropped, n)
	}
	_ = near.Close()
	s.readers.Wait()
}

// TestFramesSideBySide sends frames to two relayed addresses in one write. The second becomes a Data indication. Its
// header is longer than the frame's own, and takes the room of the first frame.
func TestFramesSideBySide(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c, first, second := dialREST(t, s, "tcp", "alice"), dialREST(t, s, network, "bob"), dialREST(t, s, network, "carol")
		relayed, ofFirst, ofSecond := c.allocate(), first.allocate(), second.allocate()
		c.bind(wire.MinChannel, ofFirst)
		c.bind(wire.MinChannel+1, ofSecond)
		first.bind(wire.MinChannel, relayed)
		second.permit(relayed)
		var frames []byte
		for i := range 20 {
			frames = append(frames, channelMessage(wire.MinChannel, pattern(100+i), true)...)
			frames = append(frames, channelMessage(wire.MinChannel+1, pattern(50+i), true)...)
		}
		c.write(frames)
		for i := range 20 {
			first.wantData(wire.MinChannel, relayed, pattern(100+i))
			second.wantData(0, relayed, pattern(50+i))
		}
	})
}

// TestStreamBurst sends bursts both ways through a relay of a client on a stream. All datagrams come, in order.
func TestStreamBurst(t *testing.T) {
	s := startServer(t, allowLoopback)
	c, peer := dialREST(t, s, "tcp", "alice"), newPeer(t)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	var frames []byte
	for i := range 100 {
		frames = append(frames, channelMessage(wire.MinChannel, pattern(1+i), true)...)
		peer.send(relayed, pattern(200+i))
	}
	c.write(frames)
	for i := range 100 {
		peer.want(relayed, pattern(1+i))
		c.wantData(wire.MinChannel, peer.addr, pattern(200+i))
	}
}

// TestRelayOfStreamEndsWhileItSends ends and makes allocations of a client on a stream while it sends. No datagram
// leaves from another socket that has got the descriptor's number.
func TestRelayOfStreamEndsWhileItSends(t *testing.T) {
	s := startServer(t, allowLoopback)
	peer := newPeer(t)
	var ports sync.Map // relayed ports of the user, which the peer may hear from
	for range 30 {
		c := dialREST(t, s, "tcp", "alice")
		ports.Store(c.allocate().Port(), true)
		for _, m := range [][]byte{
			c.build(0x009, channelNumber(wire.MinChannel), peerAddr(peer.addr)).Raw, bytes.Repeat(channelMessage(wire.MinChannel, pattern(20), true), 200),
		} {
			if _, err := c.conn.Write(m); err != nil {
				t.Fatal(err)
			}
		}
		s.EndUser("alice")
		c.barrier()
	}
	waitFor(t, "the ports to be free", func() bool { return heldPorts(s) == 0 })
	last := listenPeer(t)
	if err := peer.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for {
		// The peer's buffer may have been full, but it has room again after each datagram.
		if _, err := last.WriteToUDPAddrPort([]byte("last"), peer.addr); err != nil {
			t.Fatal(err)
		}
		n, from, err := peer.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == "last" {
			return
		}
		if _, ours := ports.Load(from.Port()); !ours {
			t.Fatalf("heard from port %d, which was never this user's", from.Port())
		}
	}
}
