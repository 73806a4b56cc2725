//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is a line of the table: a figure of every server, and how ours compares.
type row struct {
	title     string
	figure    string
	format    string
	kernel    comparison
	userSpace comparison
}

// comparison compares one of our figures with others of the same round, which were measured in the same minutes.
type comparison struct {
	with   func(f figures, name, server string, pair int) (float64, bool)
	format string
	goal   string
}

// ratioToCoturn divides a figure by coturn's.
func ratioToCoturn(goal string) comparison { return ratioTo(theirs, "%.2f of coturn's", goal) }

func ratioTo(whose, format, goal string) comparison {
	return comparison{format: format, goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok1 := f.at(name, server, pair)
		others, ok2 := f.at(name, whose, pair)
		return ours / others, ok1 && ok2
	}}
}

// ratioToFigure divides a figure by another one of somebody else.
func ratioToFigure(whose, other, format, goal string) comparison {
	return comparison{format: format, goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok1 := f.at(name, server, pair)
		others, ok2 := f.at(other, whose, pair)
		return ours / others, ok1 && ok2
	}}
}

// ratioToOwn divides a figure by the sum of other figures of the same server.
func ratioToOwn(what, goal string, others ...string) comparison {
	return comparison{format: "%.2f of " + what, goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok := f.at(name, server, pair)
		var sum float64
		for _, other := range others {
			value, there := f.at(other, server, pair)
			sum += value
			ok = ok && there
		}
		return ours / sum, ok
	}}
}

// differenceToOwn subtracts another figure of the same server.
func differenceToOwn(what, goal, other string) comparison {
	return comparison{format: "%+.0f µs to that " + what, goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok1 := f.at(name, server, pair)
		before, ok2 := f.at(other, server, pair)
		return ours - before, ok1 && ok2
	}}
}

// none compares with nothing.
func none() comparison {
	return comparison{with: func(figures, string, string, int) (float64, bool) { return 0, false }}
}

// ratioToRouting divides the machine's whole time for a packet by its time for routing one.
func ratioToRouting(goal string) comparison {
	return comparison{format: "%.2f of routing's, with it", goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok1 := f.at(name, server, pair)
		way, ok2 := f.at(name, routing, pair)
		return (ours + way) / way, ok1 && ok2
	}}
}

// differenceToRouting subtracts the figure of routing.
func differenceToRouting(goal string) comparison {
	return comparison{format: "%+.0f µs to routing", goal: goal, with: func(f figures, name, server string, pair int) (float64, bool) {
		ours, ok1 := f.at(name, server, pair)
		way, ok2 := f.at(name, routing, pair)
		return ours - way, ok1 && ok2
	}}
}

func rows() []row {
	table := []row{
		{"CPU a packet, video up", "cpu video up", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToCoturn("≤ 0.75")},
		{"CPU a packet, video down", "cpu video down", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToCoturn("≤ 0.75")},
		{"CPU a packet, audio up", "cpu audio up", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToCoturn("≤ 0.85")},
		{"CPU a packet, audio both ways", "cpu audio both ways", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToCoturn("≤ 0.85")},
		{"CPU a packet, video up, indications", "cpu indications up", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToOwn("channels", "≤ 1.3", "cpu video up")},
		{"CPU a packet, video down, indications", "cpu indications down", "%.2f µs", ratioToCoturn("≤ 0.1"), ratioToOwn("channels", "≤ 1.3", "cpu video down")},
		{"CPU a packet, relay to relay", "cpu relay to relay", "%.2f µs", ratioToRouting("≤ 1.3"),
			ratioToOwn("up and down", "≤ 0.55", "cpu video up", "cpu video down")},
		{"Highest rate, video up", "highest rate", "%.0f/s", ratioToCoturn("≥ 3, or the loader's limit"), ratioToCoturn("≥ 1.1, or the loader's limit")},
	}
	for _, direction := range []string{"up", "down"} {
		table = append(table,
			row{"Latency p50, video " + direction, "p50 video " + direction, "%.0f µs", differenceToRouting("≤ +20 µs"), ratioToCoturn("≤ 0.4")},
			row{"Latency p99, video " + direction, "p99 video " + direction, "%.0f µs", ratioToCoturn("≤ 0.3"), ratioToCoturn("≤ 0.7")},
			row{"Latency p99.9, video " + direction, "p99.9 video " + direction, "%.0f µs", ratioToCoturn(""), ratioToCoturn("")},
		)
	}
	table = append(table, clientRows()...)
	return append(table,
		row{"Memory (RSS) an allocation", "memory", "%.1f KB", ratioToCoturn("≤ 2 KB"), ratioToCoturn("≤ 2 KB; portable path 6 KB")},
		row{"The kernel's memory beside it", "kernel memory", "%.1f KB", ratioToCoturn(""), ratioToCoturn("")},
		row{"Allocations a second", "allocations a second", "%.0f", ratioToCoturn("≥ 3"), ratioToCoturn("≥ 3")},
	)
}

