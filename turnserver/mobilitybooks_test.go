package turnserver

import (
	"fmt"
	"slices"
	"testing"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
)

// checkBooks compares everything that the server keeps of allocations that can move, while nothing moves: their places
// and arrivals, their tickets, what is counted for each owner and source, and the keys of flows.
func checkBooks(t testing.TB, s *Server) {
	t.Helper()
	if wrong := booksOf(s); len(wrong) > 0 {
		t.Fatalf("the books do not agree: %q", wrong)
	}
}

// books are the numbers that there should be, counted from the allocations alone.
type books struct {
	wrong               []string
	owners              map[holder]int
	addresses           map[front.Range]int
	tickets             map[uint64]*allocation
	arrivals            int
	up, down            int
	guests, allocations int
}

func booksOf(s *Server) []string {
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	b := books{owners: make(map[holder]int), addresses: make(map[front.Range]int), tickets: make(map[uint64]*allocation)}
	s.mobility.mu.Lock()
	defer s.mobility.mu.Unlock()
	guests := 0
	for _, sh := range shards {
		sh.mu.Lock()
		for tuple, a := range sh.allocations.All() {
			b.add(s, sh, tuple, a)
		}
		sh.mu.Unlock()
		guests += sh.guests.Size()
	}
	b.want("guests", guests, b.guests)
	up, down := flowsOf(s)
	b.want("flows up", up, b.up)
	b.want("flows down", down, b.down)
	b.want("arrivals", s.mobility.arrivals.Size(), b.arrivals)
	b.want("tickets", len(s.mobility.tickets), len(b.tickets))
	for serial, a := range b.tickets {
		b.claim(s.mobility.tickets[serial] == a, "a ticket is for another allocation")
	}
	s.quota.mu.Lock()
	defer s.quota.mu.Unlock()
	b.want("in total", s.quota.total, b.allocations)
	b.want("owners", len(s.quota.accounts), len(b.owners))
	for who, h := range s.quota.accounts {
		b.want(fmt.Sprint("of ", who), h.count, b.owners[who])
	}
	b.want("addresses", len(s.quota.addresses), len(b.addresses))
	for from, n := range s.quota.addresses {
		b.want(fmt.Sprint("from ", from), n, b.addresses[from])
	}
	return b.wrong
}

// countAddress counts an allocation for where its client is.
func (b *books) countAddress(e wire.Endpoint) {
	ranges, n := front.RangesOf(e.Addr())
	for _, r := range ranges[:n] {
		b.addresses[r]++
	}
}

// add counts an allocation and what it has. The caller holds the locks that guard them.
func (b *books) add(s *Server, sh *shard, tuple wire.FiveTuple, a *allocation) {
	home := a.home.Load()
	b.allocations++
	b.owners[a.account.holder]++
	b.countAddress(home.tuple.Client)
	b.claim(a.shard == sh && home.tuple == tuple, "an allocation is not where it says")
	b.claim(home.via != sh, "an allocation is its own shard's guest")
	if home.via != nil {
		b.guests++
		guest, _ := home.via.guests.Load(tuple)
		b.claim(guest == a, "an allocation is not a guest where it says")
	}
	for _, f := range a.flows {
		b.up, b.down = b.up+1, b.down+1
		up, _ := sh.flows.fromClient.Load(f.clientKey())
		down, _ := sh.flows.fromPeer.Load(f.peerKey())
		b.claim(f.home == home && up == f && down == f, "a flow is not the allocation's where it is")
		if home.via != nil {
			b.up++
			via, _ := home.via.flows.fromClient.Load(f.clientKey())
			b.claim(via == f, "a flow is not found where the client's packets come to")
		}
	}
	if a.extras == nil || a.extras.mobile == nil {
		return
	}
	mob := a.extras.mobile
	b.tickets[mob.next] = a
	if mob.used != 0 {
		b.tickets[mob.used] = a
	}
	if ar := mob.arrival; ar != nil {
		b.arrivals++
		b.countAddress(ar.home.tuple.Client)
		there, _ := s.mobility.arrivals.Load(ar.home.tuple)
		b.claim(there == ar && ar.alloc == a && ar.home.tuple != tuple, "an allocation is not expected where it says")
		taken := slices.ContainsFunc(s.shards, func(other *shard) bool { return other.find(ar.home.tuple) != nil })
		b.claim(!taken, "an allocation is expected where there is another")
	}
}

func (b *books) want(what string, got, want int) {
	b.claim(got == want, fmt.Sprintf("%d %s, want %d", got, what, want))
}

func (b *books) claim(holds bool, wrong string) {
	if !holds {
		b.wrong = append(b.wrong, wrong)
	}
}
