package turnserver

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/wire"
)

// allocationsEnv is how many allocations TestManyAllocations makes, instead of a few. `make soak` sets it.
const allocationsEnv = "TURNPIKE_ALLOCATIONS"

// answerCode is a client's socket: it keeps the last answer's code.
type answerCode struct {
	t    *testing.T
	code int
}

func (a *answerCode) sendTo(_ *worker, _ *client, b []byte, _ int) {
	a.code = codeOf(a.t, decode(a.t, b))
}

// allowDescriptors lets this process have n files open, and returns how many it may have beside what it has.
func allowDescriptors(t *testing.T, n int) int {
	t.Helper()
	const others = 500
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if want := uint64(n + others); limit.Cur < want {
		before := limit
		limit.Cur, limit.Max = want, max(limit.Max, want)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return int(before.Cur) - others
		}
		t.Cleanup(func() {
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
				t.Error(err)
			}
		})
	}
	return n
}

// TestManyAllocations makes as many allocations as a big server has, from signed requests and with real sockets at several addresses.
func TestManyAllocations(t *testing.T) {
	n, many := 1500, os.Getenv(allocationsEnv)
	if many != "" && !portable && !offloaded {
		var err error
		if n, err = strconv.Atoi(many); err != nil {
			t.Fatal(err)
		}
	}
	if room := allowDescriptors(t, n); room < n && many == "" {
		n = room
	} else if room < n {
		t.Logf("this process may have %d descriptors more, and needs %d: the relayed sockets are none", room, n)
		testManyHolds(t, n)
		return
	}
	const ofUser, addresses = 10, 4
	s, shard := serverOfMany(t, n, addresses)
	heapBefore, _ := memoryInUse()
	from := time.Now()
	users := makeMany(t, s, shard, n, ofUser)
	took := time.Since(from)
	heapAfter, _ := memoryInUse()
	each := float64(heapAfter-heapBefore) / float64(n)
	t.Logf("%d allocations in %v; %.0f bytes of heap each", n, took.Round(time.Millisecond), each)
	if each > 4096 && !portable {
		t.Errorf("an allocation takes %.0f bytes of heap", each)
	}
	if got := s.Allocations(); got != n || heldPorts(s) != n {
		t.Errorf("%d allocations live, and hold %d ports, want %d", got, heldPorts(s), n)
	}
	if got := s.Entries(); got["allocations"] != n || got["flows_up"] != n || got["flows_down"] != n || got["accounts"] != len(users) || got["owners"] != len(users) {
		t.Errorf("the tables have %v", got)
	}
	for _, r := range s.relays.Load().udp {
		if got := int(r.taken.Load()); got < n/addresses/3 {
			t.Errorf("%d relays of %d are at %v", got, n, r.local)
		}
	}
	if len(s.Snapshot()) != n {
		t.Errorf("%d allocations are listed, want %d", len(s.Snapshot()), n)
	}
	for _, user := range users {
		s.EndUser(user)
	}
	waitFor(t, "every port to be free", func() bool { return s.Allocations() == 0 && heldPorts(s) == 0 })
	for table, left := range s.Entries() {
		if left != 0 {
			t.Errorf("%d entries are left of %s", left, table)
		}
	}
}

// serverOfMany starts a server for n allocations at some addresses, and returns a shard for them.
func serverOfMany(t *testing.T, n, addresses int) (*Server, *shard) {
	t.Helper()
	s := startServer(t, func(cfg *Config) {
		relayHosts(addresses)(cfg)
		cfg.MinPort, cfg.MaxPort = 1025, 65535
		cfg.Limits.Allocations = n
	})
	shard := newShard(s) // as if all clients came over streams: the loops, which read the relayed sockets, have shards of their own
	s.mu.Lock()
	s.shards = append(s.shards, shard)
	s.mu.Unlock()
	return s, shard
}

// freedSocket is a noSocket at a port of the server, which it frees.
type freedSocket struct{ noSocket }

func (freedSocket) close(address *relayAddress, port uint16) { address.release(port) }

func bindNone(*loop) binder {
	return func(p *relayPort, _ netip.AddrPort) error {
		p.datagrams = freedSocket{}
		return nil
	}
}

// mostHold is how long packets of a call may wait for a lock that somebody holds who looks at all allocations.
const mostHold = 200 * time.Microsecond

// TestManyHolds: a packet loop waits briefly for what looks at all allocations, however many there are.
func TestManyHolds(t *testing.T) {
	if offloaded {
		return // without sockets there is nothing that the kernel could forward
	}
	testManyHolds(t, 2000)
}

// longestWork returns the longest processor time that do used while mu could not be had, what it used in all, and how often mu could not be had.
// Between two tries, the goroutine that asks for mu works. What the other processes of the host do counts for nothing: neither the time that do
// waits for a processor, nor a wait during which the asker had to wait for one.
func longestWork(t *testing.T, mu *sync.Mutex, do, work func()) (longest, all time.Duration, waits int) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collector would take a processor
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	holder := unix.Gettid()
	var stop atomic.Bool
	asking := make(chan struct{})
	var asker sync.WaitGroup
	asker.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		self := unix.Gettid()
		close(asking)
		for ; !stop.Load(); work() {
			if mu.TryLock() {
				mu.Unlock()
				continue
			}
			waits++
			from, own, others := time.Now(), processorTime(t, self), processorTime(t, holder)
			for !mu.TryLock() {
			}
			used, asked, waited := processorTime(t, holder)-others, processorTime(t, self)-own, time.Since(from)
			mu.Unlock()
			if waited-asked < mostHold/4 { // it cannot have missed another hold that is long
				longest = max(longest, used)
			}
		}
	})
	<-asking
	before := processorTime(t, holder)
	do()
	all = processorTime(t, holder) - before
	stop.Store(true)
	asker.Wait()
	return longest, all, waits
}

