package turnserver

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"example.org/turnpike/turnserver/wire"
)

// tlsStream returns a TLS client of the server, and the server's end of its stream.
func tlsStream(t *testing.T, s *Server) (*tls.Conn, *stream) {
	t.Helper()
	c := dialREST(t, s, "tls", "alice")
	relayed := c.allocate()
	return c.conn.(*tls.Conn), s.relays.Load().offered(false, wire.IPv4)[0].allocationAt(relayed.Port()).home.Load().stream
}

// TestRecordEach: a client over TLS finds each message in a record of its own, from the first on, though a batch leaves
// in one piece.
func TestRecordEach(t *testing.T) {
	s := startServer(t, nil)
	conn, near := tlsStream(t, s)
	var counters counters
	var b streamBatch
	const n = 40
	for i := range n {
		b.queue(near, pattern(1000+8*i), 1)
	}
	b.flush(&counters)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1<<16)
	for i := range n {
		if got, err := conn.Read(buf); err != nil || !bytes.Equal(buf[:got], pattern(1000+8*i)) {
			t.Fatalf("record %d has %d bytes, want %d: %v", i, got, 1000+8*i, err)
		}
	}
	if got := counters.relayed.Sent[classOf(wire.TLS, peerToClient)].Packets.Load(); got != n {
		t.Errorf("%d were counted", got)
	}
}

// TestTLSKeepsOrder sends from several goroutines to one client over TLS that reads slowly at first. Every message that
// was taken arrives whole, each sender's in order, and no goroutine is left.
func TestTLSKeepsOrder(t *testing.T) {
	s := startServer(t, nil)
	conn, near := tlsStream(t, s)
	const senders, each, size = 4, 2000, 400
	var sending sync.WaitGroup
	var sent [senders]int
	for sender := range senders {
		sending.Go(func() {
			var counters counters
			for i := range each / 5 {
				var b streamBatch
				for k := range 5 {
					m := make([]byte, size)
					binary.BigEndian.PutUint32(m, uint32(sender))
					binary.BigEndian.PutUint32(m[4:], uint32(5*i+k))
					binary.BigEndian.PutUint32(m[size-4:], uint32(5*i+k))
					b.queue(near, m, size)
				}
				b.flush(&counters)
			}
			sent[sender] = int(counters.relayed.Sent[classOf(wire.TLS, peerToClient)].Packets.Load())
		})
	}
	var got [senders]int
	var next [senders]uint32
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		m := make([]byte, size)
		for {
			if _, err := io.ReadFull(conn, m); err != nil {
				return
			}
			sender, i := binary.BigEndian.Uint32(m), binary.BigEndian.Uint32(m[4:])
			if sender == senders { // the last
				return
			}
			if sender > senders || i < next[sender] || i != binary.BigEndian.Uint32(m[size-4:]) {
				t.Errorf("message %d of sender %d came after %d", i, sender, next[sender])
				return
			}
			next[sender] = i + 1
			got[sender]++
		}
	}()
	sending.Wait()
	last := make([]byte, size)
	binary.BigEndian.PutUint32(last, senders)
	waitFor(t, "room for the last message", func() bool { return near.tls.enqueue([]streamMessage{{near, last, size}}) == 1 })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	<-finished
	if got != sent {
		t.Errorf("sent %v, got %v", sent, got)
	}
	waitFor(t, "everything to be written", func() bool {
		near.out.mu.Lock()
		defer near.out.mu.Unlock()
		return !near.out.busy && near.out.waiting == 0 && near.out.charged == 0 && near.tls.lent == nil
	})
}

// TestSlowTLSClient: what waits for a client over TLS that reads nothing is bounded, and the rest is dropped.
func TestSlowTLSClient(t *testing.T) {
	s := startServer(t, nil)
	_, near := tlsStream(t, s)
	var counters counters
	for counters.reasons[dropSlowClient].Load() < 100 {
		var b streamBatch
		for range 40 {
			b.queue(near, pattern(1200), 1200)
		}
		b.flush(&counters)
	}
	near.out.mu.Lock()
	defer near.out.mu.Unlock()
	if most := maxQueued + maxQueued/20; near.out.waiting > most || near.out.waiting < maxQueued/2 || len(near.out.queue) > most {
		t.Errorf("%d bytes wait, %d of them in the queue", near.out.waiting, len(near.out.queue))
	}
}

// TestWhatTLSSaysIsBounded: a client may make TLS say something again and again, by asking for new keys. If it reads
// nothing of it, its connection ends.
func TestWhatTLSSaysIsBounded(t *testing.T) {
	s := startServer(t, nil)
	conn, near := tlsStream(t, s)
	record := make([]byte, 1000)
	for said := 0; ; said += len(record) {
		if _, err := near.tls.take(record); err != nil {
			break
		}
		if said > 64<<20 { // more than the buffers of two sockets, and the bound
			t.Fatal("there is no end to it")
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Error("the connection is open")
	}
	waitFor(t, "the stream to be forgotten", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.streams) == 0
	})
}

// TestShortMessagesAtOnce: a client over TLS for which as many short messages wait as there is room for gets them all, though encryption
// makes them many times as long.
func TestShortMessagesAtOnce(t *testing.T) {
	s := startServer(t, nil)
	conn, near := tlsStream(t, s)
	waitFor(t, "what TLS itself has to say to leave", func() bool {
		near.tls.out.mu.Lock()
		defer near.tls.out.mu.Unlock()
		return near.tls.out.waiting == 0
	})
	near.tls.out.mu.Lock()
	near.tls.sealing = true // as if a goroutine encrypted
	near.tls.out.mu.Unlock()
	const size, many = 8, maxQueued / 4
	var counters counters
	var b streamBatch
	for i := range many {
		m := make([]byte, size)
		binary.BigEndian.PutUint32(m, uint32(i))
		b.queue(near, m, size)
		if i%50 == 49 {
			b.flush(&counters)
		}
	}
	b.flush(&counters)
	taken := int(counters.relayed.Sent[classOf(wire.TLS, peerToClient)].Packets.Load())
	if taken == 0 || taken == many {
		t.Fatalf("%d of %d messages were taken", taken, many)
	}
	near.tls.finishSealing()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	m := make([]byte, size)
	for i := range taken {
		if _, err := io.ReadFull(conn, m); err != nil || binary.BigEndian.Uint32(m) != uint32(i) {
			t.Fatalf("message %d of %d is %x: %v", i, taken, m, err)
		}
	}
}
