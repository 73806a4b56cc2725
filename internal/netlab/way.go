package netlab

import (
	"math/rand/v2"
	"time"
)

// A Way says what a [Hop] does with the packets of one direction. The zero Way passes each on at once.
type Way struct {
	Delay time.Duration // of a packet that waits for no other
	Loss  float64       // the probability that a packet is lost, from 0 to 1
	Rate  int64         // bits a second, Ethernet's headers among them; 0: no limit
	Queue int           // the bytes that may wait for the rate; 0: as many as it carries in 100 ms. What comes beyond that is lost.
	Seed  uint64        // draws the losses; the same seed loses the same packets
}

// Fates counts what became of the packets of a way.
type Fates struct {
	Passed     uint64
	Lost       uint64 // drawn by Loss
	Overflowed uint64 // found the queue full
}

// A scheduler decides when each packet of a way leaves. It has no clock: callers pass the time, which must not go back.
type scheduler struct {
	way    Way
	queue  time.Duration // the longest wait for the rate
	random *rand.Rand
	idle   time.Duration // when the line has sent all that it has taken
	fates  Fates
}

func newScheduler(way Way) *scheduler {
	queue := 100 * time.Millisecond
	if way.Rate > 0 && way.Queue > 0 {
		queue = transmission(way.Queue, way.Rate)
	}
	return &scheduler{way: way, queue: queue, random: rand.New(rand.NewPCG(way.Seed, 0))}
}

// take returns when a packet that comes now leaves, or false if it never does.
func (s *scheduler) take(now time.Duration, size int) (leaves time.Duration, ok bool) {
	if s.way.Loss > 0 && s.random.Float64() < s.way.Loss {
		s.fates.Lost++
		return 0, false
	}
	if s.way.Rate > 0 {
		sent := max(s.idle, now) + transmission(size, s.way.Rate)
		// A packet longer than the queue still passes an idle line.
		if s.idle > now && sent-now > s.queue {
			s.fates.Overflowed++
			return 0, false
		}
		s.idle, now = sent, sent
	}
	s.fates.Passed++
	return now + s.way.Delay, true
}

// transmission returns how long a line of a rate sends a packet.
func transmission(size int, rate int64) time.Duration {
	return time.Duration(float64(size) * 8 * float64(time.Second) / float64(rate))
}

// frames of a way are in flight at most; 16,384 are 196 Mbit. maxFrame is that of an interface with an MTU of 1500 bytes.
const (
	maxFlight = 1 << 14
	maxFrame  = 1536
)

// A flight is the frames that are on their way, in order.
type flight struct {
	frames []frame // a ring; its memory is touched only as far as it was needed
	first  int
	count  int
}

type frame struct {
	leaves time.Duration
	size   int
	bytes  [maxFrame]byte
}

func newFlight() *flight { return &flight{frames: make([]frame, maxFlight)} }

func (f *flight) full() bool { return f.count == len(f.frames) }

// room returns the place for the next frame. It must not be called when the flight is full.
func (f *flight) room() *frame {
	if f.count == 0 {
		f.first = 0 // the same few places serve a way without delay, and stay in the processor's cache
	}
	return &f.frames[(f.first+f.count)%len(f.frames)]
}

// launch takes the frame that room returned.
func (f *flight) launch() { f.count++ }

// head returns the frame that leaves first, or nil.
func (f *flight) head() *frame {
	if f.count == 0 {
		return nil
	}
	return &f.frames[f.first]
}

func (f *flight) land() { f.first, f.count = (f.first+1)%len(f.frames), f.count-1 }

// ofLink reports whether a frame is about the link itself: ARP, neighbor discovery (RFC 4861), multicast listeners (RFC 3810).
// On a real path none crosses a hop: a hop passes it at once, loses none, and counts none.
func ofLink(b []byte) bool {
	const (
		etherType  = 12
		ip6        = 14
		nextHeader = ip6 + 6
		icmpType   = ip6 + 40
	)
	if len(b) < ip6 {
		return true // the kernel's business
	}
	switch uint16(b[etherType])<<8 | uint16(b[etherType+1]) {
	case 0x0800:
		return false
	case 0x86dd:
		if len(b) <= icmpType {
			return false
		}
		switch b[nextHeader] {
		case 0: // Hop-by-hop options, which only multicast listeners have here.
			return true
		case 58:
			return b[icmpType] >= 133 && b[icmpType] <= 137
		}
		return false
	}
	return true
}