// processorTime is how long a thread has had a processor.
func processorTime(t *testing.T, thread int) time.Duration {
	const ofThread, scheduled = 4, 2 // see posix-timers.h of Linux
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^thread<<3|ofThread|scheduled), &at); err != nil {
		t.Error(err)
	}
	return time.Duration(at.Nano())
}

// testManyHolds measures how long a packet loop, which relays the data of a call meanwhile, waits for locks.
func testManyHolds(t *testing.T, n int) {
	const ofUser = 10
	tries := 12
	if n > 10_000 {
		tries = 4
	}
	s, shard := serverOfMany(t, n, 4)
	s.binderFor = bindNone
	users := makeMany(t, s, shard, n, ofUser)
	if got := s.Allocations(); got != n {
		t.Fatalf("%d allocations live, want %d", got, n)
	}
	w, buf := newWorker(s, shard), new(buffer)
	caller := client{sock: &answerCode{t: t}, tuple: tupleOfMany(n-1, ofUser)}
	relayData := func() {
		end := headroom + copy(buf.bytes[headroom:], []byte{0x40, 0, 0, 4, 1, 2, 3, 4}) // channel 0x4000, four bytes
		w.handle(&caller, buf.bytes[:], headroom, end)
		w.flush()
	}
	again := func() { // each has something that expires
		limits := DefaultLimits()
		peer := s.destinationOf(wire.EndpointOf(outsideOfMany()))
		for _, a := range shard.all() {
			if out := shard.bind(a, wire.MinChannel, peer, s.now(), &limits); out != outcomeDone {
				t.Fatalf("bound: %v", out)
			}
		}
	}
	next := 0
	locks := []struct {
		name string
		mu   *sync.Mutex
	}{{"a shard", &shard.mu}, {"the index of owners", &s.owned.mu}, {"the numbers", &s.quota.mu}, {"activity", &s.activityMu}}
	nothing := func() {}
	for _, row := range []struct {
		name        string
		prepare, do func()
	}{
		{"GET /allocations", nothing, func() { s.Snapshot() }},
		{"a sweep that finds nothing", nothing, s.sweep},
		{"a sweep that finds something of each", again, func() { shard.sweep(s.now().plus(channelLifetime)) }},
		{"the counts for metrics", nothing, func() { s.AllocationsByTransport(); s.Entries(); s.Active(time.Minute) }},
		{"the end of a user", nothing, func() { s.EndUser(users[next]); next++ }},
	} {
		for _, lock := range locks {
			var longest, took time.Duration
			waits, tooLong := 0, 0
			times := tries
			if lock.mu != &shard.mu {
				times = 2 // few hold it
			}
			for range times {
				row.prepare()
				used, all, waited := longestWork(t, lock.mu, row.do, relayData)
				longest, took, waits = max(longest, used), max(took, all), waits+waited
				if used > mostHold && (n > 10_000 || used > all/8) { // few may take longer only where everything does, as with -race
					tooLong++
				}
			}
			t.Logf("%s works for %v, and for %v at most while a packet loop waits for the lock of %s (%d waits)", row.name, took, longest, lock.name, waits)
			if tooLong > 1 { // once, the host may have handled its interrupts
				t.Errorf("%s: a packet loop waits for the lock of %s for %v", row.name, lock.name, longest)
			}
		}
	}
}

func tupleOfMany(i, ofUser int) wire.FiveTuple {
	return wire.FiveTuple{
		Client: wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 0, byte(i / ofUser >> 8), byte(i / ofUser)}), uint16(1000+i%ofUser))),
		Local:  wire.EndpointOf(netip.AddrPortFrom(loopback, 3478)), Protocol: wire.UDP,
	}
}

// outsideOfMany is a peer to which nothing is sent.
func outsideOfMany() netip.AddrPort { return netip.MustParseAddrPort("1.1.1.1:9") }

// makeMany makes allocations, each with a channel, for users with ofUser of them each. It returns the users.
func makeMany(t *testing.T, s *Server, shard *shard, n, ofUser int) (users []string) {
	t.Helper()
	sock, buf := &answerCode{t: t}, new(buffer)
	w := newWorker(s, shard)
	var sign []stun.Setter
	var key stun.MessageIntegrity
	for i := range n {
		c := client{sock: sock, tuple: tupleOfMany(i, ofUser)}
		if i%ofUser == 0 {
			users = append(users, fmt.Sprint("user", i))
			cred := mintREST(t, users[len(users)-1], time.Hour)
			key = stun.NewLongTermIntegrity(cred.Username, testRealm, cred.Password)
			sign = []stun.Setter{stun.NewUsername(cred.Username), stun.NewRealm(testRealm)}
		}
		ask := func(method stun.Method, attrs ...stun.Setter) {
			m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(append(attrs, sign...), stun.NewNonce(string(w.nonce(&c))), key)...)
			end := headroom + copy(buf.bytes[headroom:], m.Raw)
			sock.code = -1
			w.handle(&c, buf.bytes[:], headroom, end)
			w.flush()
			if sock.code != 0 {
				t.Fatalf("%v of allocation %d is answered %d", method, i, sock.code)
			}
		}
		ask(stun.MethodAllocate, transport(transportUDP))
		ask(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(outsideOfMany()))
	}
	return users
}
