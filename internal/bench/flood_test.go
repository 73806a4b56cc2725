//go:build linux

package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/turnload"
	"example.org/turnpike/turnserver/udpio"
)

// floodCalls is the load of calls beside a flood: 50 calls of 20,000 packets a second in all, both ways.
const (
	floodCalls = 50
	floodMedia = 20_000
)

// flood is a kind of forged datagrams.
type flood struct {
	name    string
	payload []byte
}

// floods returns all kinds. The transaction ID of those that have one is changed for each datagram.
func floods(realm string) []flood {
	request := func(method stun.Method, setters ...stun.Setter) []byte {
		return stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...)...).Raw
	}
	udp := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	falsely := []stun.Setter{
		stun.NewUsername("1893456000:anybody"), stun.NewRealm(realm), stun.NewNonce("obMatJos2gAAAfalsefalsef"), stun.NewShortTermIntegrity("false"),
	}
	junk := make([]byte, 160)
	for i := range junk {
		junk[i] = byte(0x80 + i)
	}
	channelData := append([]byte{0x40, 0x01, 0, 156}, junk[:156]...)
	return []flood{
		{"Binding", request(stun.MethodBinding)},
		{"Allocate", request(stun.MethodAllocate, udp)},
		{"Allocate with a false credential", request(stun.MethodAllocate, append([]stun.Setter{udp}, falsely...)...)},
		{"Refresh with a false credential", request(stun.MethodRefresh, falsely...)},
		{"ChannelData", channelData},
		{"junk", junk},
	}
}

// flooder sends forged datagrams to the server from the left host. Each has another sender, out of four million addresses
// that the middle host routes to the left one. No program there wants the answers.
type flooder struct {
	fd     int
	server netip.AddrPort
	sent   atomic.Uint64
}

// forgedSources are routed to the left host.
const forgedSources = "11.64.0.0/10"

func (l lab) newFlooder(t *testing.T) *flooder {
	t.Helper()
	f := &flooder{server: l.server()}
	err := l.Left.Do(func() (err error) {
		if f.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		return unix.Connect(f.fd, udpio.Sockaddr(netip.AddrPortFrom(f.server.Addr(), 0)))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(f.fd) })
	return f
}

// floodBatch is how many datagrams leave with a system call.
const floodBatch = 32

// run sends a kind at a rate until stop is closed. It does not make up for what it could not send in time.
func (f *flooder) run(kind flood, rate float64, stop <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	random := rand.New(rand.NewPCG(1, 2))
	burst := udpio.NewBurst(floodBatch, len(kind.payload))
	headers := make([][]byte, floodBatch)
	for i := range headers {
		headers[i] = f.header(len(kind.payload))
		copy(burst.Payload(i), kind.payload)
		burst.Set(i, headers[i], len(kind.payload))
	}
	interval := time.Duration(floodBatch / rate * float64(time.Second))
	for next := time.Now(); ; next = next.Add(interval) {
		select {
		case <-stop:
			return
		default:
		}
		if now := time.Now(); next.After(now) {
			udpio.Nap(next.Sub(now))
		} else if now.Sub(next) > 20*time.Millisecond {
			next = now
		}
		for i, h := range headers {
			binary.BigEndian.PutUint32(h[12:], 11<<24|64<<16|random.Uint32()&(1<<22-1))
			binary.BigEndian.PutUint16(h[20:], uint16(1024+random.UintN(60_000)))
			if b := burst.Payload(i); stun.IsMessage(b) {
				binary.BigEndian.PutUint64(b[8:], random.Uint64())
			}
		}
		f.sent.Add(uint64(burst.Send(f.fd, floodBatch)))
	}
}

// header is an IPv4 and a UDP header, without checksums: the kernel fills in the one, and the other may be missing.
func (f *flooder) header(payload int) []byte {
	h := make([]byte, 28)
	h[0], h[8], h[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+payload))
	to := f.server.Addr().As4()
	copy(h[16:], to[:])
	binary.BigEndian.PutUint16(h[22:], f.server.Port())
	binary.BigEndian.PutUint16(h[24:], uint16(8+payload))
	return h
}

