//go:build linux

package netlab

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHopDelays holds that a round trip takes what both ways say, to a host on the public segment and through a NAT, with IPv4 and IPv6.
func TestHopDelays(t *testing.T) {
	const there, back = 15 * time.Millisecond, 5 * time.Millisecond
	lab := New(t)
	server, near, far := lab.Public("server"), lab.Public("near"), lab.Behind(FullCone, "far")
	for _, h := range []*Host{near, far} {
		lab.AddHop(h, Way{Delay: there}, Way{Delay: back})
	}
	for name, test := range map[string]struct{ from, to netip.Addr }{
		"IPv4": {near.Addr(), server.Addr()}, "IPv6": {near.Addr6(), server.Addr6()}, "IPv4 through a NAT": {far.Addr(), server.Addr()},
	} {
		t.Run(name, func(t *testing.T) {
			from := near
			if test.from == far.Addr() {
				from = far
			}
			a, b := listenAt(t, from, test.from), listenAt(t, server, test.to)
			best := time.Duration(math.MaxInt64)
			for range 20 {
				begin := time.Now()
				source := deliver(t, a, b, "ping")
				if out := time.Since(begin); out < there {
					t.Fatalf("a packet came out after %v", out)
				}
				write(t, b, source, "pong")
				if _, _, err := read(a); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(begin))
			}
			if ratio := best.Seconds() / (there + back).Seconds(); ratio < 1 || ratio > 1.1 {
				t.Errorf("the fastest round trip took %v, %.3f of what the hop says", best, ratio)
			}
		})
	}
}

// TestHopLoses holds that just those packets are missing that the hop counts as lost, and that their share is as it says.
func TestHopLoses(t *testing.T) {
	const n, atOnce, loss = 5000, 50, 0.05
	lab := New(t)
	alice, server := lab.Public("alice"), lab.Public("server")
	hop := lab.AddHop(alice, Way{Loss: loss, Seed: 7}, Way{Loss: 1})
	from, to := listen(t, alice), listen(t, server)
	received := 0
	for sent := 0; sent < n; {
		for range atOnce {
			write(t, from, local(to), "hello")
		}
		sent += atOnce
		up := awaitFates(t, hop, uint64(sent))
		for ; received < int(up.Passed); received++ {
			if _, _, err := read(to); err != nil {
				t.Fatalf("%d of %d packets came, and the hop lost %d of %d: %v", received, up.Passed, up.Lost, sent, err)
			}
		}
	}
	up, down := hop.Fates()
	if deviation := math.Sqrt(n * loss * (1 - loss)); math.Abs(float64(up.Lost)-n*loss) > 4*deviation {
		t.Errorf("lost %d of %d, want %v %%", up.Lost, n, 100*loss)
	}
	_ = to.SetReadDeadline(time.Now())
	if _, _, err := to.ReadFromUDPAddrPort(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one packet more came than the hop passed: %v", err)
	}
	// The other way has a loss of its own.
	write(t, to, local(from), "hello")
	for deadline := time.Now().Add(patience); down.Lost == 0 && time.Now().Before(deadline); _, down = hop.Fates() {
		runtime.Gosched()
	}
	if down.Lost != 1 || down.Passed != 0 {
		t.Errorf("the other way: %+v, want one packet, lost", down)
	}
}

// awaitFates waits until the fates of so many packets of the host are known.
func awaitFates(t *testing.T, hop *Hop, n uint64) Fates {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		up, _ := hop.Fates()
		if up.Passed+up.Lost+up.Overflowed >= n {
			return up
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d packets the hop knows of %+v", n, up)
		}
	}
}

// TestHopRate holds that a hop carries its rate, not more and not much less, and that what the queue does not hold is lost.
func TestHopRate(t *testing.T) {
	// The line is slow, so that all packets are sent long before the first has left it.
	const rate, size, n, queue = 2_000_000, 1200, 60, 40
	const frame = size + 8 + 20 + 14
	lab := New(t)
	alice, server := lab.Public("alice"), lab.Public("server")
	hop := lab.AddHop(alice, Way{Rate: rate, Queue: queue * frame}, Way{})
	from, to := listen(t, alice), listen(t, server)
	deliver(t, from, to, "hello") // The kernel lets few packets wait for the address of the neighbour.
	packet := strings.Repeat("x", size)
	begin := time.Now()
	for range n {
		write(t, from, local(to), packet)
	}
	up := awaitFates(t, hop, 1+n)
	received := 0
	for ; received < int(up.Passed)-1; received++ {
		if _, _, err := read(to); err != nil {
			t.Fatalf("after %d of %d packets: %v", received, up.Passed-1, err)
		}
	}
	took, want := time.Since(begin), time.Duration(received*frame*8)*time.Second/rate
	if ratio := took.Seconds() / want.Seconds(); ratio < 1 || ratio > 1.5 {
		t.Errorf("%d packets took %v, %.3f of what the rate says", received, took, ratio)
	}
	// Some leave while others are still sent.
	if received < queue || received == n {
		t.Errorf("%d of %d packets passed a queue of %d", received, n, queue)
	}
}

// TestMoveFromHop holds that a host that moves leaves its hop behind.
func TestMoveFromHop(t *testing.T) {
	lab := New(t)
	server, alice := lab.Public("server"), lab.Behind(PortRestricted, "alice")
	hop := lab.AddHop(alice, Way{Delay: time.Millisecond}, Way{Delay: time.Millisecond})
	to := listen(t, server)
	deliver(t, listen(t, alice), to, "hello")
	lab.Move(alice, PortRestricted)
	before, _ := hop.Fates()
	if from := deliver(t, listen(t, alice), to, "hello again"); from.Addr() != alice.Public() {
		t.Errorf("came from %v, want %v", from, alice.Public())
	}
	if now, _ := hop.Fates(); now != before {
		t.Errorf("the hop has carried %+v, before the move %+v", now, before)
	}
}

func listenAt(t *testing.T, h *Host, addr netip.Addr) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// BenchmarkHop is a TCP connection across a hop that does nothing to it, and across one with a rate and a delay, which must not
// be what limits it. Between hosts without a hop it is the same with single segments.
func BenchmarkHop(b *testing.B) {
	for _, test := range []struct {
		name string
		ways []Way
	}{
		{"no hop", nil},
		{"nothing", []Way{{}, {}}},
		{"300 Mbit/s", []Way{{Rate: 300_000_000}, {}}},
		{"300 Mbit/s and 40 ms", []Way{{Rate: 300_000_000, Delay: 20 * time.Millisecond}, {Delay: 20 * time.Millisecond}}},
	} {
		b.Run(test.name, func(b *testing.B) {
			lab := New(b)
			from, to := lab.Public("from"), lab.Public("to")
			if test.ways != nil {
				lab.AddHop(from, test.ways[0], test.ways[1])
			} else {
				for _, h := range []*Host{from, to} {
					lab.ip(h.netns, "link set eth0 gso_max_segs 1")
				}
			}
			ln, err := to.ListenTCP(0)
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			conn, err := from.DialTCP(netip.MustParseAddrPort(ln.Addr().String()), patience)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			received, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer received.Close()
			chunk := make([]byte, 1<<18)
			b.SetBytes(int64(len(chunk)))
			go func() {
				for {
					if _, err := conn.Write(chunk); err != nil {
						return // the reader tells
					}
				}
			}()
			for b.ResetTimer(); b.Loop(); {
				if _, err := io.ReadFull(received, chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
