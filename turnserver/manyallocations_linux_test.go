package turnserver

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"turnpike/turnserver/wire"
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
	if room := allowDescriptors(t, n); room < n {
		if many != "" {
			t.Fatalf("this process may have %d descriptors more, and needs %d: run it as root", room, n)
		}
		n = room
	}
	const ofUser, addresses = 10, 4
	s := startServer(t, func(cfg *Config) {
		relayHosts(addresses)(cfg)
		cfg.MinPort, cfg.MaxPort = 1025, 65535
		cfg.Limits.Allocations = n
	})
	shard := newShard(s) // as if all clients came over streams: the loops, which read the relayed sockets, have shards of their own
	s.mu.Lock()
	s.shards = append(s.shards, shard)
	s.mu.Unlock()
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
	for _, row := range []struct {
		name string
		do   func()
	}{
		{"snapshot", func() { s.Snapshot() }}, {"first sweep", s.sweep}, {"later sweep", s.sweep}, {"end of a user", func() { s.EndUser(users[0]) }},
	} {
		longest, took := longestHold(&shard.mu, row.do)
		t.Logf("%s: takes %v; the longest wait for the lock of a shard is %v", row.name, took, longest)
	}
	if len(s.Snapshot()) != n-ofUser {
		t.Errorf("%d allocations are listed, want %d", len(s.Snapshot()), n-ofUser)
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

// makeMany makes allocations, each with a channel, for users with ofUser of them each. It returns the users.
func makeMany(t *testing.T, s *Server, shard *shard, n, ofUser int) (users []string) {
	t.Helper()
	sock, buf := &answerCode{t: t}, new(buffer)
	w := newWorker(s, shard)
	outside := netip.MustParseAddr("1.1.1.1") // nothing is sent there
	var sign []stun.Setter
	var key stun.MessageIntegrity
	for i := range n {
		c := client{sock: sock, tuple: wire.FiveTuple{
			Client: wire.EndpointOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 0, byte(i / ofUser >> 8), byte(i / ofUser)}), uint16(1000+i%ofUser))),
			Local:  wire.EndpointOf(netip.AddrPortFrom(loopback, 3478)), Protocol: wire.UDP,
		}}
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
		ask(stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(netip.AddrPortFrom(outside, 9)))
	}
	return users
}
