package turnserver

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// slowQueue is a queue of either kind, whose client reads nothing.
type slowQueue struct {
	enqueue func([]byte) bool
	far     net.Conn
}

func newSlowQueue(b *backlog, of *account, records bool, spawn func(func())) slowQueue {
	near, far := net.Pipe()
	var user atomic.Pointer[account]
	user.Store(of)
	if records {
		q := new(recordQueue)
		q.init(near, spawn)
		q.backlog, q.user = b, &user
		return slowQueue{q.enqueue, far}
	}
	q := new(sendQueue)
	q.init(near, spawn)
	q.backlog, q.user = b, &user
	return slowQueue{q.enqueue, far}
}

// fill enqueues until the queue is full, and returns how many bytes it took.
func (q *slowQueue) fill() (n int) {
	frame := make([]byte, 1000)
	for q.enqueue(frame) {
		n += len(frame)
	}
	return n
}

// TestWaitingBytes in false time: users have a share of the bytes that wait, the node has a bound, and a client can always
// have a few waiting. A stranger can have no more. When the clients are gone, nothing waits.
func TestWaitingBytes(t *testing.T) {
	for _, records := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const ofUser, ofNode = 300_000, 500_000
			b := &backlog{ofNode: ofNode, ofUser: ofUser}
			alice, bob, carol := new(account), new(account), new(account)
			var writers sync.WaitGroup
			var all []slowQueue
			filled := func(of *account, queues int) (total int) {
				for range queues {
					q := newSlowQueue(b, of, records, writers.Go)
					all = append(all, q)
					total += q.fill()
				}
				return total
			}
			within := func(who string, got, clients, share int) {
				t.Helper()
				if most := share + clients*freeBacklog; got > most || got < most-clients*1000-1000 {
					t.Errorf("records %v: %d bytes wait for %s, want %d", records, got, who, most)
				}
			}
			within("strangers", filled(nil, 10), 10, 0)
			if got := filled(alice, 1); got > maxQueued || got < maxQueued-1000 {
				t.Errorf("%d bytes wait for the first client", got)
			}
			within("a user", maxQueued-maxQueued%1000+filled(alice, 9), 10, ofUser)
			within("another", filled(bob, 10), 10, ofNode-ofUser)
			within("a third", filled(carol, 10), 10, 0)
			if got := b.waiting.Load(); got > ofNode || got < ofNode-3000 {
				t.Errorf("%d bytes have a share", got)
			}
			if !records { // the clients are given up
				time.Sleep(2 * writeTimeout)
			}
			for _, q := range all {
				_ = q.far.Close()
			}
			writers.Wait()
			for _, who := range []*account{alice, bob, carol} {
				if n := who.waiting.Load(); n != 0 {
					t.Errorf("%d bytes of a user wait still", n)
				}
			}
			if n := b.waiting.Load(); n != 0 {
				t.Errorf("%d bytes wait still", n)
			}
		})
	}
}

// TestWaitingBytesOutliveRelays: a user whose clients have not read what waits for them gets no new share with the next
// relay. A connection without a relay has no share any more.
func TestWaitingBytesOutliveRelays(t *testing.T) {
	limits := DefaultLimits()
	q, b := newQuota(&limits), &backlog{ofNode: 10_000, ofUser: 1000}
	grant := auth.Grant{Kind: auth.GrantREST, User: "alice"}
	c := &client{tuple: wire.FiveTuple{Client: wire.EndpointOf(at("192.0.2.7")), Protocol: wire.TCP}}
	allocate := func() *account {
		h, stands := q.count(&grant, c, &limits)
		if stands != noReason {
			t.Fatal("no allocation: reason", stands)
		}
		return h
	}
	first := allocate()
	if !b.take(first, 800) {
		t.Fatal("no room")
	}
	q.uncountAllocation(first, &grant, c, 0)
	q.sweep(0)
	second := allocate()
	if b.take(second, 300) {
		t.Error("the next relay brings a new share")
	}
	b.giveBack(first, 800)
	q.uncountAllocation(second, &grant, c, 0)
	q.sweep(0)
	entries := make(map[string]int)
	if q.countEntries(entries); entries["accounts"] != 0 {
		t.Errorf("%d accounts are left", entries["accounts"])
	}

	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	conn := clientConnection{conn: near, places: new(places)}
	conn.allocationMade(first)
	conn.allocationMade(second) // before the first has ended
	if conn.allocationEnded(); conn.account.Load() != second {
		t.Error("the share is not that of the present relay")
	}
	if conn.allocationEnded(); conn.account.Load() != nil {
		t.Error("a connection without a relay has a share")
	}
}
