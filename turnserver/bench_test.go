package turnserver

import (
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/wire"
)

// mostIdleBytes is how much memory of the process, heap and stacks, an allocation may take that waits for packets.
const mostIdleBytes = 10 << 10

// TestIdleAllocationIsSmall holds the bound, over UDP.
func TestIdleAllocationIsSmall(t *testing.T) {
	heap, stack := idleAllocation(t, 500)
	if heap+stack >= mostIdleBytes {
		t.Errorf("an idle allocation with one channel takes %.0f bytes of heap and %.0f of stack, want less than %d", heap, stack, mostIdleBytes)
	}
}

// BenchmarkIdleAllocation prints the server's memory, heap and stacks in use, an idle allocation with one channel. The
// clients are addresses without a socket, so none of it is theirs. The kernel's share of a socket is not in it.
func BenchmarkIdleAllocation(b *testing.B) {
	heap, stack := idleAllocation(b, 2000)
	for b.Loop() { // once, in effect: the function runs once, and has done its work
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(heap, "heap-B/allocation")
	b.ReportMetric(stack, "stack-B/allocation")
	b.ReportMetric(heap+stack, "B/allocation")
}

// idleAllocation makes n allocations, relays one packet for each, and returns how much memory one takes.
func idleAllocation(t testing.TB, n int) (heap, stack float64) {
	t.Helper()
	f := newFuzzServer(t)
	if loops && !portable { // this goroutine serves the requests; the loop runs only to end its allocations
		if err := f.srv.makeLoops(); err != nil {
			t.Fatal(err)
		}
		f.worker = f.srv.loops[0].worker
		t.Cleanup(f.srv.serve)
	}
	f.srv.cfg.Limits.AllocationsPerUser, f.srv.cfg.Limits.AllocationsPerAddress = n, n
	outside := netip.MustParseAddr("1.1.1.1") // nothing is sent there
	f.srv.policy = peerpolicy.New(nil, nil)
	heapBefore, stackBefore := memoryInUse()
	cred := mintREST(t, "alice", time.Hour)
	key := stun.NewLongTermIntegrity(cred.Username, testRealm, cred.Password)
	for i := range n {
		c := f.client
		c.remote = netip.AddrPortFrom(loopback, uint16(1+i)) // where nobody listens for the answers
		c.tuple.Client = wire.EndpointOf(c.remote)
		sign := []stun.Setter{stun.NewUsername(cred.Username), stun.NewRealm(testRealm), stun.NewNonce(string(f.worker.nonce(&c))), key}
		ask := func(method stun.Method, attrs ...stun.Setter) {
			m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(attrs, sign...)...)
			end := headroom + copy(f.buf.bytes[headroom:], m.Raw)
			f.worker.handle(&c, f.buf.bytes[:], headroom, end)
		}
		ask(stun.MethodAllocate, transport(transportUDP))
		a := f.worker.shard.find(c.tuple)
		if a == nil {
			t.Fatal("allocation", i, "was refused")
		}
		ask(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(netip.AddrPortFrom(outside, 9)))
	}
	if up, down := flowsOf(f.srv); up != n || down != n {
		t.Fatalf("%d and %d flows of %d", up, down, n)
	}
	if f.worker.loop != nil {
		heapAfter, stackAfter := memoryInUse()
		return float64(heapAfter-heapBefore) / float64(n), float64(stackAfter-stackBefore) / float64(n)
	}
	// A packet to each, that is dropped, shows that each reader has come to where it waits.
	for i := range f.srv.relays.Load().udp[0].slots {
		if a := f.srv.relays.Load().udp[0].slots[i].Load(); a != nil {
			if _, err := f.near.WriteToUDPAddrPort([]byte("x"), a.first.local.AddrPort()); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitCounted(t, f.srv, "packets_dropped", "no_permission", uint64(n))
	heapAfter, stackAfter := memoryInUse()
	return float64(heapAfter-heapBefore) / float64(n), float64(stackAfter-stackBefore) / float64(n)
}

func memoryInUse() (heap, stack int64) {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), int64(m.StackInuse)
}

// benchFlow is an allocation of a client with a peer, whose packets the benchmarks hand over without reading them from
// a socket.
type benchFlow struct {
	srv    *Server
	alloc  *allocation
	worker *worker
	buf    *buffer
	peer   netip.AddrPort // bound to wire.MinChannel
	other  netip.AddrPort // has a permission only
}

// newBenchFlow makes the flow. It really sends packets, to sockets that overflow or to a client that discards them.
func newBenchFlow(b testing.TB, network string) *benchFlow {
	s := startServer(b, allowLoopback)
	c, peer, other := dialREST(b, s, network, "alice"), newPeer(b), newPeer(b)
	relayed := c.allocate()
	c.bind(wire.MinChannel, peer.addr)
	a := s.relays.Load().udp[0].allocationAt(relayed.Port())
	if network == "tcp" {
		_ = c.conn.SetReadDeadline(time.Time{})
		go func() { _, _ = io.Copy(io.Discard, c.frames) }()
	}
	return &benchFlow{s, a, newWorker(s, a.shard), new(buffer), peer.addr, other.addr}
}

func (f *benchFlow) up(b *testing.B, packet []byte) {
	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	for b.Loop() {
		n := copy(f.buf.bytes[headroom:], packet)
		f.worker.handle(&f.alloc.home.Load().client, f.buf.bytes[:], headroom, headroom+n)
		f.worker.flush()
	}
}

func (f *benchFlow) down(b *testing.B, from netip.AddrPort, data []byte) {
	peer := wire.EndpointOf(from)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		n := copy(f.buf.bytes[headroom:], data)
		f.alloc.fromPeer(f.worker, f.buf.bytes[:], headroom, headroom+n, peer)
		f.worker.flush()
	}
}

