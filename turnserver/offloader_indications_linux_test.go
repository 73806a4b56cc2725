package turnserver

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// TestOffloadedIndications: a client's indications go through the kernel from the second packet on, and so do its
// peer's packets. They count like those of a channel. Such a flow ends with the permission, or in its time. Then there
// is another.
func TestOffloadedIndications(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s, clock := startClocked(t, allowLoopback)
	call := callOffloaded(t, s, dialREST(t, s, "udp", "alice"), 0)
	const rounds = 10
	exchanged := uint64(0)
	exchange := func(inUp, inDown uint64) {
		t.Helper()
		up, down := counterOf(t, s, "packets_offloaded", "up"), counterOf(t, s, "packets_offloaded", "down")
		for range rounds {
			call.exchange(pattern(101), pattern(50))
		}
		call.barrier()
		exchanged += rounds
		waitCounted(t, s, "packets_offloaded", "up", up+inUp)
		waitCounted(t, s, "packets_offloaded", "down", down+inDown)
		if a := s.Snapshot()[0]; a.Up != (Traffic{exchanged + 1, 101*exchanged + 5}) || a.Down != (Traffic{exchanged + 1, 50*exchanged + 5}) {
			t.Errorf("%+v and %+v", a.Up, a.Down)
		}
	}
	flows := func(want int) {
		t.Helper()
		if got := s.Offload().Flows; got != want {
			t.Errorf("the kernel forwards %d flows, want %d", got, want)
		}
	}
	exchange(rounds, rounds)
	if a := s.Snapshot()[0]; len(a.Channels) != 0 || len(a.Offloaded) != 1 || a.Offloaded[0].Peer != call.peer.addr || a.Offloaded[0].Up.Packets != rounds {
		t.Errorf("%+v", a)
	}
	if offloads, found := s.Offloads(call.relayed, &auth.Grant{Kind: auth.GrantREST, User: "alice"}); !offloads || !found {
		t.Errorf("%v, %v", offloads, found)
	}

	call.accept(stun.MethodRefresh, lifetime(3600))
	call.meet() // refreshes the permission, which then outlives the flow
	clock.advance(permissionLifetime - time.Second)
	call.meet()
	clock.advance(time.Second)
	s.sweep()
	s.flowQueue.told()
	flows(0)
	exchange(rounds-1, rounds-1)
	flows(1)

	clock.advance(permissionLifetime)
	s.sweep()
	s.flowQueue.told()
	flows(0)
	call.write(call.message([]byte("no permission")))
	waitCounted(t, s, "packets_dropped", "no_permission", 1)
	flows(0)
	call.meet()
	exchange(rounds-1, rounds-1)

	call.bind(wire.MinChannel, call.peer.addr)
	flows(1)
	call.channel = wire.MinChannel
	exchange(rounds-1, rounds) // the first one comes before the peer has been seen
	call.channel = 0
	call.write(call.message([]byte("beside the channel")))
	call.peer.want(call.relayed, []byte("beside the channel"))
	flows(1)
}

// TestOffloadedConversations: the flows of indications have a bound, and packets to more peers arrive all the same.
func TestOffloadedConversations(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s, clock := startClocked(t, allowLoopback)
	c := dialREST(t, s, "udp", "alice")
	relayed := c.allocate()
	talk := func(to int) {
		t.Helper()
		for i := range to {
			peer := newPeer(t)
			c.permit(peer.addr)
			c.indicate(peer.addr, pattern(i))
			peer.want(relayed, pattern(i))
			c.offloads()
		}
	}
	talk(mostConversations + 8)
	if got := s.Offload().Flows; got != mostConversations {
		t.Errorf("the kernel forwards %d flows, want %d", got, mostConversations)
	}
	c.bind(wire.MinChannel, newPeer(t).addr) // is another matter
	if got := s.Offload().Flows; got != mostConversations+1 {
		t.Errorf("the kernel forwards %d flows, want %d", got, mostConversations+1)
	}
	clock.advance(permissionLifetime)
	s.sweep()
	s.flowQueue.told()
	talk(1)
	if got := s.Offload().Flows; got != 2 {
		t.Errorf("later the kernel forwards %d flows, want 2", got)
	}
}

// TestDeadPairsMakeRoom: a peer that never answered gives up its place to one that the client tries later. Those that
// have answered keep theirs, whether the sockets or the kernel have seen that.
func TestDeadPairsMakeRoom(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	s, clock := startClocked(t, allowLoopback)
	c := dialREST(t, s, "udp", "alice")
	call := offloadedCall{testClient: c, relayed: c.allocate()}
	call.accept(stun.MethodRefresh, lifetime(3600))
	talk := func() offloadedCall {
		with := call
		with.peer = newPeer(t)
		with.meet()
		with.write(with.message([]byte("hello")))
		with.peer.want(with.relayed, []byte("hello"))
		with.offloads()
		return with
	}
	answer := func(c offloadedCall) {
		t.Helper()
		c.peer.send(c.relayed, []byte("hello"))
		c.wantData(0, c.peer.addr, []byte("hello"))
	}
	const answered = 4
	var calls [answered]offloadedCall
	for i := range mostConversations {
		with := talk()
		switch {
		case i >= answered:
		case i%2 == 0: // by the sockets
			answer(with)
			calls[i] = with
		default: // by the kernel, which must have seen the client before
			with.write(with.message([]byte("again")))
			with.peer.want(with.relayed, []byte("again"))
			answer(with)
			calls[i] = with
		}
	}
	flows := func(want int) {
		t.Helper()
		if got := s.Offload().Flows; got != want {
			t.Errorf("the kernel forwards %d flows, want %d", got, want)
		}
	}
	talk() // too early
	flows(mostConversations)
	clock.advance(unanswered)
	winner := talk()
	flows(answered)
	clock.advance(time.Second)
	winner.exchange([]byte("it answers"), []byte("it answers"))
	flows(answered + 1)
	before := counterOf(t, s, "packets_offloaded", "up")
	for _, with := range append(calls[:], winner) {
		with.write(with.message([]byte("again and again")))
		with.peer.want(with.relayed, []byte("again and again"))
	}
	c.barrier()
	waitCounted(t, s, "packets_offloaded", "up", before+answered+1)
}
