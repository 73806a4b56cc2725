package socket

import (
	"testing"
	"time"
	"unsafe"

	"github.com/gorilla/websocket"

	"example.org/turnpike/signal/wire"
)

// clockSet is a time of time.Now's as it is after the host's clock has been set forward: the wall time in it changes, the
// monotonic time does not. Package time has no other way to make one.
func clockSet(now time.Time, forward time.Duration) time.Time {
	const hasMonotonic, secondsAt = 1 << 63, 30 // time.Time.wall: a flag, 33 bits of seconds, 30 of nanoseconds
	set := now
	wall := (*uint64)(unsafe.Pointer(&set))
	if *wall&hasMonotonic == 0 {
		panic("the time has no monotonic part")
	}
	*wall += uint64(forward/time.Second) << secondsAt
	return set
}

// TestClockSet: a clock that is set ends no connection, and makes none deaf. A client that is silent for long still dies.
func TestClockSet(t *testing.T) {
	now := time.Now()
	if set := clockSet(now, time.Hour); set.Unix()-now.Unix() != 3600 || set.Sub(now) != 0 {
		t.Fatalf("package time keeps its times in another way: %v, %v", now, set)
	}
	client, e := echoPair(t)
	e.KeepAlive(clockSet(time.Now(), 2*wire.DeadAfter))
	write(t, client, clientFrame(finalText, []byte("alive")))
	expect(t, client, "alive")
	e.KeepAlive(clockSet(time.Now().Add(2*wire.DeadAfter), -24*time.Hour))
	if _, _, err := client.ReadMessage(); !websocket.IsCloseError(err, wire.CloseDead) {
		t.Errorf("after a long silence: %v", err)
	}
}
