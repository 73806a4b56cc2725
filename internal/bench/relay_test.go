//go:build linux

package bench

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/turnload"
)

const routing = "routing" // takes the place of a server's name

// scenario is a load with which processor time, latency and loss are measured.
type scenario struct {
	name        string
	calls       int
	profile     string
	direction   turnload.Direction
	indications bool
	relayed     bool
	transport   turnload.Transport // between client and server; zero: UDP
	binding     bool               // Binding requests instead of calls
}

// scenarios returns all scenarios. They have the rates of their profiles: 60,000 packets a second for 250 video calls.
func scenarios() []scenario {
	return []scenario{
		{name: "video up", calls: 250, profile: "video", direction: turnload.Up},
		{name: "video down", calls: 250, profile: "video", direction: turnload.Down},
		{name: "audio up", calls: 500, profile: "audio", direction: turnload.Up},
		{name: "audio both ways", calls: 500, profile: "audio", direction: turnload.Both},
		{name: "indications up", calls: 250, profile: "video", direction: turnload.Up, indications: true},
		{name: "indications down", calls: 250, profile: "video", direction: turnload.Down, indications: true},
		{name: "relay to relay", calls: 250, profile: "video", direction: turnload.Up, relayed: true},
	}
}

// settings say how much is measured.
type settings struct {
	pairs  int           // rounds
	run    time.Duration // of one measurement
	warmup time.Duration
	divide int           // divisor of the scenarios' calls
	hold   int           // allocations when memory is measured
	settle time.Duration // before memory is read
	trial  time.Duration // of one rate in the search for the highest; 0: no search
}

// bench is one run of everything.
type bench struct {
	lab
	settings
	servers   []contender
	figures   figures
	otherLoad string // warning about a busy machine, or empty
}

// figures holds the measured values, one for each round.
type figures map[figure][]float64

// figure is one measured quantity of one server.
type figure struct{ name, server string }

// median returns the median of a figure; false if it has no value.
func (f figures) median(name, server string) (float64, bool) {
	values := slices.Sorted(slices.Values(f[figure{name, server}]))
	n := len(values)
	if n == 0 {
		return 0, false
	}
	return (values[n/2] + values[(n-1)/2]) / 2, true
}

func (b *bench) record(name, server string, value float64) {
	b.figures[figure{name, server}] = append(b.figures[figure{name, server}], value)
}

// measureAll measures everything, in a subtest for each load.
func (b *bench) measureAll(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			b.alternate(t, func(m contender) { b.measure(t, s, m) }, func() { b.measureRouting(t, s) })
		})
		if t.Failed() {
			return
		}
	}
	t.Run("clients", b.measureClients)
	t.Run("memory", func(t *testing.T) {
		b.alternate(t, func(m contender) { b.measureMemory(t, m) }, func() {})
	})
	if b.trial > 0 {
		t.Run("highest rate", func(t *testing.T) {
			b.alternate(t, func(m contender) { b.measureHighestRate(t, m) }, func() {})
		})
	}
}

// alternate runs all rounds. Each calls first, and then the measurement of each server, in the opposite order of the
// round before.
func (b *bench) alternate(t *testing.T, measure func(contender), first func()) {
	for pair := range b.pairs {
		first()
		order := slices.Clone(b.servers)
		if pair%2 == 1 {
			slices.Reverse(order)
		}
		for _, m := range order {
			measure(m)
			if t.Failed() {
				return
			}
		}
	}
}

// config returns the load of a scenario.
func (b *bench) config(t *testing.T, s scenario) turnload.Config {
	t.Helper()
	var profile turnload.Profile // that of Binding requests is the load generator's
	if !s.binding {
		var err error
		if profile, err = turnload.ProfileByName(s.profile); err != nil {
			t.Fatal(err)
		}
	}
	return turnload.Config{
		Server: b.server(), Credential: turnload.RESTLogin(auth.NewSecret([]byte(secret)), time.Now()),
		Calls: max(2, s.calls/b.divide), Profile: profile, Direction: s.direction,
		Indications: s.indications, Relayed: s.relayed,
		Peer: b.Right.Addr(), InClient: b.Left.Do, InPeer: b.Right.Do,
		Workers: min(4, runtime.NumCPU()-1),
	}
}

// measureRouting sends a scenario's packets without a server. A packet from relay to relay takes as many steps as these.
func (b *bench) measureRouting(t *testing.T, s scenario) {
	t.Helper()
	cfg := b.config(t, s)
	cfg.Direct, cfg.Relayed = true, false
	b.recordRun(t, s, routing, b.runLoad(t, cfg))
}

