package config

import "testing"

// TestBandwidths: a bandwidth that was read and shown reads as the same again.
func TestBandwidths(t *testing.T) {
	for text, want := range map[string]int64{"20 Mbit/s": 20e6, "512kbit/s": 512e3, "10 Gbit/s": 10e9, "1500 kbit/s": 1500e3, "unlimited": 0} {
		got, err := parseBandwidth(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if again, err := parseBandwidth(showBandwidth(got)); err != nil || again != got {
			t.Errorf("%q is shown as %q", text, showBandwidth(got))
		}
	}
	for _, text := range []string{"", "20", "0 Mbit/s", "-1 Mbit/s", "1.5 Mbit/s", "20 MB/s", "9999999 Gbit/s", "Mbit/s"} {
		if got, err := parseBandwidth(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
