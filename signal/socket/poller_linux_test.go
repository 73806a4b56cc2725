package socket

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestEventOfFormerSocket holds that an event of a socket that is closed does not reach the next one in its slot.
func TestEventOfFormerSocket(t *testing.T) {
	_, e := echoPair(t)
	c := e.polled
	if c == nil {
		t.Fatal("no poller watches the socket")
	}
	c.poller.act(&unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: c.slot, Pad: c.slotTurn - 1})
	if c.hungUp.Load() {
		t.Error("an event of a former socket counts")
	}
	c.poller.act(&unix.EpollEvent{Events: unix.EPOLLRDHUP, Fd: c.slot, Pad: c.slotTurn})
	if !c.hungUp.Load() {
		t.Error("the socket's own event does not count")
	}
}
