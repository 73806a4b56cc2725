package turnload

import (
	"fmt"
	"time"
)

// Stream is one medium in one direction: it sends a frame of Burst datagrams every Interval.
type Stream struct {
	Size     int // bytes of a datagram's payload, without the headers of TURN; a multiple of 4
	Burst    int
	Interval time.Duration
}

// Profile is the load of a call in each direction.
type Profile struct {
	Name    string
	Streams []Stream
}

// ProfileByName returns "video", "audio" or "mixed". Video is 2.3 Mbit/s, a call in 720p. A camera's frame leaves the
// encoder at once, so its datagrams come together. Audio is a datagram of Opus every 20 ms.
func ProfileByName(name string) (Profile, error) {
	video := Stream{Size: 1200, Burst: 8, Interval: time.Second / 30}
	audio := Stream{Size: 120, Burst: 1, Interval: time.Second / 50}
	switch name {
	case "video":
		return Profile{name, []Stream{video}}, nil
	case "audio":
		return Profile{name, []Stream{audio}}, nil
	case "mixed":
		return Profile{name, []Stream{video, audio}}, nil
	}
	return Profile{}, fmt.Errorf("profile %q is neither video, audio nor mixed", name)
}

// PacketsPerSecond is the rate of one call in one direction.
func (p Profile) PacketsPerSecond() float64 {
	var sum float64
	for _, s := range p.Streams {
		sum += float64(s.Burst) / s.Interval.Seconds()
	}
	return sum
}

// Direction says who sends. Up is from client to peer.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
	Both Direction = "both"
)

// ways is the number of directions that packets take.
func (d Direction) ways() int {
	if d == Both {
		return 2
	}
	return 1
}

// ParseDirection reads "up", "down" or "both".
func ParseDirection(s string) (Direction, error) {
	switch d := Direction(s); d {
	case Up, Down, Both:
		return d, nil
	}
	return "", fmt.Errorf("direction %q is neither up, down nor both", s)
}