// flooding is one run of everything.
type flooding struct {
	lab
	rates []float64
	run   time.Duration
	lost  map[floodRun]floodResult
}

// floodRun is one measurement.
type floodRun struct {
	kind, server string
	rate         float64
}

// floodResult is what became of the calls.
type floodResult struct {
	lost     float64       // percent
	loader   float64       // percent, lost or not sent by the load generator itself
	forged   float64       // datagrams a second
	answered time.Duration // the longest wait of a client for a permission
}

// measure runs all kinds and rates beside the calls of one server.
func (f *flooding) measure(t *testing.T, m contender) {
	t.Helper()
	defer f.start(t, m).end()
	b := &bench{lab: f.lab, settings: settings{divide: 1}}
	cfg := b.config(t, scenario{calls: floodCalls, profile: "video", direction: turnload.Both})
	g, err := turnload.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	client := f.newClient(t, cfg)
	kinds := append([]flood{{name: "nothing"}}, floods("bench")...)
	for _, rate := range f.rates {
		for _, kind := range kinds {
			if kind.payload == nil && rate != f.rates[0] {
				continue
			}
			t.Run(fmt.Sprintf("%s at %.0f", kind.name, rate), func(t *testing.T) { f.measureOne(t, g, client, m, kind, rate) })
		}
	}
}

// newClient makes a client with an allocation, to ask for permissions while others flood. It sends again what is not
// answered.
func (f *flooding) newClient(t *testing.T, cfg turnload.Config) *turn.Client {
	t.Helper()
	conn, err := f.Left.ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	login := cfg.Credential(floodCalls)
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: f.server().String(), Conn: conn, Username: login.Username, Password: login.Password, RTO: 500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); _ = conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	return client
}

// waits is how long a client waits for its answers.
type waits struct {
	mu      sync.Mutex
	longest time.Duration
	since   time.Time // when it sent what is not answered yet; zero: nothing
}

// ask asks for permissions until stop is closed. A request that fails counts with the time until then.
func (w *waits) ask(client *turn.Client, peer netip.Addr, stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		w.note(time.Now())
		_ = client.CreatePermission(&net.UDPAddr{IP: peer.AsSlice(), Port: 9})
		w.note(time.Time{})
	}
}

// note begins or ends a wait, and returns the longest so far.
func (w *waits) note(since time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.IsZero() {
		w.longest = max(w.longest, time.Since(w.since))
	}
	w.since = since
	return w.longest
}

func (f *flooding) measureOne(t *testing.T, g *turnload.Generator, client *turn.Client, m contender, kind flood, rate float64) {
	t.Helper()
	forger, stop := f.newFlooder(t), make(chan struct{})
	answers := new(waits)
	go answers.ask(client, f.Right.Addr(), stop) // ends at the latest when the client is closed
	var running sync.WaitGroup
	if kind.payload != nil {
		running.Go(func() { forger.run(kind, rate, stop) })
	}
	begin := time.Now()
	r, err := g.Run(t.Context(), turnload.Load{Rate: floodMedia, Duration: f.run, Warmup: f.run / 6})
	close(stop)
	running.Wait()
	longest := answers.note(time.Time{})
	if err != nil {
		t.Fatalf("%s, %s: %v", m.name, kind.name, err)
	}
	result := floodResult{
		lost:   100 * r.Loss(),
		loader: 100 * float64(r.LoaderDropped+r.LoaderSkipped) / (r.Rate * r.Duration.Seconds()),
		forged: float64(forger.sent.Load()) / time.Since(begin).Seconds(), answered: longest.Round(time.Millisecond),
	}
	t.Logf("%-10s beside %.0f/s %s: %.2f %% lost, %.2f %% by the load generator, p99 %v; permissions within %v",
		m.name, result.forged, kind.name, result.lost, result.loader, r.Latency.Percentile(99), result.answered)
	f.lost[floodRun{kind.name, m.name, rate}] = result
}

