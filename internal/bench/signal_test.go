//go:build linux

package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/signalload"
)

// signalSettings say how much is measured.
type signalSettings struct {
	pairs    int           // rounds
	sessions int           // that send messages
	idle     int           // sessions when memory and log-ins are measured
	secure   int           // likewise, with TLS
	few      int           // members who log in among few, to compare with
	members  int           // and among many
	settle   time.Duration // before memory is read
	rate     float64       // when latency is measured
	calm     float64       // likewise, where it must show what else the server does
	start    float64       // first rate in the search for the highest
	run      time.Duration // of one measurement
	trial    time.Duration // of one rate in the search
}

// signalBench is one run of everything.
type signalBench struct {
	signalSettings
	servers []signalServer
	pair    *keyPair
	figures figures
}

func (b *signalBench) record(name, server string, value float64) {
	b.figures[figure{name, server}] = append(b.figures[figure{name, server}], value)
}

// alternate runs all rounds of a measurement. Each calls it for every server, in the opposite order of the round before.
func (b *signalBench) alternate(t *testing.T, name string, measure func(t *testing.T, s signalServer)) {
	t.Run(name, func(t *testing.T) {
		for pair := range b.pairs {
			order := slices.Clone(b.servers)
			if pair%2 == 1 {
				slices.Reverse(order)
			}
			for _, s := range order {
				if measure(t, s); t.Failed() {
					return
				}
			}
		}
	})
}

func (b *signalBench) measureAll(t *testing.T) {
	b.alternate(t, "idle", func(t *testing.T, s signalServer) { b.measureIdle(t, s, "", b.idle, nil) })
	b.alternate(t, "idle under TLS", func(t *testing.T, s signalServer) { b.measureIdle(t, s, " TLS", b.secure, b.pair) })
	t.Run("members", b.measureMembers)
	b.measureOfMembers(t)
	b.alternate(t, "latency", b.measureLatency)
	b.alternate(t, "highest rate", b.measureHighestRate)
	if !t.Failed() {
		t.Run("processor", b.measureProcessor)
	}
}

// open starts a server and logs sessions in.
func (b *signalBench) open(t *testing.T, s signalServer, sessions int, settle time.Duration, pair *keyPair) (*signalload.Generator, func()) {
	t.Helper()
	p := s.start(t, pair)
	p.config.Sessions, p.config.Settle = sessions, settle
	awaitRest(t, p.pid, settle)
	g, err := signalload.Open(t.Context(), p.config)
	if err != nil {
		p.end()
		t.Fatalf("%s: %v", s.name, err)
	}
	return g, func() {
		g.Close()
		p.end()
	}
}

// measureIdle measures log-ins and memory with many sessions that then do nothing.
func (b *signalBench) measureIdle(t *testing.T, s signalServer, suffix string, sessions int, pair *keyPair) {
	t.Helper()
	g, end := b.open(t, s, sessions, b.settle, pair)
	defer end()
	up := g.Setup()
	t.Logf("%-8s  %d log-ins in %v, %v of processor time, memory from %d to %d bytes", s.name, up.Sessions, up.Took, up.LoginTime, up.RSSBefore, up.RSSAfter)
	b.record("log-ins"+suffix, s.name, float64(up.Sessions)/up.Took.Seconds())
	b.record("log-in"+suffix, s.name, float64(up.LoginTime)/1e3/float64(up.Sessions))
	b.record("memory"+suffix, s.name, float64(up.RSSAfter-up.RSSBefore)/float64(up.Sessions)/1024)
}

// measureMembers measures log-ins of members, who are told of each other. PeerJS has nothing like it.
func (b *signalBench) measureMembers(t *testing.T) {
	s := ourSignalingFor(auth.RoleMember)
	for range b.pairs {
		b.measureIdle(t, s, " few members", b.few, nil)
		b.measureIdle(t, s, " members", b.members, nil)
	}
}

// measureLatency measures latency at a rate that every server carries.
func (b *signalBench) measureLatency(t *testing.T, s signalServer) {
	t.Helper()
	g, end := b.open(t, s, b.sessions, 0, nil)
	defer end()
	r := b.runLoad(t, g, s, b.rate)
	for name, percentile := range map[string]float64{"p50": 50, "p99": 99, "p99.9": 99.9} {
		b.record(name, s.name, float64(r.Latency.Percentile(percentile))/1e3)
	}
}

