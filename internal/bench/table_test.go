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

// row is a line of the table. Its ratio is of the medians of two figures, or of one and a sum.
type row struct {
	title  string
	figure string
	format string
	ratio  ratio
	goal   string
}

// ratio divides a figure of turnpike by others.
type ratio struct {
	of   string // its words in the table
	by   []string
	whom string
}

func rows() []row {
	coturn := ratio{whom: "coturn"}
	table := []row{
		{"CPU a packet, video up", "cpu video up", "%.2f µs", coturn, "≤ 0.75"},
		{"CPU a packet, video down", "cpu video down", "%.2f µs", coturn, "≤ 0.75"},
		{"CPU a packet, audio up", "cpu audio up", "%.2f µs", coturn, "≤ 0.85"},
		{"CPU a packet, audio both ways", "cpu audio both ways", "%.2f µs", coturn, "≤ 0.85"},
		{"CPU a packet, video up, indications", "cpu indications up", "%.2f µs",
			ratio{"of our channels", []string{"cpu video up"}, "turnpike"}, "≤ 1.3"},
		{"CPU a packet, video down, indications", "cpu indications down", "%.2f µs",
			ratio{"of our channels", []string{"cpu video down"}, "turnpike"}, "≤ 1.3"},
		{"CPU a packet, relay to relay", "cpu relay to relay", "%.2f µs",
			ratio{"of our up and down", []string{"cpu video up", "cpu video down"}, "turnpike"}, "≤ 0.55"},
		{"Highest rate, video up", "highest rate", "%.0f/s", coturn, "≥ 1.1, or the loader's limit"},
	}
	for _, direction := range []string{"up", "down"} {
		table = append(table,
			row{"Latency p50, video " + direction, "p50 video " + direction, "%.0f µs", coturn, "≤ 0.4"},
			row{"Latency p99, video " + direction, "p99 video " + direction, "%.0f µs", coturn, "≤ 0.7"},
			row{"Latency p99.9, video " + direction, "p99.9 video " + direction, "%.0f µs", coturn, ""},
		)
	}
	return append(table,
		row{"Memory (RSS) an allocation", "memory", "%.1f KB", coturn, "≤ 2 KB; portable path 6 KB"},
		row{"The kernel's memory beside it", "kernel memory", "%.1f KB", coturn, ""},
		row{"Allocations a second", "allocations a second", "%.0f", coturn, "≥ 3"},
	)
}

// table writes the rows of which there are figures.
func (b *bench) table() string {
	var out strings.Builder
	fmt.Fprintln(&out, "| median | routing | turnpike | coturn | ratio | goal |")
	fmt.Fprintln(&out, "|---|---|---|---|---|---|")
	for _, r := range rows() {
		if _, ok := b.figures.median(r.figure, "turnpike"); !ok {
			continue
		}
		cells := []string{r.title}
		for _, server := range []string{routing, "turnpike", "coturn"} {
			cell := ""
			if value, ok := b.figures.median(r.figure, server); ok {
				cell = fmt.Sprintf(r.format, value)
			}
			cells = append(cells, cell)
		}
		cells = append(cells, b.figures.ratio(r), r.goal)
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String() + b.notes()
}

// ratio is the median of the pairs' ratios, since the two of a pair were measured in the same minute.
func (f figures) ratio(r row) string {
	by := r.ratio.by
	if by == nil {
		by = []string{r.figure}
	}
	ours := f[figure{r.figure, "turnpike"}]
	ratios := figures{}
	for i := range ours {
		var sum float64
		for _, name := range by {
			theirs := f[figure{name, r.ratio.whom}]
			if i >= len(theirs) {
				return ""
			}
			sum += theirs[i]
		}
		ratios[figure{}] = append(ratios[figure{}], ours[i]/sum)
	}
	value, _ := ratios.median("", "")
	return strings.TrimSpace(fmt.Sprintf("%.2f %s", value, r.ratio.of))
}

// noteworthy is the percentage of packets whose loss spoils the other figures of a load.
const noteworthy = 0.5

// notes tell what a reader of the table must know: loads that were not carried whole.
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

// where tells machine, date and commit, and how it was measured.
func (b *bench) where() string {
	return fmt.Sprintf("%s; coturn %s; %d pairs of %v, server on one core.\nCPU: the whole machine's busy time a packet, less that of routing (its column: of its own).%s",
		here(), version("turnserver", "--version"), b.pairs, b.settings.run, b.others)
}

// here tells machine, date and commit.
func here() string {
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

// others warns of what else the machine does. It is asked before anything is measured.
func others() string {
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
		lab:      newLab(t),
		settings: settings{pairs: n, run: 5 * time.Second, warmup: 500 * time.Millisecond, divide: 1, hold: 10_000, settle: 3 * time.Second, trial: time.Second},
		servers:  []maker{ours(), coturn()},
		figures:  figures{},
		others:   others(),
	}
	build(t)
	keepOff(t)
	b.measureAll(t)
	fmt.Printf("\n%s\n\n%s", b.where(), b.table())
}

// TestQuick holds that `make bench` works: packets come through each server, and the table has its figures. What they
// are, on a machine that tests other things too, says nothing.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts each server several times; -short is set")
	}
	need(t, "turnserver", "taskset")
	b := &bench{
		lab:      newLab(t),
		settings: settings{pairs: 1, run: 300 * time.Millisecond, warmup: 50 * time.Millisecond, divide: 50, hold: 50, trial: 0},
		servers:  []maker{ours(), coturn()},
		figures:  figures{},
	}
	build(t)
	b.measureAll(t)
	for _, s := range scenarios() {
		for _, server := range []string{routing, "turnpike", "coturn"} {
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
		t.Logf("%s\n%s", b.where(), table)
	}
}
