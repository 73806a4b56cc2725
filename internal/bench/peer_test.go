//go:build linux

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// peerSettings say how much is measured between peers.
type peerSettings struct {
	pairs int           // rounds
	run   time.Duration // of one transfer
	loss  time.Duration // of one with losses, which needs longer to be like the next
	moves time.Duration // of one during which the sender's network changes, at most
	rate  int64         // of the line
	trip  time.Duration // round trip of the long line
	file  int64         // bytes of a file that is sent where nothing is in between
	croc  bool          // files go by croc, too, which must be built for that
}

// peerBench is one run of everything.
type peerBench struct {
	peerSettings
	figures   figures
	otherLoad string
}

// line is a path across a hop, with the name of its figure.
type line struct {
	name string
	trip time.Duration
	loss float64
}

func (b *peerBench) lines() []line {
	return []line{{"line", 0, 0}, {"long line", b.trip, 0}, {"long line, 0.1 % lost", b.trip, 0.001}, {"long line, 1 % lost", b.trip, 0.01}}
}

// peerRow is a line of the table.
type peerRow struct {
	title, figure, format string
	with                  comparison
	of                    []string // the contenders that have the figure; nil: all whose streams are compared
}

func (b *peerBench) rows() []peerRow {
	mbit, ms := b.rate/1_000_000, b.trip.Milliseconds()
	toTCP := func(goal string) comparison { return ratioTo(overTCP, "%.2f of TCP's", goal) }
	ours, beside := []string{overQUIC}, []string{overQUIC, overCroc}
	return []peerRow{
		{fmt.Sprintf("A line of %d Mbit/s", mbit), "line", "%.1f MB/s", toTCP("≥ 0.95"), nil},
		{fmt.Sprintf("The same, %d ms there and back", ms), "long line", "%.1f MB/s", toTCP("≥ 0.95"), nil},
		{"The same, 0.1 % lost", "long line, 0.1 % lost", "%.2f MB/s", toTCP("≥ 0.8"), nil},
		{"The same, 1 % lost", "long line, 1 % lost", "%.2f MB/s", toTCP("≥ 0.8"), nil},
		{"Direct, without a line", "direct", "%.1f MB/s", toTCP("≥ 0.5"), nil},
		{"Likewise", "direct", "%.1f MB/s", ratioTo(overDataChannel, "%.1f of a data channel's", "≥ 3.5"), nil},
		{"Relayed", "relayed", "%.1f MB/s", ratioToOwn("direct", "≥ 0.6", "direct"), ours},
		{"Processor time of both ends, direct", "processor", "%.1f s a GB", goal("≤ 15 s"), nil},
		{"Most memory of an end", "memory", "%.0f MB", goal("≤ 40 MB"), nil},
		{"First byte after candidates", "first byte", "%.1f RTT", goal("≤ 4 RTT"), nil},
		{"Echo beside eight bulk streams, direct, p99", "echo", "%.1f ms", goal("≤ 10 ms"), nil},
		{"The sender's network changes: silence", "silence", "%.2f s", goal("≤ 3 s"), ours},
		{"Likewise: until it is direct again", "direct again", "%.2f s", goal("≤ 15 s"), ours},
		{"A file, direct", "send, direct", "%.1f MB/s", ratioTo(overCroc, "%.1f of croc's", "≥ 3"), beside},
		{"Likewise, croc with --no-compress", "send, uncompressed", "%.1f MB/s", ratioTo(overCroc, "%.1f of croc's", ""), beside},
		{"A file, relayed", "send, relayed", "%.1f MB/s", ratioTo(overCroc, "%.1f of croc's", "≥ 1.5"), beside},
		{"A file across the long line, 0.1 % lost", "send, 0.1 % lost", "%.2f MB/s", ratioToFigure(overTCP, "long line, 0.1 % lost", "%.2f of TCP's", "≥ 2"), ours},
		{"The same, 1 % lost", "send, 1 % lost", "%.2f MB/s", ratioToFigure(overTCP, "long line, 1 % lost", "%.2f of TCP's", "≥ 2"), ours},
		{fmt.Sprintf("From the code to the first byte, at %d ms", ms), "code", "%.2f s", goal("≤ 1.5 s"), ours},
	}
}

// goal compares with nothing, and states what the figure must be.
func goal(text string) comparison {
	c := none()
	c.goal = text
	return c
}

// overQUIC is the client library.
const overQUIC = "turnpike"