func (b *signalBench) runLoad(t *testing.T, g *signalload.Generator, s signalServer, rate float64) *signalload.Result {
	t.Helper()
	r, err := g.Run(t.Context(), signalload.Load{Rate: rate, Duration: b.run, Warmup: b.run / 5})
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	logResult(t, s, r)
	b.record("received", s.name, float64(r.Received))
	return r
}

func logResult(t *testing.T, s signalServer, r *signalload.Result) {
	t.Logf("%-8s  %6.0f messages a second: %.0f delivered, %d lost, %d not sent, p50 %v, p99 %v, %.1f µs of processor time each", s.name, r.Rate,
		r.DeliveredRate(), r.Lost(), r.LoaderSkipped, r.Latency.Percentile(50), r.Latency.Percentile(99), float64(r.ServerTimePerMessage())/1e3)
}

// measureHighestRate searches the highest rate.
func (b *signalBench) measureHighestRate(t *testing.T, s signalServer) {
	t.Helper()
	g, end := b.open(t, s, b.sessions, 0, nil)
	defer end()
	found, err := g.Max(t.Context(), signalload.Load{Rate: b.start, Duration: b.trial, Warmup: b.trial / 5}, func(r *signalload.Result) { logResult(t, s, r) })
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	if found.Result == nil {
		t.Fatalf("%s: at every rate messages take longer than %v", s.name, signalload.MaxP99)
	}
	t.Logf("%-8s  highest rate %.0f, limited by the load generator: %v", s.name, found.Result.Rate, found.LoaderLimited)
	b.record("highest rate", s.name, found.Result.Rate)
	if found.LoaderLimited {
		b.record("loader's limit", s.name, found.Result.Rate)
	}
}

// measureProcessor measures processor time at PeerJS's highest rate in the same round.
func (b *signalBench) measureProcessor(t *testing.T) {
	pair := 0
	b.alternate(t, "at PeerJS's highest rate", func(t *testing.T, s signalServer) {
		g, end := b.open(t, s, b.sessions, 0, nil)
		defer end()
		rate := b.figures[figure{"highest rate", "PeerJS"}][pair/len(b.servers)]
		pair++
		r := b.runLoad(t, g, s, rate)
		b.record("processor", s.name, float64(r.ServerTimePerMessage())/1e3)
	})
}

// signalRow is a line of the table.
type signalRow struct {
	title  string
	figure string
	format string
	ratio  comparison
	goal   string
	alone  bool // PeerJS has no such figure
}

func signalRows() []signalRow {
	theirs := ratioTo("PeerJS", "%.2f", "")
	rows := []signalRow{
		{"Memory (RSS) an idle session", "memory", "%.1f KB", theirs, "≤ 9 KB", false},
		{"Memory (RSS) an idle session, TLS", "memory TLS", "%.1f KB", theirs, "≤ 20 KB", false},
		{"Log-ins a second", "log-ins", "%.0f", theirs, "≥ 1.24, as Galène's", false},
		{"Log-ins a second, TLS", "log-ins TLS", "%.0f", theirs, "", false},
		{"Latency p50 at 2,000 a second", "p50", "%.0f µs", theirs, "", false},
		{"Latency p99 at 2,000 a second", "p99", "%.0f µs", theirs, "≤ 1", false},
		{"Latency p99.9 at 2,000 a second", "p99.9", "%.0f µs", theirs, "", false},
		{"Highest rate with p99 under 50 ms", "highest rate", "%.0f/s", theirs, "≥ 1.5", false},
		{"CPU a message at PeerJS's highest rate", "processor", "%.1f µs", theirs, "≤ 0.6", false},
	}
	return append(rows,
		signalRow{"Log-ins a second, many members", "log-ins members", "%.0f", ratioToOwn("guests'", "", "log-ins"), "", true},
		signalRow{"CPU a log-in, many members", "log-in members", "%.0f µs", ratioToOwn("that of few", "", "log-in few members"), "≤ 2", true},
		signalRow{"Time until many members are back after a restart", "return", "%.1f s", none(), "≤ 30 s", true},
		signalRow{"Latency p99 among many members, at 500 a second", "p99 members", "%.0f µs", none(), "", true},
		signalRow{"Latency p99 while one signs in and out, at 500 a second", "p99 restless", "%.0f µs", differenceToOwn("without", "", "p99 members"), "≤ +2000 µs", true},
		signalRow{"Memory (RSS) an idle session, many members", "memory members", "%.1f KB", ratioToOwn("guests'", "", "memory"), "", true},
	)
}