// table writes what each server lost.
func (f *flooding) table() string {
	var out strings.Builder
	fmt.Fprintln(&out, "| packets of calls lost, and the longest wait of a client for a permission, beside | forged a second | kernel | user space | coturn |")
	fmt.Fprintln(&out, "|---|---|---|---|---|")
	for _, rate := range f.rates {
		for _, kind := range append([]flood{{name: "nothing"}}, floods("")...) {
			if _, ok := f.lost[floodRun{kind.name, userSpace, rate}]; !ok {
				continue
			}
			fmt.Fprintf(&out, "| %s | %s |", kind.name, f.forged(kind.name, rate))
			for _, server := range []string{kernel, userSpace, theirs} {
				cell := ""
				if r, ok := f.lost[floodRun{kind.name, server, rate}]; ok {
					cell = fmt.Sprintf("%.2f %%; %v", r.lost, r.answered)
				}
				fmt.Fprintf(&out, " %s |", cell)
			}
			fmt.Fprintln(&out)
		}
	}
	return out.String()
}

// forged tells the least and the greatest rate of a flood beside the servers.
func (f *flooding) forged(kind string, rate float64) string {
	least, greatest := rate, 0.0
	for _, server := range []string{kernel, userSpace, theirs} {
		if r, ok := f.lost[floodRun{kind, server, rate}]; ok {
			least, greatest = min(least, r.forged), max(greatest, r.forged)
		}
	}
	if greatest == 0 {
		return ""
	}
	from, to := fmt.Sprintf("%.0f,000", least/1000), fmt.Sprintf("%.0f,000", greatest/1000)
	if from == to {
		return to
	}
	return from + " to " + to
}

func newFlooding(t *testing.T, run time.Duration, rates ...float64) *flooding {
	t.Helper()
	f := &flooding{lab: newLab(t), rates: rates, run: run, lost: map[floodRun]floodResult{}}
	route := f.Middle.Command(t.Context(), "ip", "route", "add", forgedSources, "via", f.Left.Addr().String())
	if out, err := route.CombinedOutput(); err != nil {
		t.Fatal(errors.Join(err, errors.New(string(out))))
	}
	return f
}

// TestFlood is `make flood`.
func TestFlood(t *testing.T) {
	if pairs(t) == 0 {
		t.Skip("bench: takes a few minutes; make flood runs it")
	}
	need(t, "turnserver", "taskset", "ip")
	load := otherLoad()
	f := newFlooding(t, 2500*time.Millisecond, 100_000, 200_000)
	build(t)
	leaveServerCore(t)
	for _, m := range servers() {
		t.Run(m.name, func(t *testing.T) { f.measure(t, m) })
	}
	fmt.Printf("\n%s; coturn %s; %d calls of %d packets a second in all, %v each, server on one core.%s\n\n%s",
		machine(), version("turnserver", "--version"), floodCalls, floodMedia, f.run, load, f.table())
}

// TestFloodQuick holds that `make flood` works: every flood reaches every server beside calls, and the table has all rows.
func TestFloodQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts each server; -short is set")
	}
	need(t, "turnserver", "taskset", "ip")
	f := newFlooding(t, 200*time.Millisecond, 1000)
	build(t)
	for _, m := range servers() {
		f.measure(t, m)
		for _, kind := range floods("") {
			r := f.lost[floodRun{kind.name, m.name, 1000}]
			if r.forged == 0 {
				t.Errorf("%s, %s: no forged datagram left", m.name, kind.name)
			}
		}
	}
	if table := f.table(); strings.Count(table, "\n") != 3+len(floods("")) {
		t.Errorf("the table lacks rows:\n%s", table)
	}
}
