//go:build linux

package bench

import (
	"strings"
	"testing"
)

// TestFigures holds what the table makes of figures: medians, ratios by pair, and notes of what was lost.
func TestFigures(t *testing.T) {
	b := &bench{figures: figures{
		{"cpu video up", routing}:    {2, 2, 2},
		{"cpu video up", "turnpike"}: {3, 30, 2},
		{"cpu video up", "coturn"}:   {6, 10, 5},

		{"cpu video down", "turnpike"}: {1, 10, 2},
		{"cpu video down", "coturn"}:   {2, 20},

		{"cpu relay to relay", "turnpike"}: {2, 4, 3},
		{"cpu indications up", "turnpike"}: {6, 30, 3},

		{"loss video up", "coturn"}:     {0, 2.25},
		{"loss video up", "turnpike"}:   {0.1},
		{"loader audio up", "turnpike"}: {1},
	}}
	table := b.table()
	for _, want := range []string{
		"| CPU a packet, video up | 2.00 µs | 3.00 µs | 6.00 µs | 0.50 | ≤ 0.75 |\n",
		"| CPU a packet, video down |  | 2.00 µs | 11.00 µs |  | ≤ 0.75 |\n", // a pair lacks its other half
		"| CPU a packet, relay to relay |  | 3.00 µs |  | 0.50 of our up and down | ≤ 0.55 |\n",
		"| CPU a packet, video up, indications |  | 6.00 µs |  | 1.50 of our channels | ≤ 1.3 |\n",
		"\ncoturn lost up to 2.2 % of video up.\n",
		"\nThe load generator itself dropped or left out up to 1.0 % of audio up with turnpike.\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, never := range []string{"audio both ways", "turnpike lost", "Highest rate"} {
		if strings.Contains(table, never) {
			t.Errorf("%q is there", never)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}