// contenders are the transfers in the order of the table. The first is compared with the others.
func contenders() []string { return []string{overQUIC, overTCP, overDataChannel} }

// columns are those of the table.
func columns() []string { return append(contenders(), overCroc) }

func (b *peerBench) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "| median | %s | ratio | goal |\n", strings.Join(columns(), " | "))
	fmt.Fprintf(&out, "|---|%s---|---|\n", strings.Repeat("---|", len(columns())))
	for _, r := range b.rows() {
		cells := []string{r.title}
		for _, c := range columns() {
			cell := ""
			if value, ok := b.figures.median(r.figure, c); ok {
				cell = fmt.Sprintf(r.format, value)
			}
			cells = append(cells, cell)
		}
		cells = append(cells, b.figures.compare(r.with, r.figure, overQUIC), r.with.goal)
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String()
}

func (b *peerBench) record(name, contender string, value float64) {
	b.figures[figure{name, contender}] = append(b.figures[figure{name, contender}], value)
}

// measureAll measures everything, in a subtest for each line of the table.
func (b *peerBench) measureAll(t *testing.T) {
	for _, l := range b.lines() {
		b.alternate(t, l.name, contenders(), func(t *testing.T, name string, pair int) { b.measureLine(t, name, l, pair) })
	}
	b.alternate(t, "direct", contenders(), b.measureDirect)
	b.alternate(t, "relayed", []string{overQUIC}, b.measureRelayed)
	b.alternate(t, "first byte", contenders(), b.measureFirstByte)
	b.alternate(t, "echo", contenders(), b.measureEcho)
	b.alternate(t, "change", []string{overQUIC}, b.measureChange)
	senders, croc := []string{overQUIC}, ""
	if b.croc {
		senders, croc = append(senders, overCroc), buildCroc(t)
	}
	b.alternate(t, "send", senders, func(t *testing.T, name string, _ int) { b.measureSend(t, name, croc) })
	b.alternate(t, "send, 0.1 % lost", []string{overQUIC}, func(t *testing.T, _ string, pair int) {
		b.measureSendLine(t, "send, 0.1 % lost", 0.001, b.file/8, pair)
	})
	b.alternate(t, "send, 1 % lost", []string{overQUIC}, func(t *testing.T, _ string, pair int) {
		b.measureSendLine(t, "send, 1 % lost", 0.01, b.file/40, pair)
	})
	b.alternate(t, "code", []string{overQUIC}, func(t *testing.T, _ string, _ int) { b.measureCode(t) })
}

// alternate runs all rounds of a measurement, every second one in the opposite order.
func (b *peerBench) alternate(t *testing.T, title string, names []string, measure func(t *testing.T, name string, pair int)) {
	t.Run(title, func(t *testing.T) {
		for pair := range b.pairs {
			order := slices.Clone(names)
			if pair%2 == 1 {
				slices.Reverse(order)
			}
			for _, name := range order {
				t.Run(name, func(t *testing.T) { measure(t, name, pair) })
				if t.Failed() {
					return
				}
			}
		}
	})
}

// measureLine measures the rate across a hop that has a rate, in most cases a delay, and perhaps losses.
func (b *peerBench) measureLine(t *testing.T, name string, l line, pair int) {
	n := newPeerLab(t, netlab.Public)
	way := netlab.Way{
		Delay: l.trip / 2, Loss: l.loss, Rate: b.rate,
		Queue: int(float64(b.rate) / 8 * b.trip.Seconds()), // what a long line has in flight
		Seed:  uint64(2 * pair),
	}
	back := way
	back.Seed++
	n.lab.AddHop(n.sender, way, back)
	j := n.job(t, name)
	if j.Bulk, j.For = 1, b.run; l.loss > 0 {
		j.For = b.loss
	}
	o := measureTransfer(t, n.sender, n.receiver, j, nil)
	b.recordRate(t, l.name, name, o)
}

// measureDirect measures what two hosts carry that nothing separates. Like most networks, theirs takes single segments.
func (b *peerBench) measureDirect(t *testing.T, name string, _ int) {
	n := newPeerLab(t, netlab.Public)
	n.singleSegments(t)
	j := n.job(t, name)
	j.Bulk, j.For = 1, b.run
	o := measureTransfer(t, n.sender, n.receiver, j, nil)
	b.recordRate(t, "direct", name, o)
	perGB := (o.sender.Processor + o.receiver.Processor).Seconds() / (float64(o.receiver.Bytes) / 1e9)
	memory := float64(max(o.sender.Memory, o.receiver.Memory)) / 1e6
	t.Logf("%s: %.1f s of processor time a GB, %.0f MB of memory", name, perGB, memory)
	b.record("processor", name, perGB)
	b.record("memory", name, memory)
}

