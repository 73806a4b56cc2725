package udpio

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var at127 = netip.MustParseAddrPort("127.0.0.1:0")

// openTest opens a listener's socket and a relayed one on loopback.
func openTest(t testing.TB) (listener, relayed int, listenerAddr, relayedAddr netip.AddrPort) {
	t.Helper()
	listener, _, err := OpenShared(at127, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(listener) })
	if relayed, _, err = OpenRelayed(at127); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(relayed) })
	if listenerAddr, err = BoundTo(listener); err != nil {
		t.Fatal(err)
	}
	if relayedAddr, err = BoundTo(relayed); err != nil {
		t.Fatal(err)
	}
	return listener, relayed, listenerAddr, relayedAddr
}

func newTestReader() *Reader {
	return NewReader(Buffers{Batch: BatchSize, Headroom: 8, Size: 65536, Tailroom: 8})
}

// wantCounts compares a sender's counters: packets and bytes by class, and datagrams that were not sent.
func wantCounts(t *testing.T, s *Sender, sent map[int][2]uint64, lastHop, tooLarge, failed uint64) {
	t.Helper()
	c := s.Counters
	for class := range c.Sent {
		if got := [2]uint64{c.Sent[class].Packets.Load(), c.Sent[class].Bytes.Load()}; got != sent[class] {
			t.Errorf("class %d: %d packets and bytes, want %d", class, got, sent[class])
		}
	}
	if got, want := [3]uint64{c.LastHop.Load(), c.TooLarge.Load(), c.Failed.Load()}, [3]uint64{lastHop, tooLarge, failed}; got != want {
		t.Errorf("not sent %d, want %d", got, want)
	}
}

// TestBatch: datagrams arrive whole and in order, with their headers and destination, and are counted in their class.
func TestBatch(t *testing.T) {
	listener, relayed, to, from := openTest(t)
	s, r := NewSender(new(Counters)), newTestReader()
	sizes := []int{100, 100, 100, 40, 0, 3000, 100, 200, 200}
	bytesOf := func(i, size int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, size) }
	for i, size := range sizes {
		s.Add(Outgoing{FD: relayed, To: to, Header: Header{Class: 0xB8, HopLimit: 9}, Size: size, Class: 3}, bytesOf(i, size))
	}
	s.Add(Outgoing{FD: relayed, To: to, Size: Uncounted, Class: 3}, []byte("not counted"))
	s.Add(Outgoing{FD: relayed, To: to, Header: Header{HopLimit: 1}, Size: 5, Class: 3}, []byte("never"))
	s.Flush()
	wantCounts(t, s, map[int][2]uint64{3: {uint64(len(sizes)), 3840}}, 1, 0, 0)
	n, more := r.Read(listener)
	if n != len(sizes)+1 || more {
		t.Fatalf("read %d, more: %v", n, more)
	}
	for i, size := range sizes {
		m := r.Message(i)
		if m.Truncated || m.From != from || !bytes.Equal(m.Buf[8:8+m.Size], bytesOf(i, size)) || !bytes.Equal(r.Data(i), bytesOf(i, size)) {
			t.Errorf("datagram %d is of %d bytes from %v", i, m.Size, m.From)
		}
		if m.Header != (Header{To: to.Addr(), Class: 0xB8, HopLimit: 8}) {
			t.Errorf("datagram %d has %+v", i, m.Header)
		}
	}
	if n, more := r.Read(listener); n != 0 || more {
		t.Errorf("then read %d, more: %v", n, more)
	}
}

// TestFailures: datagrams that cannot leave are counted by the reason, and the others leave.
func TestFailures(t *testing.T) {
	listener, relayed, to, _ := openTest(t)
	s, r := NewSender(new(Counters)), newTestReader()
	s.Add(Outgoing{FD: relayed, To: to, Size: 1}, []byte("1"))
	s.Add(Outgoing{FD: relayed, To: to, Size: 1}, make([]byte, LargestPayload+1))
	s.Add(Outgoing{FD: -1, To: to, Size: 1}, []byte("no socket"))
	s.Add(Outgoing{FD: relayed, To: to, Size: 1}, []byte("2"))
	s.Flush()
	wantCounts(t, s, map[int][2]uint64{0: {2, 2}}, 0, 1, 1)
	if n, _ := r.Read(listener); n != 2 || string(r.Data(0)) != "1" || string(r.Data(1)) != "2" {
		t.Errorf("read %d", n)
	}
}

