package turnserver

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// flowEntry is what a sink says of a flow.
type flowEntry struct {
	fromClient clientKey
	fromPeer   peerKey
	expires    clock
	flow       *flow
}

func (f *flow) entry() flowEntry { return flowEntry{f.clientKey(), f.peerKey(), f.lasts(), f} }

// recordingSink keeps entries as the kernel's maps would: by each of their keys.
type recordingSink struct {
	up    map[clientKey]flowEntry
	sends map[sendKey]flowEntry // in place of up, without a channel
	down  map[peerKey]flowEntry
}

// sendKey is the part of a flow that a Send indication shows.
type sendKey struct {
	tuple wire.FiveTuple
	peer  wire.Endpoint
}

func newRecordingSink() *recordingSink {
	return &recordingSink{make(map[clientKey]flowEntry), make(map[sendKey]flowEntry), make(map[peerKey]flowEntry)}
}

func (r *recordingSink) set(f *flow) {
	e := f.entry()
	r.down[e.fromPeer] = e
	if e.fromClient.channel == 0 {
		r.sends[sendKey{e.fromClient.tuple, e.fromPeer.peer}] = e
	} else {
		r.up[e.fromClient] = e
	}
}

func (r *recordingSink) remove(f *flow) {
	e := f.entry()
	delete(r.down, e.fromPeer)
	if e.fromClient.channel == 0 {
		delete(r.sends, sendKey{e.fromClient.tuple, e.fromPeer.peer})
	} else {
		delete(r.up, e.fromClient)
	}
}

func (*recordingSink) hasHeard(*flow) bool { return false }

func (*recordingSink) retry()      {}
func (*recordingSink) waits() bool { return false }

// told waits until the sink knows all that the table says. q may be nil.
func (q *flowQueue) told() {
	if q == nil {
		return
	}
	told := make(chan struct{})
	q.later(func() { q.afterEnded(func() { close(told) }) })
	over := make(chan struct{})
	go func() { q.done.Wait(); close(over) }()
	select {
	case <-told:
	case <-over:
	}
}

// noSocket is a relayed socket of tests that send nothing.
type noSocket struct{}

func (noSocket) moveTo(*loop)                            {}
func (noSocket) start(*allocation, *relayed) error       { return nil }
func (noSocket) sendTo(*worker, *destination, []byte)    {}
func (noSocket) sendWhole(*worker, *destination, []byte) {}
func (noSocket) close(*relayAddress, uint16)             {}

// flowRig is a shard without a network, and another that its clients may move to.
type flowRig struct {
	srv          *Server
	shard, other *shard
	address      *relayAddress
	made         int // allocations
}

func newFlowRig(t *testing.T, sink flowSink) *flowRig {
	t.Helper()
	srv := newServer(t, allowMobility)
	srv.flowQueue = newFlowQueue(sink)
	t.Cleanup(srv.flowQueue.close)
	first := rigEndpoint(3, 0)
	return &flowRig{
		srv: srv, shard: newShard(srv), other: newShard(srv),
		address: newRelayAddress("udp", RelayAddress{Local: first.Addr()}, first.Port, first.Port+1000),
	}
}

// allocation puts one on the i-th five-tuple.
func (r *flowRig) allocation(i int, now clock) *allocation {
	a := &allocation{
		shard: r.shard, grant: auth.Grant{Kind: auth.GrantREST, User: "alice"},
	}
	a.home.Store(&home{client: client{tuple: rigTuple(i)}})
	a.first.relayPort = relayPort{datagrams: noSocket{}, local: rigEndpoint(3, r.made), address: r.address}
	r.made++
	a.first.expires.set(now.plus(defaultLifetime))
	a.account, _ = r.srv.quota.count(&a.grant, &a.home.Load().client, &r.srv.cfg.Limits)
	a.budget = r.srv.quota.budgetFor(a.account, &Limits{BandwidthPerAllocation: r.srv.bandwidth.allocation})
	r.shard.insert(a)
	return a
}