func (b *bench) measure(t *testing.T, s scenario, m contender) {
	t.Helper()
	defer b.start(t, m).end()
	b.recordRun(t, s, m.name, b.runLoad(t, b.config(t, s)))
}

func (b *bench) runLoad(t *testing.T, cfg turnload.Config) *turnload.Result {
	t.Helper()
	g, err := turnload.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	r, err := g.Run(t.Context(), turnload.Load{Duration: b.run, Warmup: b.warmup})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recordRun records the figures of a run. It subtracts the processor time of routing in the same round.
func (b *bench) recordRun(t *testing.T, s scenario, server string, r *turnload.Result) {
	t.Helper()
	cpu := float64(r.BusyPerPacket()) / 1e3
	if server != routing {
		way := b.figures[figure{"cpu " + s.name, routing}]
		cpu -= way[len(way)-1]
	}
	t.Logf("%-8s  %5.2f µs a packet, %.0f packets a second delivered, %.3f %% lost, p50 %v, p99 %v",
		server, cpu, r.DeliveredRate(), 100*r.Loss(), r.Latency.Percentile(50), r.Latency.Percentile(99))
	b.record("cpu "+s.name, server, cpu)
	b.record("loss "+s.name, server, 100*r.Loss())
	b.record("loader "+s.name, server, 100*float64(r.LoaderDropped+r.LoaderSkipped)/(r.Rate*r.Duration.Seconds()))
	b.record("received "+s.name, server, float64(r.Received))
	for name, percentile := range map[string]float64{"p50 ": 50, "p99 ": 99, "p99.9 ": 99.9} {
		b.record(name+s.name, server, float64(r.Latency.Percentile(percentile))/1e3)
	}
}

// awaitRest waits until the memory of a server that has just begun has not shrunk for as long as settle. Ours needs much to bundle its pages,
// and gives it back when it is at rest.
func awaitRest(t *testing.T, pid int, settle time.Duration) {
	t.Helper()
	least, since := int64(math.MaxInt64), time.Now()
	for deadline := time.Now().Add(time.Minute + settle); time.Since(since) < settle; time.Sleep(settle / 50) {
		now, err := turnload.ResidentBytes(pid)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the server does not come to rest: %d bytes, %v", now, err)
		}
		if now < least-64<<10 {
			least, since = now, time.Now()
		}
	}
}

// measureMemory measures memory with many allocations, each with a channel.
func (b *bench) measureMemory(t *testing.T, m contender) {
	t.Helper()
	p := b.start(t, m)
	defer p.end()
	awaitRest(t, p.pid, 2*b.settle)
	cfg := b.config(t, scenarios()[0])
	cfg.Hold, cfg.Calls, cfg.PID, cfg.Settle = true, b.hold, p.pid, b.settle
	g, err := turnload.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	s := g.Setup()
	t.Logf("%-8s  %d allocations in %v, memory from %d to %d bytes", m.name, s.Allocations, s.Took, s.RSSBefore, s.RSSAfter)
	b.record("allocations a second", m.name, float64(s.Allocations)/s.Took.Seconds())
	b.record("memory", m.name, float64(s.RSSAfter-s.RSSBefore)/float64(s.Allocations)/1024)
	b.record("kernel memory", m.name, float64(s.SlabAfter-s.SlabBefore)/float64(s.Allocations)/1024)
}

// measureHighestRate searches the highest rate of video up.
func (b *bench) measureHighestRate(t *testing.T, m contender) {
	t.Helper()
	defer b.start(t, m).end()
	g, err := turnload.Open(t.Context(), b.config(t, scenarios()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	found, err := g.Max(t.Context(), turnload.Load{Duration: b.trial, Warmup: b.trial / 10}, func(r *turnload.Result) {
		t.Logf("%-8s  %.0f packets a second: %.3f %% lost, %.1f %% not sent", m.name, r.Rate, 100*r.Loss(), 100*(1-float64(r.Sent)/r.Rate/r.Duration.Seconds()))
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.Result == nil {
		t.Fatalf("%s: every rate loses too much", m.name)
	}
	t.Logf("%-8s  %.0f packets a second, limited by the load generator: %v", m.name, found.Result.Rate, found.LoaderLimited)
	b.record("highest rate", m.name, found.Result.Rate)
	if found.LoaderLimited {
		b.record("loader's limit", m.name, found.Result.Rate)
	}
}