func (b *peerBench) measureRelayed(t *testing.T, name string, _ int) {
	n := newPeerLab(t, netlab.Public)
	n.singleSegments(t)
	j := n.job(t, name)
	j.Bulk, j.For, j.RelayOnly = 1, b.run, true
	b.recordRate(t, "relayed", name, measureTransfer(t, n.sender, n.receiver, j, nil))
}

// measureFirstByte measures from the first packet between the two hosts, which one sends as soon as it has a candidate of
// the other.
func (b *peerBench) measureFirstByte(t *testing.T, name string, _ int) {
	n := newPeerLab(t, netlab.Public)
	way := netlab.Way{Delay: b.trip / 2}
	n.lab.AddHop(n.sender, way, way)
	j := n.job(t, name)
	j.Bulk, j.For = 1, 0
	first := firstPacket(t, n.sender, n.receiver)
	o := measureTransfer(t, n.sender, n.receiver, j, nil)
	trips := (o.receiver.First - first()).Seconds() / b.trip.Seconds()
	t.Logf("%s: %.2f RTT from the first packet to the first byte", name, trips)
	b.record("first byte", name, trips)
}

func (b *peerBench) measureEcho(t *testing.T, name string, _ int) {
	n := newPeerLab(t, netlab.Public)
	n.singleSegments(t)
	j := n.job(t, name)
	j.Bulk, j.Echo, j.For = 8, 5*time.Millisecond, b.run
	o := measureTransfer(t, n.sender, n.receiver, j, nil)
	trips := slices.Sorted(slices.Values(o.sender.Echoes))
	p50, p99 := percentile(trips, 0.5), percentile(trips, 0.99)
	t.Logf("%s: %d echoes beside %.1f MB/s, p50 %v, p99 %v", name, len(trips), o.rate(), p50, p99)
	b.record("echo", name, float64(p99)/1e6)
}

// measureChange moves the sender to another NAT in mid-transfer.
func (b *peerBench) measureChange(t *testing.T, name string, _ int) {
	n := newPeerLab(t, netlab.PortRestricted)
	j := n.job(t, name)
	j.Bulk, j.For = 1, b.moves
	var moving, moved time.Duration
	o := measureTransfer(t, n.sender, n.receiver, j, &interruption{
		at: b.run,
		happen: func() {
			moving = monotonic()
			n.lab.Move(n.sender, netlab.PortRestricted)
			moved = monotonic()
		},
		// Until the new NAT has its rules, a direct path is the old one.
		over: func(p pathNote) bool { return p.Direct && p.At > moved },
	})
	silence := o.receiver.silence(moving)
	t.Logf("%s: silent for %v from the change on, which took %v from %v; paths: %v", name, silence, moved-moving, moving, o.paths)
	b.record("silence", name, silence.Seconds())
	direct, ok := directSince(o.paths, moved)
	if !ok {
		t.Errorf("%s: %v after the change it is not direct again: %v", name, b.moves, o.paths)
	}
	b.record("direct again", name, (direct - moving).Seconds())
}

func (b *peerBench) recordRate(t *testing.T, figure, name string, o outcome) {
	t.Helper()
	t.Logf("%s: %.2f MB/s", name, o.rate())
	b.record(figure, name, o.rate())
}

// rate is in MB/s.
func (o outcome) rate() float64 {
	p := o.receiver.Progress
	if len(p) == 0 {
		return math.NaN()
	}
	last := p[len(p)-1]
	return float64(last.Bytes) / 1e6 / (last.At - o.receiver.First).Seconds()
}

// silence is the longest time without progress that had not ended at a moment.
func (r *report) silence(since time.Duration) (longest time.Duration) {
	before := r.First
	for _, p := range append(slices.Clone(r.Progress), progress{At: r.End}) {
		if p.At > since {
			longest = max(longest, p.At-before)
		}
		before = p.At
	}
	return longest
}

// directSince tells when the first direct path came after a moment.
func directSince(paths []pathNote, since time.Duration) (time.Duration, bool) {
	for _, p := range paths {
		if p.At > since && p.Direct {
			return p.At, true
		}
	}
	return 0, false
}

// percentile returns the smallest value that a share of the sorted values does not exceed.
func percentile(sorted []time.Duration, share float64) time.Duration {
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}