func rigTuple(i int) wire.FiveTuple {
	return wire.FiveTuple{Client: rigEndpoint(1, i), Local: rigEndpoint(2, 0), Protocol: wire.UDP}
}

func rigEndpoint(host byte, i int) wire.Endpoint {
	return wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, 0, 0, host}), uint16(1000+i)))
}

// TestSinkFollowsTable changes flows at random, as requests and the sweep do. The sink must then say the same as the
// table.
func TestSinkFollowsTable(t *testing.T) {
	for seed := range uint64(6) {
		sink := newRecordingSink()
		newFlowRig(t, sink).live(t, seed, func(r *flowRig) { r.compare(t, sink) })
	}
}

// live changes flows at random, as requests and the sweep do, and calls check now and then, when the sink knows all.
func (r *flowRig) live(t *testing.T, seed uint64, check func(*flowRig)) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 8656))
	limits := Limits{ChannelsPerAllocation: 4, PermissionsPerAllocation: 3}
	now := clock(0)
	bound, conversed := 0, 0
	for range 1000 {
		a := r.shard.find(rigTuple(random.IntN(5)))
		peer := rigEndpoint(byte(10+random.IntN(4)), random.IntN(2))
		switch step := random.IntN(10); {
		case step == 0:
			now = now.plus(time.Duration(random.IntN(240)) * time.Second)
		case step == 1:
			for _, ended := range r.shard.sweep(now) {
				ended.alloc.endRelayed(ended.relayed)
			}
		case a == nil:
			for i := range 5 {
				if r.shard.find(rigTuple(i)) == nil {
					r.allocation(i, now)
					break
				}
			}
		case step == 2:
			a.end()
		case step == 3 && random.IntN(2) == 0:
			r.shard.refresh(a, nil, now, now.plus(defaultLifetime))
		case step == 3:
			r.move(t, a, rigTuple(random.IntN(5)), random.IntN(2) == 0)
		case step < 5:
			r.shard.converse(a, &destination{endpoint: peer}, now)
			if f, ok := r.shard.flows.fromPeer.Load(peerKey{a.first.local, peer}); ok && f.channel == 0 {
				conversed++
			}
		case step < 7:
			r.shard.permit(a, [][16]byte{peer.IP}, now, limits.PermissionsPerAllocation)
		default:
			if r.shard.bind(a, wire.MinChannel+uint16(random.IntN(5)), destination{endpoint: peer}, now, &limits) == outcomeDone {
				bound++
			}
		}
		if random.IntN(3) == 0 { // else the sink may be behind by several changes
			r.srv.flowQueue.told()
			check(r)
		}
	}
	r.srv.flowQueue.told()
	check(r)
	if bound < 50 || conversed < 10 {
		t.Errorf("seed %d: only %d channels were bound, and %d flows made without", seed, bound, conversed)
	}
	if t.Failed() {
		t.Fatalf("seed %d", seed)
	}
}

// move moves an allocation to a five-tuple, whose packets may come to the other shard, unless it is taken.
func (r *flowRig) move(t *testing.T, a *allocation, to wire.FiveTuple, across bool) {
	t.Helper()
	h := &home{client: client{tuple: to}}
	if across {
		h.via = r.other
	}
	taken := r.shard.find(to) != nil
	_, ok := r.shard.rehome(a, h)
	if ok == taken {
		t.Fatalf("moved %v to a place that is taken %v", ok, taken)
	}
}

