//go:build linux && (amd64 || arm64)

package offload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// wantVerdict runs a packet, and checks the program's verdict.
func (r *rig) wantVerdict(d datagram, want uint32) {
	r.t.Helper()
	if got, _ := r.run(d.frame()); int32(got) != int32(want) {
		r.t.Fatalf("verdict %d, want %d", int32(got), int32(want))
	}
}

func (r *rig) totals() Totals {
	r.t.Helper()
	t, err := r.Totals()
	must(r.t, err)
	return t
}

// TestConfirmation: a direction is forwarded once the other one has been seen, and not before.
func TestConfirmation(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(false, false)
		set(&f)
		must(t, r.Put(f))
		up, down := upPacket(f, pattern(20), 0), downPacket(f, pattern(20))
		r.wantVerdict(up, pass)
		r.wantVerdict(up, pass)
		r.wantVerdict(down, forward)
		r.wantVerdict(up, forward)
		if got := r.totals(); got.Unconfirmed != 2 || got.PacketsUp != 1 || got.PacketsDown != 1 {
			t.Errorf("%+v", got)
		}
		f.Expires = f.Expires.Add(time.Minute)
		must(t, r.Put(f)) // a refresh changes nothing of that
		r.wantVerdict(up, forward)

		// From client to client, the receiver must have sent before.
		one, two := r.hop(false, false)
		set(&one, &two)
		must(t, r.Put(one))
		r.wantVerdict(upPacket(one, pattern(20), 0), pass) // the other has no channel
		must(t, r.Put(two))
		r.wantVerdict(upPacket(one, pattern(20), 0), pass)
		r.wantVerdict(upPacket(two, pattern(20), 0), forward) // one has sent before
		r.wantVerdict(upPacket(one, pattern(20), 0), forward)
	})
}

// TestExpiry: the program stops by its own clock, in either direction, and in a hop when either flow's time is over.
func TestExpiry(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(false, true)
		set(&f)
		r.confirmed(f)
		up, down := upPacket(f, pattern(20), 0), downPacket(f, pattern(20))
		r.wantVerdict(up, forward)
		f.Expires = time.Now().Add(50 * time.Millisecond)
		must(t, r.Put(f))
		for verdict := uint32(forward); verdict != uint32(pass); {
			late := time.Since(f.Expires) > 0 // before the program runs, which looks at the clock itself
			if verdict, _ = r.run(up.frame()); late && verdict == forward {
				t.Fatal("forwarded past its time")
			}
		}
		r.wantVerdict(down, pass)
		f.Expires = time.Now().Add(time.Hour)
		must(t, r.Put(f))
		r.wantVerdict(up, forward)
		r.wantVerdict(down, forward)

		one, two := r.hop(false, false)
		set(&one, &two)
		two.Expires = time.Now()
		r.confirmed(one, two)
		r.wantVerdict(upPacket(one, pattern(20), 0), pass)
		if got := r.totals(); got.Expired < 3 {
			t.Errorf("%+v", got)
		}
	})
}

