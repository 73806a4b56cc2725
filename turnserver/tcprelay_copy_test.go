package turnserver

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// TestHalfClose: a side that sends no more still gets everything from the other, to the last byte.
func TestHalfClose(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		b := newBridge(t, s, network, cred)
		for _, way := range []string{"client", "peer"} {
			first, last := b.client, b.peer
			if way == "peer" {
				first, last = b.peer, b.client
			}
			first.send(pattern(100000))
			first.finish()
			last.want(pattern(100000))
			last.wantFinished()
			last.send(pattern(200000))
			first.want(pattern(200000))
			last.finish()
			first.wantFinished()
			wantNoPeerConns(t, s)
			b.another(t, s, network, cred)
		}
	})
}

// duplex is an end of a connection in memory, whose halves can be closed apart.
type duplex struct {
	net.Conn // which it reads from
	out      net.Conn
}

// newDuplex returns both ends.
func newDuplex() (near, far duplex) {
	a, b := net.Pipe()
	c, d := net.Pipe()
	return duplex{a, c}, duplex{d, b}
}

func (d duplex) Write(b []byte) (int, error)        { return d.out.Write(b) }
func (d duplex) CloseWrite() error                  { return d.out.Close() }
func (d duplex) SetWriteDeadline(t time.Time) error { return d.out.SetWriteDeadline(t) }
func (d duplex) SetDeadline(t time.Time) error {
	_ = d.SetReadDeadline(t)
	return d.SetWriteDeadline(t)
}
func (d duplex) Close() error {
	_ = d.out.Close()
	return d.Conn.Close()
}

// carried makes a stream carry a peer's data, all in memory, and returns the other ends of both.
func carried(t *testing.T, wg *sync.WaitGroup) (client, peer duplex) {
	t.Helper()
	s := newServer(t, nil)
	a := &allocation{shard: newShard(s), account: new(account), budget: new(budget)}
	relay := &tcpRelay{srv: s, alloc: a, conns: make(map[wire.Endpoint]*peerConn)}
	a.first.tcp = relay
	near, client := newDuplex()
	conn, peer := newDuplex()
	p, result := s.peers.addPending(relay, wire.EndpointOf(at("192.0.2.7")))
	if result != outcomeDone {
		t.Fatal("no connection was begun")
	}
	id, _ := s.peers.offer(p, conn, s.now())
	stream := newStream(s, a.shard, near)
	stream.account.Store(a.account)
	stream.out.enqueue(pattern(maxQueued)) // what the client was sent before, and has not read
	stream.answer = []byte("answer")
	if stream.claimed, result = s.peers.claim(id, func(*allocation) bool { return true }, stream, s.now()); result != outcomeDone {
		t.Fatal("it cannot be claimed")
	}
	wg.Go(func() { stream.copyWithPeer(nil) })
	for _, want := range [][]byte{pattern(maxQueued), stream.answer} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the client reads %.20q, %v, want %.20q", got, err, want)
		}
	}
	return client, peer
}

// TestWaitUntilWritten in false time: when all has left, or cannot.
func TestWaitUntilWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		var q sendQueue
		q.init(far, wg.Go)
		if !q.waitUntilWritten() {
			t.Error("an empty queue cannot be taken over")
		}
		start := time.Now()
		q.enqueue(pattern(3))
		q.enqueue(pattern(5))
		time.AfterFunc(time.Second, func() { _, _ = io.ReadFull(near, pattern(8)) })
		if !q.waitUntilWritten() || time.Since(start) != time.Second {
			t.Errorf("taken over after %v", time.Since(start))
		}
		q.enqueue(pattern(3))
		if q.waitUntilWritten() || time.Since(start) != time.Second+writeTimeout {
			t.Errorf("after %v it is taken over, though its reader has stopped", time.Since(start))
		}
		wg.Wait()
	})
}

// TestLeft in false time: of a connection that one side has left, and the other is silent, nothing is left in the end.
func TestLeft(t *testing.T) {
	for _, way := range []string{"client", "peer"} {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			first, last := carried(t, &wg)
			if way == "peer" {
				first, last = last, first
			}
			start := time.Now()
			_ = first.CloseWrite()
			if _, err := io.Copy(io.Discard, last); err != nil || time.Since(start) != 0 {
				t.Errorf("the other is told %v after %v", err, time.Since(start))
			}
			wg.Wait()
			if got := time.Since(start); got != lingerTime {
				t.Errorf("ended after %v, want %v", got, lingerTime)
			}
			_ = last.Close()
		})
	}
}

// TestLinger in false time: as long as both sides may still speak, they may be silent; of a connection that one side
// has left, silence is the end, and speech is not.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		client, peer := carried(t, &wg)
		time.Sleep(24 * time.Hour)
		go func() { _, _ = client.Write([]byte("hello")) }()
		if _, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
			t.Fatal("after a day: ", err)
		}
		_ = client.CloseWrite()
		if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer is told %v", err)
		}
		for range 5 {
			time.Sleep(lingerTime - time.Second)
			go func() { _, _ = peer.Write([]byte("x")) }()
			if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client reads %v", err)
		}
		if got := time.Since(start); got != lingerTime {
			t.Errorf("ended after %v, want %v", got, lingerTime)
		}
		wg.Wait()
	})
}

