package turnserver

import (
	"testing"
)

// TestOffloaded: a channel's packets go through the kernel once each end has sent, and are counted as if through the process.
func TestOffloaded(t *testing.T) {
	needOffloaded(t)
	s := startServer(t, allowLoopback)
	peer := newPeer(t)
	c := dialREST(t, s, "udp", "alice")
	relayed := c.allocate()
	c.bind(minChannel, peer.addr)
	const rounds = 10
	for i := range rounds {
		c.sendChannel(minChannel, pattern(100+i))
		peer.want(relayed, pattern(100+i))
		peer.send(relayed, pattern(50))
		c.wantData(minChannel, peer.addr, pattern(50))
	}
	waitCounted(t, s, "packets_relayed", "up", rounds)
	waitCounted(t, s, "packets_relayed", "down", rounds)
	waitCounted(t, s, "packets_offloaded", "up", rounds-1)
	waitCounted(t, s, "packets_offloaded", "down", rounds)
	a := s.Snapshot()[0]
	if (a.Up != Traffic{rounds, 100*rounds + 45}) || (a.Down != Traffic{rounds, 50 * rounds}) {
		t.Errorf("%+v and %+v", a.Up, a.Down)
	}
	if len(a.Offloaded) != 1 || a.Offloaded[0].Peer != peer.addr || a.Offloaded[0].Down.Packets != rounds {
		t.Errorf("%+v", a.Offloaded)
	}
}
