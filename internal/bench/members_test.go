//go:build linux

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/signalload"
	"example.org/turnpike/signal/wire"
)

// returnTime bounds how long a return may take.
const returnTime = 2 * time.Minute

// measureReturn measures how long it takes after a planned restart until all members are back.
func (b *signalBench) measureReturn(t *testing.T) {
	for range b.pairs {
		b.measureOneReturn(t, ourSignalingFor(auth.RoleMember))
	}
}

func (b *signalBench) measureOneReturn(t *testing.T, s signalServer) {
	t.Helper()
	dir := t.TempDir()
	p := s.startIn(t, dir, "127.0.0.1:0", nil)
	defer p.end()
	p.config.Sessions, p.config.Members, p.config.Return = b.members, true, true
	g, err := signalload.Open(t.Context(), p.config)
	if err != nil {
		t.Fatal(err)
	}
	restarted := make(chan signalProcess, 1)
	go func() {
		defer close(restarted)
		p.stop()
		restarted <- s.startIn(t, dir, p.config.Server.String(), nil)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), returnTime)
	defer cancel()
	back, err := g.Return(ctx)
	next, running := <-restarted
	if running {
		defer next.end()
	}
	defer g.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d members are back in %v, %d of them as they were, after %d tries; a log-in took p50 %v, p99 %v",
		b.members, back.Took, back.Resumed, back.Tries, back.Login.Percentile(50), back.Login.Percentile(99))
	if back.Resumed != b.members {
		t.Errorf("%d of %d members are new", b.members-back.Resumed, b.members)
	}
	b.record("return", s.name, back.Took.Seconds())
}

// calmRounds is how many rounds without the restless member, and as many with it, a server has. A round with one collection of garbage more
// than another has another p99: only the median of several says what the member does.
const calmRounds = 3

// measureRestless measures latency among many members, in turns alone and while one more signs in and out all the time. Messages are
// few, far below what the server carries: nearly all of what a message waits for is what the member costs.
func (b *signalBench) measureRestless(t *testing.T) {
	s := ourSignalingFor(auth.RoleMember)
	for range b.pairs {
		g, end := b.open(t, s, b.members, b.settle, nil)
		b.runLoad(t, g, s, b.rate) // until new resume tokens, of sessions that are in a room now, have been sent
		for round := range 2 * calmRounds {
			if alone := (round+1)/2%2 == 0; alone { // alone, with it, with it, alone, and so on
				b.record("p99 members", s.name, b.calmP99(t, g, s))
			} else {
				b.record("p99 restless", s.name, b.restlessP99(t, g, s))
			}
		}
		end()
	}
}

// restlessP99 is calmP99 while one member signs in and out.
func (b *signalBench) restlessP99(t *testing.T, g *signalload.Generator, s signalServer) float64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	restless := make(chan int)
	go func() { restless <- comeAndGo(ctx, t, g.Config()) }()
	p99 := b.calmP99(t, g, s)
	cancel()
	rounds := <-restless
	b.record("rounds", s.name, float64(rounds))
	t.Logf("one member signed in and out %d times meanwhile", rounds)
	return p99
}

// calmP99 has few messages sent, for long enough that the slowest hundredth of them is many, and returns the p99 of their latency in microseconds.
// That counts from when they are sent: the load generator, which reads what 20,000 members hear of the restless one and shares its core with
// that, can be late itself.
func (b *signalBench) calmP99(t *testing.T, g *signalload.Generator, s signalServer) float64 {
	t.Helper()
	r, err := g.Run(t.Context(), signalload.Load{Rate: b.calm, Duration: 3 * b.run, Warmup: b.run / 5, AsSent: true})
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	logResult(t, s, r)
	return float64(r.Latency.Percentile(99)) / 1e3
}

// comeAndGo signs a member in and out as often as one address may, until ctx ends, and returns how often it did.
func comeAndGo(ctx context.Context, t *testing.T, cfg *signalload.Config) (rounds int) {
	const perSecond = 100 // as limits.hellos_per_second_per_address allows by default
	dialect := cfg.Dialect.(signalload.Turnpike)
	ticket, err := dialect.Ticket(-1) // so that its name is the first, which everybody is told of
	if err != nil {
		t.Error(err)
		return 0
	}
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
	for ; ; rounds++ {
		select {
		case <-ctx.Done():
			return rounds
		case <-tick.C:
		}
		if err := signInAndOut(&dialer, fmt.Sprintf("ws://%s/signal", cfg.Server), ticket); err != nil {
			t.Error(err)
			return rounds
		}
	}
}

func signInAndOut(dialer *websocket.Dialer, url, ticket string) error {
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.WriteJSON(map[string]string{"type": "hello", "ticket": ticket}); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); err != nil { // the welcome
		return err
	}
	return conn.WriteJSON(map[string]string{"type": "bye"})
}

// measureOfMembers measures what members alone do.
func (b *signalBench) measureOfMembers(t *testing.T) {
	t.Run("members' return", b.measureReturn)
	t.Run("a restless member", b.measureRestless)
}

// TestMembersTable is a part of TestSignalTable that needs no PeerJS, and takes a few minutes.
func TestMembersTable(t *testing.T) {
	n := pairs(t)
	if n == 0 {
		t.Skip("bench: takes minutes, and a machine with nothing else to do; BENCH_PAIRS=1 runs it")
	}
	need(t, "taskset")
	b := &signalBench{
		signalSettings: signalSettings{pairs: n, members: mostMembers(t), settle: 10 * time.Second, rate: 2000, calm: 500, run: 6 * time.Second}, figures: figures{},
	}
	build(t)
	leaveServerCore(t)
	b.measureOfMembers(t)
	fmt.Printf("\n%s; %d members\n\n%s", machine(), b.members, b.table())
}

// TestMembersQuick holds that TestMembersTable works, and that members are who they were after a restart.
func TestMembersQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts servers; -short is set")
	}
	need(t, "taskset")
	b := &signalBench{signalSettings: signalSettings{pairs: 1, members: 40, rate: 100, calm: 100, run: 500 * time.Millisecond}, figures: figures{}}
	build(t)
	b.measureOfMembers(t)
	for _, name := range []string{"return", "p99 members", "p99 restless", "rounds"} {
		if value, ok := b.figures.median(name, "turnpike"); !ok || value <= 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
}