// TestStuck in false time: a side that reads nothing for too long ends the connection, and one that reads a little does
// not.
func TestStuck(t *testing.T) {
	for _, way := range []string{"client", "peer"} {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			sender, stuck := carried(t, &wg)
			if way == "peer" {
				sender, stuck = stuck, sender
			}
			ended := make(chan time.Time, 1)
			go func() {
				for {
					if _, err := sender.Write(make([]byte, copySize)); err != nil {
						ended <- time.Now()
						return
					}
				}
			}()
			for range 10 {
				time.Sleep(stuckTime - time.Second)
				if _, err := io.ReadFull(stuck, make([]byte, copySize)); err != nil {
					t.Fatal("a slow reader: ", err)
				}
			}
			start := time.Now()
			wg.Wait()
			if got := time.Since(start); got < stuckTime || got > stuckTime+stuckSlack {
				t.Errorf("from a stuck %s it ended after %v", way, got)
			}
			_, _ = sender.Close(), stuck.Close()
			<-ended
		})
	}
}

// TestStreamsWaitForBandwidth in false time: a limit slows a stream to its rate and drops nothing, and takes from each
// limit but once.
func TestStreamsWaitForBandwidth(t *testing.T) {
	const rate, chunk, total = 8_000_000, 50_000, 20_000_000 // bits a second, bytes, bytes
	for name, limits := range map[string]Limits{
		"allocation":  {BandwidthPerAllocation: rate},
		"user":        {BandwidthPerUser: rate},
		"node":        {Bandwidth: rate},
		"node behind": {BandwidthPerAllocation: 4 * rate, BandwidthPerUser: 2 * rate, Bandwidth: rate},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, start := newBandwidth(&limits), time.Now()
				now := func() clock { return clock(time.Since(start)) }
				a := &allocation{account: new(account), budget: new(budget)}
				var streams sync.WaitGroup
				for range 4 {
					streams.Go(func() {
						for range total / chunk / 4 {
							if !b.waitFor(a, clientToPeer, chunk, now, nil) {
								t.Error("it gave up")
							}
						}
					})
				}
				datagrams := 0 // beside them
				for range 1000 {
					time.Sleep(10 * time.Millisecond)
					if b.allows(a, clientToPeer, 1200, now()) {
						datagrams++
					}
				}
				streams.Wait()
				want := sendingTime(total, rate) - burstOf(rate) + time.Duration(datagrams)*sendingTime(1200, rate)
				if got := time.Since(start); got < want-time.Millisecond || got > want+want/20 {
					t.Errorf("took %v, want %v", got, want)
				}
				if datagrams < 900 {
					t.Errorf("of 1000 datagrams %d got through beside the streams", datagrams)
				}

				ended := make(chan struct{})
				for b.allows(a, clientToPeer, chunk, now()) {
				}
				time.AfterFunc(time.Millisecond, func() { close(ended) })
				if b.waitFor(a, clientToPeer, maxDatagram, now, ended) {
					t.Error("a stream that has ended got through")
				}
			})
		})
	}
}

// slowReader: neither side of a relayed connection can harm the server or others by not reading. The data stay with
// their sender, nothing is lost, and another connection of the same allocation goes on.
func slowReader(t *testing.T) {
	onStreams(t, func(t *testing.T, network string) {
		s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
		b := newBridge(t, s, network, cred)
		slow := *b
		b.another(t, s, network, cred)
		for _, end := range []*testData{slow.client, slow.peer} { // so that the kernel's buffers hold little
			_ = socketOf(end.conn).(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		const flood = 48 << 20 // more than the buffers of four sockets
		for direction, way := range []struct{ from, to *testData }{clientToPeer: {slow.client, slow.peer}, peerToClient: {slow.peer, slow.client}} {
			_ = way.from.conn.SetWriteDeadline(time.Time{})
			var sender sync.WaitGroup
			sender.Go(func() {
				chunk := make([]byte, 16<<10)
				for range flood / len(chunk) {
					if _, err := way.from.conn.Write(chunk); err != nil {
						t.Error(err)
						return
					}
				}
			})
			before, _ := memoryInUse()
			for range 100 {
				b.client.send(pattern(10000))
				b.peer.want(pattern(10000))
				b.peer.send(pattern(10000))
				b.client.want(pattern(10000))
			}
			after, _ := memoryInUse()
			if grown := after - before; grown > 1<<20 {
				t.Errorf("a side that does not read cost %d bytes", grown)
			}
			a := s.Snapshot()[0]
			if got := []Traffic{clientToPeer: a.Up, peerToClient: a.Down}[direction].Bytes; got >= flood {
				t.Errorf("%d bytes were passed on to who reads none", got)
			}
			b.control.accept(stun.MethodRefresh)
			_ = way.to.conn.SetReadDeadline(time.Now().Add(4 * patience))
			if n, err := io.CopyN(io.Discard, way.to.in, flood); err != nil {
				t.Fatalf("of %d bytes %d came: %v", flood, n, err)
			}
			sender.Wait()
		}
		slow.peer.send([]byte("well again"))
		slow.client.want([]byte("well again"))
	})
}