func (r *flowRig) compare(t *testing.T, sink *recordingSink) {
	t.Helper()
	if up, down := r.shard.flows.fromClient.Size(), r.shard.flows.fromPeer.Size(); len(sink.up) != up || len(sink.down) != down || up+len(sink.sends) != down {
		t.Fatalf("the sink has %d and %d channels and %d flows without, the table %d and %d", len(sink.up), len(sink.down), len(sink.sends), up, down)
	}
	for key, f := range r.shard.flows.fromPeer.All() {
		if want := f.entry(); sink.down[key] != want || f.channel == 0 && sink.sends[sendKey{want.fromClient.tuple, key.peer}] != want {
			t.Fatalf("the sink has %+v, the table %+v", sink.down[key], want)
		}
		if f.home != f.alloc.home.Load() || f.alloc.flowTo(key.peer) != f {
			t.Fatalf("%+v is not of its allocation", f)
		}
	}
	for key, f := range r.shard.flows.fromClient.All() {
		if want := f.entry(); sink.up[key] != want {
			t.Fatalf("the sink has %+v, the table %+v", sink.up[key], want)
		}
		if other, _ := r.other.flows.fromClient.Load(key); (other == f) != (f.home.via == r.other) || f.home != f.alloc.home.Load() {
			t.Fatalf("%+v, whose packets come to %p, is %+v in the other shard", f, f.home.via, other)
		}
	}
	guests := 0
	for tuple, a := range r.shard.allocations.All() {
		if guest, _ := r.other.guests.Load(tuple); guest == a {
			guests++
		} else if a.home.Load().via != nil {
			t.Fatalf("the guest on %+v is not found", tuple)
		}
	}
	if guests != r.other.guests.Size() || r.other.flows.fromPeer.Size() != 0 {
		t.Fatalf("%d guests of %d live, with %d flows down", guests, r.other.guests.Size(), r.other.flows.fromPeer.Size())
	}
}

// TestFlowsAreReadWhileTheyChange makes many readers look flows up while others bind, sweep, end and make them again. A
// reader finds under a key only a flow of that key, and never again a flow of an allocation that has ended.
func TestFlowsAreReadWhileTheyChange(t *testing.T) {
	r := newFlowRig(t, newRecordingSink())
	const clients, channels = 4, 3
	var ended [clients]atomic.Int64 // the highest generation that has ended; it is kept in the allocation's birth
	var stop atomic.Bool
	var reads atomic.Int64
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !stop.Load() {
				for i := range clients {
					over := ended[i].Load()
					key := clientKey{rigTuple(i), wire.MinChannel + uint16(reads.Add(1)%channels)}
					f, ok := r.shard.flows.fromClient.Load(key)
					if !ok {
						continue
					}
					if f.clientKey() != key || int64(f.alloc.born) <= over {
						t.Errorf("found %+v of generation %d under %+v, after the end of generation %d", f.clientKey(), f.alloc.born, key, over)
						return
					}
					f.live(0)
					f.alloc.permits(f.peer.endpoint.IP, 0)
				}
			}
		})
	}
	limits := Limits{ChannelsPerAllocation: channels, PermissionsPerAllocation: channels}
	for generation := int64(1); generation <= 100 || reads.Load() < 1000; generation++ {
		for i := range clients {
			a := r.shard.find(rigTuple(i))
			if a != nil {
				was := int64(a.born)
				a.end()
				ended[i].Store(was)
			}
			a = &allocation{
				shard: r.shard, grant: auth.Grant{Kind: auth.GrantREST, User: "alice"}, born: clock(generation),
			}
			a.home.Store(&home{client: client{tuple: rigTuple(i)}})
			a.first.relayPort = relayPort{datagrams: noSocket{}, local: rigEndpoint(3, i), address: r.address}
			a.first.expires.set(clock(time.Hour))
			a.account, _ = r.srv.quota.count(&a.grant, &a.home.Load().client, &r.srv.cfg.Limits)
			a.budget = new(budget)
			r.shard.insert(a)
			for n := range uint16(channels) {
				r.shard.bind(a, wire.MinChannel+n, destination{endpoint: rigEndpoint(byte(10+n), 0)}, clock(n), &limits)
			}
			r.shard.sweep(clock(permissionLifetime) + clock(channelLifetime) - 1)
		}
	}
	stop.Store(true)
	readers.Wait()
}
