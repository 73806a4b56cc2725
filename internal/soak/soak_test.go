package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	timeEnv = "TURNPIKE_SOAK"      // how long; `make soak` sets it
	seedEnv = "TURNPIKE_SOAK_SEED" // of what happens; a failure says which it had
)

// How many of each there are at a time.
const members, strangers = 12, 2

// TestSoak: what a server has at the end is what it had after a while.
func TestSoak(t *testing.T) {
	long := 40 * time.Second
	if testing.Short() {
		long = 5 * time.Second
	}
	if v := os.Getenv(timeEnv); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if v := os.Getenv(seedEnv); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)

	s := start(t)
	c := &tally{done: map[string]int{}, failed: map[string]int{}}
	soak(t, s, seed, min(long/4, time.Minute), c)
	before := s.rest(t, nil)
	soak(t, s, seed+1, long, c)
	after := s.rest(t, before)
	for name, was := range before {
		if is := after[name]; bounded(name) && is > most(name, was) {
			t.Errorf("%s was %.0f and is %.0f", name, was, is)
		}
	}
	t.Logf("done: %v", c.done)
	for _, name := range slices.Sorted(maps.Keys(c.failed)) {
		t.Errorf("%d times: %s", c.failed[name], name)
	}
	for _, d := range append(deeds(), deed{name: "hello"}, deed{name: "stranger"}, deed{name: "certificate"}) {
		if c.done[d.name] == 0 && long >= 40*time.Second {
			t.Errorf("%q never went well", d.name)
		}
	}
	for _, line := range s.log.lines("level=ERROR", "panic", "DATA RACE") {
		t.Errorf("the log has %q", line)
	}
}

// soak lets everybody do something for a time, and waits until all have gone.
func soak(t *testing.T, s *server, seed uint64, long time.Duration, c *tally) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var all sync.WaitGroup
	for i, who := range slices.Concat(
		slices.Repeat([]func(context.Context, *server, *rand.Rand, *tally){live}, members),
		slices.Repeat([]func(context.Context, *server, *rand.Rand, *tally){disturb}, strangers),
		[]func(context.Context, *server, *rand.Rand, *tally){operate},
	) {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() { who(ctx, s, random, c) })
	}
	all.Wait()
}

// rest waits until nobody's things are left, and returns what the server has then. Compared with before, it waits for what takes a moment.
func (s *server) rest(t *testing.T, before state) (now state) {
	t.Helper()
	var left []string
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		now, left = s.state(t), nil
		for name, n := range now {
			if gone(name) && n > 0 || before != nil && bounded(name) && n > most(name, before[name]) {
				left = append(left, fmt.Sprintf("%s %.0f", name, n))
			}
		}
		if len(left) == 0 {
			return now
		}
		select {
		case <-tick.C:
		case <-deadline:
			slices.Sort(left)
			t.Errorf("when all have gone, there are still %v", left)
			return now
		}
	}
}

// gone reports whether a number must be zero when all have gone: those of what clients make, and of the entries of tables for it.
func gone(name string) bool {
	for _, p := range []string{
		"turnpike_turn_allocations", "turnpike_turn_entries", "turnpike_turn_flows_offloaded", "turnpike_turn_peer_connections",
		"turnpike_signal_sockets", "turnpike_signal_sessions", "turnpike_signal_unacknowledged_bytes", "turnpike_signal_users", "turnpike_signal_rooms", "turnpike_signal_calls",
	} {
		if strings.HasPrefix(name, p) && !strings.Contains(name, "_total") {
			return true
		}
	}
	return false
}

// slack is how much more of something may be there without anything being left behind: of bytes a part, too, as the heap is never twice the same.
var slack = map[string]float64{"go_goroutines": 4, "process_open_fds": 4, "go_memstats_heap_inuse_bytes": 4 << 20}

func bounded(name string) bool { return slack[name] > 0 }

func most(name string, was float64) float64 {
	if strings.HasSuffix(name, "_bytes") {
		was *= 1.1
	}
	return was + slack[name]
}
