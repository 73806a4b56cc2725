//go:build linux

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPeerTable is `make bench-peer`.
func TestPeerTable(t *testing.T) {
	n := pairs(t)
	if n == 0 {
		t.Skip("bench: takes a quarter of an hour; make bench-peer runs it")
	}
	need(t, "ip", "nft")
	b := &peerBench{
		peerSettings: peerSettings{
			pairs: n, run: 5 * time.Second, loss: 20 * time.Second, moves: 60 * time.Second,
			rate: 300_000_000, trip: 40 * time.Millisecond, file: 400_000_000, croc: true,
		},
		figures:   figures{},
		otherLoad: otherLoad(),
	}
	build(t)
	b.measureAll(t)
	fmt.Printf("\n%s; %d rounds of %v, with losses of %v.%s\n\n%s", machine(), b.pairs, b.run, b.loss, b.otherLoad, b.table())
}

// TestPeerQuick holds that `make bench-peer` works: each line of the table has its figures, except those of croc, which would have to be
// fetched and built. Their values mean nothing on a machine that runs other tests too.
func TestPeerQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("bench: starts servers and peers; -short is set")
	}
	need(t, "ip", "nft")
	b := &peerBench{
		peerSettings: peerSettings{
			pairs: 1, run: 300 * time.Millisecond, loss: 300 * time.Millisecond, moves: 40 * time.Second,
			rate: 50_000_000, trip: 10 * time.Millisecond, file: 4_000_000,
		},
		figures: figures{},
	}
	build(t)
	b.measureAll(t)
	table := b.table()
	for _, r := range b.rows() {
		of := r.of
		if of == nil {
			of = contenders()
		}
		for _, name := range columns() {
			value, ok := b.figures.median(r.figure, name)
			if ok != (slices.Contains(of, name) && (b.croc || name != overCroc)) {
				t.Errorf("%s, %s: there is a figure: %v", r.title, name, ok)
			} else if ok && !(value > 0 && value < math.Inf(1)) {
				t.Errorf("%s, %s: %v", r.title, name, value)
			}
		}
		if !strings.Contains(table, "| "+r.title+" | ") {
			t.Errorf("the table has no line %q", r.title)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}

// TestPeerFigures holds what is made of the ends' reports.
func TestPeerFigures(t *testing.T) {
	const ms = time.Millisecond
	r := &report{First: 100 * ms, End: 1150 * ms, Bytes: 5_000_000, Progress: []progress{
		{110 * ms, 1_000_000}, {200 * ms, 2_000_000}, {900 * ms, 4_000_000}, {1100 * ms, 5_000_000},
	}}
	if got := (outcome{receiver: r}).rate(); got != 5 {
		t.Errorf("5 MB in a second are %v MB/s", got)
	}
	for since, want := range map[time.Duration]time.Duration{0: 700 * ms, 150 * ms: 700 * ms, 899 * ms: 700 * ms, 900 * ms: 200 * ms, 1100 * ms: 50 * ms, 2000 * ms: 0} {
		if got := r.silence(since); got != want {
			t.Errorf("the longest silence since %v is %v, want %v", since, got, want)
		}
	}
	paths := []pathNote{{At: 10 * ms, Direct: true}, {At: 250 * ms}, {At: 400 * ms, Direct: true}, {At: 500 * ms, Direct: true}}
	if got, ok := directSince(paths, 200*ms); !ok || got != 400*ms {
		t.Errorf("direct again at %v, %v", got, ok)
	}
	if got, ok := directSince(paths[:2], 200*ms); ok {
		t.Errorf("never direct again, and yet at %v", got)
	}
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(hundred, share); got != want {
			t.Errorf("the percentile %v of 1 to 100 is %d, want %d", share, got, want)
		}
	}
	if got := percentile(hundred[:1], 0.99); got != 1 {
		t.Errorf("the percentile of one value is %v", got)
	}
}

// TestPeerRows holds how the table presents figures.
func TestPeerRows(t *testing.T) {
	b := &peerBench{peerSettings: peerSettings{rate: 300_000_000, trip: 40 * time.Millisecond}, figures: figures{
		{"line", overQUIC}:          {34, 35, 36},
		{"line", overTCP}:           {35, 70, 36},
		{"direct", overQUIC}:        {100},
		{"direct", overTCP}:         {200},
		{"direct", overDataChannel}: {25},
		{"relayed", overQUIC}:       {70},
		{"first byte", overQUIC}:    {3.25},

		{"send, direct", overQUIC}:       {90},
		{"send, direct", overCroc}:       {30},
		{"send, 1 % lost", overQUIC}:     {3},
		{"long line, 1 % lost", overTCP}: {1.5},
		{"send, 0.1 % lost", overQUIC}:   {3},
		{"code", overQUIC}:               {0.75},
	}}
	table := b.table()
	for _, want := range []string{
		"| A line of 300 Mbit/s | 35.0 MB/s | 36.0 MB/s |  |  | 0.97 of TCP's | ≥ 0.95 |\n",
		"| The same, 40 ms there and back |  |  |  |  |  | ≥ 0.95 |\n",
		"| Direct, without a line | 100.0 MB/s | 200.0 MB/s | 25.0 MB/s |  | 0.50 of TCP's | ≥ 0.5 |\n",
		"| Likewise | 100.0 MB/s | 200.0 MB/s | 25.0 MB/s |  | 4.0 of a data channel's | ≥ 3.5 |\n",
		"| Relayed | 70.0 MB/s |  |  |  | 0.70 of direct | ≥ 0.6 |\n",
		"| A file, direct | 90.0 MB/s |  |  | 30.0 MB/s | 3.0 of croc's | ≥ 3 |\n",
		"| A file across the long line, 0.1 % lost | 3.00 MB/s |  |  |  |  | ≥ 2 |\n", // TCP's is missing
		"| The same, 1 % lost | 3.00 MB/s |  |  |  | 2.00 of TCP's | ≥ 2 |\n",
		"| From the code to the first byte, at 40 ms | 0.75 s |  |  |  |  | ≤ 1.5 s |\n",
		"| First byte after candidates | 3.2 RTT |  |  |  |  | ≤ 4 RTT |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}