// TestRemove: the program forwards not one more packet, and Remove returns the counts.
func TestRemove(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(true, false)
		set(&f)
		r.confirmed(f)
		for size := range 10 {
			r.wantVerdict(upPacket(f, pattern(100+size), 3), forward)
			r.wantVerdict(downPacket(f, pattern(200+size)), forward)
			must(t, r.Put(f)) // keeps the counts
		}
		var entries []Entry
		must(t, r.Each(func(e Entry) { entries = append(entries, e) }))
		if len(entries) != 2 {
			t.Fatalf("%d entries, want 2", len(entries))
		}
		for _, e := range entries {
			want := Entry{f.Up(), Usage{Packets: 10, Bytes: 1045}}
			if e.Key == f.Down() {
				want = Entry{f.Down(), Usage{Packets: 10, Bytes: 2045}}
			}
			if since := time.Since(e.Seen); since < 0 || since > time.Minute {
				t.Errorf("last seen %v ago", since)
			}
			if e.Seen = (time.Time{}); e != want {
				t.Errorf("got %+v, want %+v", e, want)
			}
		}
		up, down := r.Remove(f)
		if up.Packets != 10 || up.Bytes != 1045 || down.Packets != 10 || down.Bytes != 2045 {
			t.Errorf("%+v and %+v", up, down)
		}
		r.wantVerdict(upPacket(f, pattern(20), 0), pass)
		r.wantVerdict(downPacket(f, pattern(20)), pass)
		if up, down := r.Remove(f); up != (Usage{}) || down != (Usage{}) {
			t.Errorf("removed twice: %+v and %+v", up, down)
		}
		if got := r.totals(); got != (Totals{PacketsUp: 10, BytesUp: 1045, PacketsDown: 10, BytesDown: 2045}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestMeter: a bandwidth holds over both directions, over all flows that share it, and over packets that user space
// relays. Packets beyond it are dropped and counted.
func TestMeter(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		one, two := r.hop(false, false)
		f := r.flow(true, true)
		set(&f, &one, &two)
		const rate, burst, size = 1_000_000, 100_000, 1000
		begin := time.Now() // before the meter begins: it fills from here on, and then the program reads a coarse clock
		r.SetMeter(7, 8*rate, burst*time.Second/rate, 0)
		f.UpMeters, f.DownMeters, one.UpMeters = [3]uint32{0, 7}, [3]uint32{7}, [3]uint32{7}
		r.confirmed(f, one, two)
		packets := []datagram{upPacket(f, pattern(size), 0), downPacket(f, pattern(size)), upPacket(one, pattern(size), 0)}
		forwarded, dropped := 0, 0
		// A drop says that the bucket is empty. Between two of them it has given what came in, or was full in between.
		var empty time.Time
		since, windows := 0, 0 // packets forwarded since then
		for i := 0; windows < 5; i++ {
			before := time.Now()
			if i%4 == 3 { // user space takes its part
				if r.Take(7, size) {
					forwarded++
					since++
				}
				continue
			}
			verdict, out := r.run(packets[i%len(packets)].frame())
			switch verdict {
			case forward:
				forwarded++
				since++
			case drop:
				dropped++
				between := before.Sub(empty)
				if !empty.IsZero() && between < 50*time.Millisecond {
					break
				}
				if least := 0.9*min(rate*between.Seconds(), burst)/size - 2; !empty.IsZero() && float64(since) < least {
					t.Errorf("%d packets of %d bytes were forwarded in %v, want %.0f or more", since, size, between, least)
				}
				empty, since = time.Now(), 0
				windows++
			default:
				t.Fatalf("verdict %d, %x", verdict, out)
			}
		}
		most := (rate*time.Since(begin).Seconds()+burst)/size + 2
		if float64(forwarded) > most {
			t.Errorf("%d packets of %d bytes were forwarded, want up to %.0f", forwarded, size, most)
		}
		var counted uint64
		must(t, r.Each(func(e Entry) { counted += e.Dropped }))
		if got := r.totals().OverRate; got != uint64(dropped) || got != counted || dropped == 0 {
			t.Errorf("%d were dropped and %d counted, %d with the flows", dropped, got, counted)
		}
		r.EndMeter(7)
		for _, d := range packets {
			r.wantVerdict(d, forward)
		}
	})
}

// TestUnrouted: without a route the packets go up to the sockets, which know how to report the error.
func TestUnrouted(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(false, false)
		set(&f)
		r.confirmed(f)
		r.change(f.Up(), func(e *forwardFlow) { e.Ifindex = 0 })
		r.wantVerdict(upPacket(f, pattern(20), 0), pass)
		r.wantVerdict(downPacket(f, pattern(20)), forward)
		if got := r.totals(); got.Unrouted != 1 {
			t.Errorf("%+v", got)
		}
		must(t, r.reroute(r.routes))
		r.wantVerdict(upPacket(f, pattern(20), 0), forward)
		f.Peer = netip.MustParseAddrPort("127.0.0.1:9") // not to be reached from the relayed address
		if got, err := r.routes.interfaceOf(f.Relayed.Addr(), netip.MustParseAddr("255.255.255.255")); got != 0 || err != nil {
			t.Errorf("broadcasts leave by interface %d, %v", got, err)
		}
	})
}

