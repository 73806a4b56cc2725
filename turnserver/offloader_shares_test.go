package turnserver

import (
	"fmt"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// TestOffloadedShares: no user takes the kernel's whole table, however many channels that has. What found no room is
// tried again once there is some.
func TestOffloadedShares(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s := startServer(t, allowLoopback)
	limit := func(n int) {
		s.flowQueue.later(func() { s.offloader.most = n })
		s.flowQueue.told()
	}
	const most, channels, others = 90, 60, 8
	limit(most)
	flows := func() int { return s.Offload().Flows }
	greedy := manyChannels(t, s, channels)
	if got := flows(); got < most/fairShare/2 || got > most/fairShare+1 {
		t.Errorf("one user has %d flows of %d in the kernel", got, most)
	}
	peer := newPeer(t)
	for i := range others {
		before := flows()
		c := dialREST(t, s, "udp", fmt.Sprint("user", i))
		c.allocate()
		if c.bind(wire.MinChannel, peer.addr); flows() != before+1 {
			t.Fatalf("there is no room for user %d", i)
		}
	}
	limit(flows())
	late := dialREST(t, s, "udp", "late")
	relayed := late.allocate()
	late.bind(wire.MinChannel, peer.addr)
	exchange := func() {
		t.Helper()
		late.sendChannel(wire.MinChannel, pattern(10))
		peer.want(relayed, pattern(10))
		peer.send(relayed, pattern(20))
		late.wantData(wire.MinChannel, peer.addr, pattern(20))
	}
	exchange()
	if got := counterOf(t, s, "packets_offloaded", "down"); got != 0 {
		t.Errorf("%d packets went through the kernel, though there was no room", got)
	}
	greedy.accept(stun.MethodRefresh, lifetime(0))
	waitFor(t, "the late flow to find room", func() bool { return flows() == others+1 })
	exchange()
	exchange()
	waitCounted(t, s, "packets_offloaded", "up", 1)
	waitCounted(t, s, "packets_offloaded", "down", 2)
}