// videoSize is a usual datagram of WebRTC video.
const videoSize = 1200

func BenchmarkChannelData(b *testing.B) {
	b.Run("up", func(b *testing.B) {
		newBenchFlow(b, "udp").up(b, channelMessage(wire.MinChannel, pattern(videoSize), true))
	})
	for _, network := range []string{"udp", "tcp"} {
		b.Run("down/"+network, func(b *testing.B) {
			f := newBenchFlow(b, network)
			f.down(b, f.peer, pattern(videoSize))
		})
	}
	b.Run("across", func(b *testing.B) { // to another allocation, here the same
		f := newBenchFlow(b, "udp")
		now, d := f.srv.now(), f.srv.destinationOf(f.alloc.first.external)
		if got := f.alloc.shard.bind(f.alloc, wire.MaxChannel, d, now, &f.srv.cfg.Limits); got != outcomeDone {
			b.Fatal("bind:", got)
		}
		f.up(b, channelMessage(wire.MaxChannel, pattern(videoSize), true))
	})
}

func BenchmarkSendIndication(b *testing.B) {
	b.Run("up", func(b *testing.B) {
		f := newBenchFlow(b, "udp")
		f.up(b, sendIndication(b, f.other, pattern(videoSize)))
	})
	for _, network := range []string{"udp", "tcp"} {
		b.Run("down/"+network, func(b *testing.B) {
			f := newBenchFlow(b, network)
			f.down(b, f.other, pattern(videoSize))
		})
	}
}

func BenchmarkBinding(b *testing.B) {
	f := newBenchFlow(b, "udp")
	f.up(b, buildMessage(b, stun.BindingRequest, stun.Fingerprint).Raw)
}

// BenchmarkAllocate makes and ends an allocation: two signed requests and a socket.
func BenchmarkAllocate(b *testing.B) {
	f := newFuzzServer(b)
	allocate := buildMessage(b, stun.NewType(stun.MethodAllocate, stun.ClassRequest), append([]stun.Setter{transport(transportUDP)}, f.auth...)...).Raw
	end := buildMessage(b, stun.NewType(stun.MethodRefresh, stun.ClassRequest), append([]stun.Setter{lifetime(0)}, f.auth...)...).Raw
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range [][]byte{allocate, end} {
			n := copy(f.buf.bytes[headroom:], m)
			f.worker.handle(&f.client, f.buf.bytes[:], headroom, headroom+n)
		}
	}
	if counterOf(b, f.srv, "allocations_made", "") == 0 || f.srv.Allocations() != 0 {
		b.Fatal("the requests were refused")
	}
}
