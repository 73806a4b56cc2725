package turnserver

import (
	"testing"

	"example.org/turnpike/turnserver/offload"
)

// TestKernelFollowsTable is TestSinkFollowsTable with the kernel's maps for a sink, and with every limit of bandwidth.
// The kernel has the flows of the table and no others, and meters for them, of which none gets lost.
func TestKernelFollowsTable(t *testing.T) {
	if !offloaded {
		return // it is for the run with flows in the kernel
	}
	for seed := range uint64(3) {
		limits := Limits{Allocations: 8, BandwidthPerAllocation: 1e6, BandwidthPerUser: 1e6, Bandwidth: 1e6}
		meters := metersFor(&limits)
		path, err := offload.Open(offload.Config{Meters: meters})
		if err != nil {
			t.Fatal(err)
		}
		k := newOffloader(nil, path, leastFlows, meters)
		t.Cleanup(k.close)
		r := newFlowRig(t, k)
		k.srv, k.meters.srv = r.srv, r.srv
		r.srv.bandwidth = bandwidth{limited: true, allocation: 1e6, account: 1e6, node: 1e6, offloader: k}
		r.live(t, seed, func(r *flowRig) { compareKernel(t, r, k) })
		for _, a := range r.shard.all() {
			a.end()
		}
		r.srv.flowQueue.settle()
		compareKernel(t, r, k)
		if got := len(k.meters.free); got != meters {
			t.Errorf("seed %d: %d meters of %d are free at the end", seed, got, meters)
		}
	}
}

func compareKernel(t *testing.T, r *flowRig, k *offloader) {
	t.Helper()
	has := k.usage()
	flows, metered := 0, make(map[*allocation]bool)
	for _, f := range r.shard.flows.fromPeer.All() {
		flows++
		metered[f.alloc] = true
		keys := keysOf(f)
		for _, key := range []offload.Key{keys.Up(), keys.Down()} {
			if _, ok := has[key]; !ok {
				t.Fatalf("the kernel lacks %+v", key)
			}
		}
		if !f.offloaded.Load() {
			t.Fatalf("%+v is not marked", keys)
		}
	}
	if len(has) != 2*flows || k.path.Flows() != flows || k.flows != flows {
		t.Fatalf("the kernel has %d entries and %d flows, of which %d are counted, the table %d flows", len(has), k.path.Flows(), k.flows, flows)
	}
	used := make(map[uint32]bool)
	for a := range metered {
		for _, d := range []direction{clientToPeer, peerToClient} {
			for _, id := range k.metersOf(a, d) {
				used[id] = true
			}
		}
	}
	if used[0] || len(used)+len(k.meters.free) != metersFor(&Limits{Allocations: 8, BandwidthPerAllocation: 1, BandwidthPerUser: 1, Bandwidth: 1}) {
		t.Fatalf("%d meters are in use, %d free", len(used), len(k.meters.free))
	}
}
