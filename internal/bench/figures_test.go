//go:build linux

package bench

import (
	"strings"
	"testing"
)

// TestFigures holds how the table presents figures: medians, ratios by pair, and notes of losses.
func TestFigures(t *testing.T) {
	b := &bench{figures: figures{
		{"cpu video up", routing}:   {2, 2, 2},
		{"cpu video up", kernel}:    {0.3, 0.2, 0.5},
		{"cpu video up", userSpace}: {3, 30, 2},
		{"cpu video up", theirs}:    {6, 10, 5},

		{"cpu video down", userSpace}: {1, 10, 2},
		{"cpu video down", theirs}:    {2, 20},

		{"cpu relay to relay", routing}:   {2, 2, 4},
		{"cpu relay to relay", kernel}:    {0.2, 0.4, 0.4},
		{"cpu relay to relay", userSpace}: {2, 4, 3},
		{"cpu indications up", userSpace}: {6, 30, 3},

		{"p50 video up", routing}:   {50, 60},
		{"p50 video up", kernel}:    {52, 66},
		{"p50 video up", userSpace}: {100, 100},

		{"loss video up", theirs}:      {0, 2.25},
		{"loss video up", userSpace}:   {0.1},
		{"loader audio up", userSpace}: {1},
	}}
	table := b.table()
	for _, want := range []string{
		"| CPU a packet, video up | 2.00 µs | 0.30 µs | 3.00 µs | 6.00 µs | 0.05 of coturn's | ≤ 0.1 | 0.50 of coturn's | ≤ 0.75 |\n",
		"| CPU a packet, video down |  |  | 2.00 µs | 11.00 µs |  | ≤ 0.1 |  | ≤ 0.75 |\n", // no ratio, because a pair is incomplete
		"| CPU a packet, relay to relay | 2.00 µs | 0.40 µs | 3.00 µs |  | 1.10 of routing's, with it | ≤ 1.3 | 0.50 of up and down | ≤ 0.55 |\n",
		"| CPU a packet, video up, indications |  |  | 6.00 µs |  |  | ≤ 0.1 | 1.50 of channels | ≤ 1.3 |\n",
		"| Latency p50, video up | 55 µs | 59 µs | 100 µs |  | +4 µs to routing | ≤ +20 µs |  | ≤ 0.4 |\n",
		"\ncoturn lost up to 2.2 % of video up.\n",
		"\nThe load generator itself dropped or left out up to 1.0 % of audio up with user space.\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, never := range []string{"audio both ways", "user space lost", "Highest rate"} {
		if strings.Contains(table, never) {
			t.Errorf("%q is there", never)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}