// table writes the rows.
func (b *signalBench) table() string {
	var out strings.Builder
	fmt.Fprint(&out, "| median | turnpike | PeerJS | ratio | goal |\n|---|---|---|---|---|\n")
	for _, r := range signalRows() {
		cells := []string{r.title}
		for _, server := range []string{"turnpike", "PeerJS"} {
			cell := ""
			if value, ok := b.figures.median(r.figure, server); ok {
				cell = fmt.Sprintf(r.format, value)
			}
			cells = append(cells, cell)
		}
		fmt.Fprintf(&out, "| %s |\n", strings.Join(append(cells, b.figures.compare(r.ratio, r.figure, "turnpike"), r.goal), " | "))
	}
	for _, server := range []string{"turnpike", "PeerJS"} {
		if n := len(b.figures[figure{"loader's limit", server}]); n > 0 {
			fmt.Fprintf(&out, "\nWith %s, the load generator set the highest rate in %d of the searches.\n", server, n)
		}
	}
	return out.String()
}

func (b *signalBench) conditions(others string) string {
	return fmt.Sprintf("%s; PeerJS %s on Node.js %s; %d pairs, server on one core, load generator on another.\n"+
		"Memory of %d idle sessions, %d under TLS, each in a room; messages of 1 KiB between %d sessions; few members are %d, many %d.%s",
		machine(), version("node", "-p", "require('../../node_modules/peer/package.json').version"), version("node", "--version"), b.pairs, b.idle, b.secure, b.sessions, b.few, b.members, others)
}

// mostMembers is 20,000, or as many as this process may have sockets.
func mostMembers(t *testing.T) int {
	t.Helper()
	const members, others = 20_000, 500 // descriptors
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return int(min(members, limit.Max-others)) / 2 * 2 // two and two share a room
}

// TestSignalTable is `make bench-signal`.
func TestSignalTable(t *testing.T) {
	n := pairs(t)
	if n == 0 {
		t.Skip("bench: takes twenty minutes; make bench-signal runs it")
	}
	needPeerJS(t)
	b := &signalBench{
		signalSettings: signalSettings{
			pairs: n, sessions: 1000, idle: 10_000, secure: 5000, few: 1000, members: mostMembers(t), settle: 10 * time.Second, rate: 2000, calm: 500, start: 40_000,
			run: 5 * time.Second, trial: 2 * time.Second,
		},
		servers: []signalServer{ourSignaling(), peerJS()}, pair: newKeyPair(t), figures: figures{},
	}
	busy := otherLoad()
	build(t)
	leaveServerCore(t)
	b.measureAll(t)
	fmt.Printf("\n%s\n\n%s", b.conditions(busy), b.table())
}

// TestSignalQuick holds that `make bench-signal` works: each server delivers messages, and the table has its figures. Their
// values mean nothing on a machine that runs other tests too.
func TestSignalQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts each server several times; -short is set")
	}
	needPeerJS(t)
	b := &signalBench{
		signalSettings: signalSettings{
			pairs: 1, sessions: 40, idle: 20, secure: 10, few: 10, members: 20, rate: 100, calm: 100, start: 100, run: 200 * time.Millisecond, trial: 50 * time.Millisecond,
		},
		servers: []signalServer{ourSignaling(), peerJS()}, pair: newKeyPair(t), figures: figures{},
	}
	build(t)
	b.measureAll(t)
	for _, s := range b.servers {
		if n, ok := b.figures.median("received", s.name); !ok || n == 0 {
			t.Errorf("%s: nothing was delivered", s.name)
		}
	}
	table := b.table()
	for _, r := range signalRows() {
		_, ours := b.figures.median(r.figure, "turnpike")
		_, theirs := b.figures.median(r.figure, "PeerJS")
		if !ours || theirs == r.alone || !strings.Contains(table, "| "+r.title+" |") {
			t.Errorf("the table has no figures of %q", r.title)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}