// TestErrorQueue: a relayed socket reports a closed port, and names the address of the datagram.
func TestErrorQueue(t *testing.T) {
	_, relayed, closed, _ := openTest(t)
	if err := unix.SetsockoptInt(relayed, unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil {
		t.Fatal(err)
	}
	closed = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.77"), closed.Port())
	s, r := NewSender(new(Counters)), newTestReader()
	s.Add(Outgoing{FD: relayed, To: closed, Size: 1}, []byte("anybody?"))
	s.Flush()
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		n, _ := r.ReadErrors(relayed)
		if n == 0 {
			continue
		}
		if m, ok := r.ICMP(0); n != 1 || !ok || m != (ICMP{closed, 3, 3, 0}) {
			t.Errorf("%d messages, the first %+v, %v", n, m, ok)
		}
		return
	}
	t.Error("nothing came")
}

// TestBurst: header and payload leave as one datagram each, and the receiver learns when they came and how many it
// lost.
func TestBurst(t *testing.T) {
	listener, relayed, to, _ := openTest(t)
	if err := unix.Connect(relayed, Sockaddr(to)); err != nil {
		t.Fatal(err)
	}
	if err := StampArrivals(listener); err != nil {
		t.Fatal(err)
	}
	b := NewBurst(4, 16)
	for i := range 3 {
		b.Set(i, []byte("head"), 4+i)
		copy(b.Payload(i), "payload.........")
	}
	before := time.Now().UnixNano()
	if n := b.Send(relayed, 3); n != 3 {
		t.Fatalf("%d were taken", n)
	}
	r := NewReader(Buffers{Batch: 8, Size: 64, Connected: true})
	n, err := r.Receive(listener)
	if n != 3 || err != nil {
		t.Fatalf("received %d, %v", n, err)
	}
	for i := range n {
		if got, want := string(r.Data(i)), "headpayload..."[:8+i]; got != want {
			t.Errorf("received %q, want %q", got, want)
		}
		if came, dropped := r.Arrival(i); came < before || came > time.Now().UnixNano() || dropped != 0 {
			t.Errorf("came at %d, %d after it was sent; %d dropped", came, came-before, dropped)
		}
	}
	if n, err := r.Receive(listener); n != 0 || err != nil {
		t.Errorf("then received %d, %v", n, err)
	}
}

// TestNoHeap: reading and sending a batch allocates nothing.
func TestNoHeap(t *testing.T) {
	listener, relayed, to, _ := openTest(t)
	s, r := NewSender(new(Counters)), newTestReader()
	data := make([]byte, 200)
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			s.Add(Outgoing{FD: relayed, To: to, Header: Header{Class: 4, HopLimit: 60}, Size: 200}, data)
		}
		s.Flush()
		n, _ := r.Read(listener)
		for i := range n {
			_ = r.Message(i)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzHeader: whatever control messages come, the parser reads nothing past them. It reads back what put writes, with
// one hop less.
func FuzzHeader(f *testing.F) {
	b := make([]byte, controlSpace)
	h := Header{Class: 0xB9, HopLimit: 64}
	f.Add(b[:h.put(b, true)], uint8(1), uint8(2), true)
	f.Add(SendFrom(netip.MustParseAddr("192.0.2.1")), uint8(0), uint8(0), false)
	f.Add(SendFrom(netip.MustParseAddr("2001:db8::1")), uint8(255), uint8(255), false)
	f.Add([]byte{1, 2, 3}, uint8(0), uint8(1), true)
	f.Fuzz(func(t *testing.T, control []byte, class, hopLimit uint8, is4 bool) {
		_ = ParseHeader(control)
		_, _ = DestinationAddr(control)
		var b [controlSpace]byte
		h := Header{Class: class, HopLimit: hopLimit}
		got := ParseHeader(b[:h.put(b[:], is4)])
		if hopLimit > 0 {
			h.HopLimit--
		}
		if got != h {
			t.Errorf("%+v became %+v", h, got)
		}
	})
}