// table writes the rows that have figures.
func (b *bench) table() string {
	var out strings.Builder
	fmt.Fprintln(&out, "| median | routing | kernel | user space | coturn | kernel | goal | user space | goal |")
	fmt.Fprintln(&out, "|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows() {
		if _, ok := b.figures.median(r.figure, userSpace); !ok {
			continue
		}
		cells := []string{r.title}
		for _, server := range []string{routing, kernel, userSpace, theirs} {
			cell := ""
			if value, ok := b.figures.median(r.figure, server); ok {
				cell = fmt.Sprintf(r.format, value)
			}
			cells = append(cells, cell)
		}
		cells = append(cells, b.figures.compare(r.kernel, r.figure, kernel), r.kernel.goal)
		cells = append(cells, b.figures.compare(r.userSpace, r.figure, userSpace), r.userSpace.goal)
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String() + b.notes()
}

// at returns the value of a figure in one round; false if it has none.
func (f figures) at(name, server string, pair int) (float64, bool) {
	values := f[figure{name, server}]
	if pair >= len(values) {
		return 0, false
	}
	return values[pair], true
}

// compare returns the median of a comparison over all rounds. It is empty if a round lacks a value.
func (f figures) compare(c comparison, name, server string) string {
	results := figures{}
	for pair := range f[figure{name, server}] {
		value, ok := c.with(f, name, server, pair)
		if !ok {
			return ""
		}
		results[figure{}] = append(results[figure{}], value)
	}
	value, ok := results.median("", "")
	if !ok {
		return ""
	}
	return fmt.Sprintf(c.format, value)
}

// noteworthy is the percentage of lost packets above which the other figures of a load are doubtful.
const noteworthy = 0.5

// notes lists the loads that lost packets, which a reader of the table must know.
func (b *bench) notes() string {
	var lines []string
	for f, values := range b.figures {
		worst := slices.Max(values)
		switch kind, name, _ := strings.Cut(f.name, " "); {
		case kind == "loss" && worst > noteworthy:
			lines = append(lines, fmt.Sprintf("%s lost up to %.1f %% of %s.", f.server, worst, name))
		case kind == "loader" && worst > noteworthy:
			lines = append(lines, fmt.Sprintf("The load generator itself dropped or left out up to %.1f %% of %s with %s.", worst, name, f.server))
		case f.name == "loader's limit":
			lines = append(lines, fmt.Sprintf("With %s, the load generator set the highest rate in %d of the searches.", f.server, len(values)))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// conditions describes machine, date and commit, and the measurement.
func (b *bench) conditions() string {
	return fmt.Sprintf("%s; coturn %s; %d rounds of %v, server on one core.\nCPU: the whole machine's busy time a packet, less that of routing (its column: of its own).%s",
		machine(), version("turnserver", "--version"), b.pairs, b.settings.run, b.otherLoad)
}

// machine describes machine, date and commit.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(info) {
			if name, value, _ := bytes.Cut(line, []byte(":")); string(bytes.TrimSpace(name)) == "model name" {
				model = string(bytes.TrimSpace(value))
				break
			}
		}
	}
	commit := "unknown"
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude", "*").Output(); err == nil {
		commit = string(bytes.TrimSpace(out))
	}
	return fmt.Sprintf("%d x %s, Linux %s, %s; %s; commit %s",
		runtime.NumCPU(), model, version("uname", "-r"), runtime.Version(), time.Now().Format(time.DateOnly), commit)
}

// otherLoad warns if the machine is busy. It must be called before the first measurement.
func otherLoad() string {
	var load float64
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(b), &load)
	}
	if load < 0.5 {
		return ""
	}
	return fmt.Sprintf("\nThe machine was busy with other things: load average %.1f before the start.", load)
}

// TestTable is `make bench`.
func TestTable(t *testing.T) {
	n := pairs(t)
	if n == 0 {
		t.Skip("bench: takes a quarter of an hour; make bench runs it")
	}
	need(t, "turnserver", "taskset")
	b := &bench{
		lab:       newLab(t),
		settings:  settings{pairs: n, run: 5 * time.Second, warmup: 500 * time.Millisecond, divide: 1, hold: 10_000, settle: 3 * time.Second, trial: time.Second},
		servers:   servers(),
		figures:   figures{},
		otherLoad: otherLoad(),
	}
	build(t)
	leaveServerCore(t)
	b.measureAll(t)
	fmt.Printf("\n%s\n\n%s", b.conditions(), b.table())
}

// TestQuick holds that `make bench` works: each server delivers packets, and the table has its figures. Their values mean
// nothing on a machine that runs other tests too.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts each server several times; -short is set")
	}
	need(t, "turnserver", "taskset")
	b := &bench{
		lab:      newLab(t),
		settings: settings{pairs: 1, run: 300 * time.Millisecond, warmup: 50 * time.Millisecond, divide: 50, hold: 50, trial: 0},
		servers:  servers(),
		figures:  figures{},
	}
	build(t)
	b.measureAll(t)
	for _, s := range scenarios() {
		for _, server := range []string{routing, kernel, userSpace, theirs} {
			if n, ok := b.figures.median("received "+s.name, server); !ok || n == 0 {
				t.Errorf("%s, %s: nothing was delivered", s.name, server)
			}
		}
	}
	for _, s := range clientScenarios() {
		for _, server := range []string{userSpace, theirs} {
			if n, ok := b.figures.median("received "+s.name, server); !ok || n == 0 {
				t.Errorf("%s, %s: nothing was delivered", s.name, server)
			}
		}
	}
	table := b.table()
	for _, r := range rows() {
		if !strings.Contains(table, "| "+r.title+" |") && r.figure != "highest rate" {
			t.Errorf("the table has no line %q", r.title)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", b.conditions(), table)
	}
}