// TestFull: the table of flows has a bound, and Put says when it is full.
func TestFull(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		f := r.flow(false, false)
		set(&f)
		n := 0
		var err error
		for ; err == nil && n < 1000; n++ {
			if f.Channel != 0 {
				f.Channel++
			}
			f.Peer = netip.AddrPortFrom(f.Peer.Addr(), uint16(7000+n))
			err = r.Put(f)
		}
		if !errors.Is(err, ErrFull) || n < 500 || n > 520 {
			t.Errorf("flow %d: %v", n, err)
		}
		entries := 0
		must(t, r.Each(func(Entry) { entries++ }))
		if entries%2 != 0 {
			t.Errorf("%d entries: a flow has two", entries)
		}
		must(t, r.Close())
		if err := r.Put(f); !errors.Is(err, ErrClosed) {
			t.Error("after Close:", err)
		}
		r.Remove(f)
	})
}

// mostMemory is what a flow may take of the kernel's memory, both directions together.
const mostMemory = 512

// TestMemory measures how much memory the kernel charges for the maps of flows, which grow as they fill.
func TestMemory(t *testing.T) {
	eachWay(t, func(t *testing.T, set func(...*Flow)) {
		r := newRig(t)
		empty := r.memory()
		const n = 400
		f := r.flow(true, true)
		set(&f)
		for i := range n {
			if f.Channel != 0 {
				f.Channel++
			}
			f.Peer = netip.AddrPortFrom(f.Peer.Addr(), uint16(7000+i))
			must(t, r.Put(f))
		}
		if each := float64(r.memory()-empty) / n; each > mostMemory || each < 200 {
			t.Errorf("a flow takes %.0f bytes, want at most %d", each, mostMemory)
		} else {
			t.Logf("a flow takes %.0f bytes; the empty maps for %d flows of either kind take %d", each, r.objects.Sends.MaxEntries(), empty)
		}
	})
}

// memory is what the kernel charges for the maps of flows.
func (r *rig) memory() (sum int) {
	r.t.Helper()
	for _, m := range []*ebpf.Map{r.objects.Flows, r.objects.Sends} {
		info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", m.FD()))
		must(r.t, err)
		found := false
		for line := range strings.Lines(string(info)) {
			var n int
			if _, err := fmt.Sscanf(line, "memlock: %d", &n); err == nil {
				sum, found = sum+n, true
			}
		}
		if !found {
			r.t.Fatalf("no memlock in\n%s", info)
		}
	}
	return sum
}

// TestFormats: addresses and ports stand in the maps as they do in packets.
func TestFormats(t *testing.T) {
	for _, ip := range []string{"9.1.2.3", "2a11::5:6"} {
		a := netip.MustParseAddr(ip)
		if got := addrOf(addressOf(a)); got != a {
			t.Errorf("%v became %v", a, got)
		}
		sum := make([]byte, 2)
		binary.NativeEndian.PutUint16(sum, addressSum(a, a))
		if got, want := binary.BigEndian.Uint16(sum), onesSum(a.AsSlice(), a.AsSlice()); got != want {
			t.Errorf("%v: sum %#x, want %#x", a, got, want)
		}
	}
}

// BenchmarkStrangers measures the cost of the program for packets that it does not forward. The kernel repeats it on
// one packet, which does not change.
func BenchmarkStrangers(b *testing.B) {
	r := newLoopbackRig(b)
	f := r.flow(false, false)
	r.confirmed(f)
	stranger := downPacket(f, pattern(1200))
	stranger.from = netip.AddrPortFrom(stranger.from.Addr(), 9)
	tcp := withIPv4(stranger.frame(), func(ip []byte) { ip[9] = 6 })
	for name, frame := range map[string][]byte{"UDP": stranger.frame(), "TCP": tcp} {
		b.Run(name, func(b *testing.B) {
			verdict, err := r.objects.Forward.Run(&ebpf.RunOptions{Data: frame, Repeat: uint32(b.N)})
			must(b, err)
			if int32(verdict) != -1 {
				b.Fatal("verdict", verdict)
			}
		})
	}
}
