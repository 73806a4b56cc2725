package netlab

import (
	"math"
	"slices"
	"testing"
	"time"
)

// packet is one that comes to a scheduler.
type packet struct {
	at     time.Duration
	size   int
	leaves time.Duration // negative: never
}

// TestScheduler gives packets to ways, and holds when each leaves.
func TestScheduler(t *testing.T) {
	const ms = time.Millisecond
	const mbit = 1_000_000
	for _, test := range []struct {
		name    string
		way     Way
		packets []packet
	}{
		{"the zero way", Way{}, []packet{{0, 1500, 0}, {0, 1500, 0}, {5 * ms, 64, 5 * ms}}},
		{"delay holds up no packet behind another", Way{Delay: 20 * ms}, []packet{{0, 1500, 20 * ms}, {0, 1500, 20 * ms}, {5 * ms, 64, 25 * ms}}},
		// 1250 bytes take 10 ms at 1 Mbit/s.
		{"rate", Way{Rate: mbit}, []packet{{0, 1250, 10 * ms}, {0, 1250, 20 * ms}, {15 * ms, 1250, 30 * ms}, {50 * ms, 1250, 60 * ms}}},
		{"rate before delay", Way{Rate: mbit, Delay: 7 * ms}, []packet{{0, 1250, 17 * ms}, {0, 125, 18 * ms}}},
		{"no queue but 100 ms", Way{Rate: mbit}, []packet{{0, 11_250, 90 * ms}, {0, 1250, 100 * ms}, {0, 1, -1}, {10 * ms, 1250, 110 * ms}}},
		{"a queue of two packets", Way{Rate: mbit, Queue: 2500}, []packet{{0, 1250, 10 * ms}, {0, 1250, 20 * ms}, {0, 1250, -1}, {9 * ms, 1250, -1}, {10 * ms, 1250, 30 * ms}}},
		{"a packet longer than the queue", Way{Rate: mbit, Queue: 100}, []packet{{0, 1250, 10 * ms}, {5 * ms, 64, -1}, {10 * ms, 1250, 20 * ms}}},
		{"everything lost", Way{Loss: 1}, []packet{{0, 1250, -1}, {10 * ms, 1250, -1}}},
		{"a lost packet takes no time of the line", Way{Rate: mbit, Loss: 1}, []packet{{0, 1250, -1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScheduler(test.way)
			var want Fates
			for i, p := range test.packets {
				leaves, ok := s.take(p.at, p.size)
				if !ok {
					leaves = -1
				}
				if leaves != p.leaves {
					t.Errorf("packet %d leaves at %v, want %v", i, leaves, p.leaves)
				}
				switch {
				case p.leaves >= 0:
					want.Passed++
				case test.way.Loss == 1:
					want.Lost++
				default:
					want.Overflowed++
				}
			}
			if s.fates != want {
				t.Errorf("counted %+v, want %+v", s.fates, want)
			}
			if test.way.Loss == 1 && s.idle != 0 {
				t.Errorf("lost packets keep the line busy until %v", s.idle)
			}
		})
	}
}

// TestSchedulerLoses holds that losses have their probability, that a seed draws them again, and that another seed draws others.
func TestSchedulerLoses(t *testing.T) {
	const n = 100_000
	lost := func(seed uint64) (all []int) {
		s := newScheduler(Way{Loss: 0.01, Seed: seed})
		for i := range n {
			if _, ok := s.take(0, 1500); !ok {
				all = append(all, i)
			}
		}
		return all
	}
	one := lost(1)
	if deviation := math.Sqrt(n * 0.01 * 0.99); math.Abs(float64(len(one))-n*0.01) > 4*deviation {
		t.Errorf("lost %d of %d, want 1 %%", len(one), n)
	}
	if !slices.Equal(one, lost(1)) {
		t.Error("the same seed lost other packets")
	}
	if slices.Equal(one, lost(2)) {
		t.Error("another seed lost the same packets")
	}
}

// TestSchedulerRate holds that a line of a rate is never faster, nor idle while something waits: rounding adds up to nothing.
func TestSchedulerRate(t *testing.T) {
	s := newScheduler(Way{Rate: 300_000_000, Queue: math.MaxInt32})
	var last time.Duration
	const n, size = 250_000, 1500
	for range n {
		last, _ = s.take(0, size)
	}
	if ratio := last.Seconds() / (n * size * 8 / 300e6); math.Abs(ratio-1) > 1e-5 {
		t.Errorf("took %v, %f of what the rate says", last, ratio)
	}
}

// TestFlight holds that frames leave in order, also across the end of the ring, and that there is an end to them.
func TestFlight(t *testing.T) {
	f := newFlight()
	launched, landed := 0, 0
	launch := func() {
		room := f.room()
		room.leaves = time.Duration(launched)
		f.launch()
		launched++
	}
	land := func() {
		t.Helper()
		if got := f.head().leaves; got != time.Duration(landed) {
			t.Fatalf("frame %d lands, want %d", got, landed)
		}
		f.land()
		landed++
	}
	for range maxFlight - 1 {
		launch()
	}
	for range maxFlight / 2 {
		land()
		launch()
	}
	if f.full() {
		t.Fatal("full, with a place left")
	}
	if launch(); !f.full() {
		t.Fatal("not full, with no place left")
	}
	for landed < launched {
		land()
	}
	if f.head() != nil {
		t.Error("a frame is left")
	}
	launch()
	if f.first != 0 {
		t.Error("an empty flight begins elsewhere, and its memory grows cold")
	}
	land()
}

// TestOfLink holds which frames a hop passes at once.
func TestOfLink(t *testing.T) {
	frame := func(etherType uint16, payload ...byte) []byte {
		return append(append(make([]byte, 12), byte(etherType>>8), byte(etherType)), payload...)
	}
	icmp6 := func(kind byte) []byte {
		header := make([]byte, 40)
		header[6] = 58
		return frame(0x86dd, append(header, kind, 0, 0, 0)...)
	}
	for name, test := range map[string]struct {
		frame []byte
		want  bool
	}{
		"ARP":                    {frame(0x0806), true},
		"neighbor solicitation":  {icmp6(135), true},
		"neighbor advertisement": {icmp6(136), true},
		"multicast listeners":    {frame(0x86dd, append([]byte{6: 0, 39: 0}, 58, 0, 5, 2)...), true},
		"IPv6 echo request":      {icmp6(128), false},
		"IPv6 packet too big":    {icmp6(2), false},
		"IPv4":                   {frame(0x0800, make([]byte, 40)...), false},
		"UDP over IPv6":          {frame(0x86dd, append([]byte{6: 17, 39: 0}, 135)...), false},
		"a cut IPv6 header":      {frame(0x86dd, 0x60), false},
		"nothing":                {nil, true},
	} {
		if got := ofLink(test.frame); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
