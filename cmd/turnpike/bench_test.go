package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"turnpike/internal/turnload"
)

// testReport is what a --max with --pid may find.
func testReport(t *testing.T) *benchReport {
	t.Helper()
	p := &program{environ: []string{"TURNPIKE_BENCH_SECRET=from the environment"}}
	o, err := p.benchOptions([]string{"turn:192.0.2.7", "--calls", "100", "--direction", "both", "--max", "--pid", "17"})
	if err != nil {
		t.Fatal(err)
	}
	if o.seconds != benchMaxSeconds || o.uri.Port != 3478 || !strings.HasSuffix(o.cfg.Credential(3).Username, ":bench3") {
		t.Fatalf("%+v", o)
	}
	r := &turnload.Result{
		Rate: 96_000, Duration: 2 * time.Second, Sent: 192_000, Received: 191_040, Bytes: 191_040 * 1200,
		Reordered: 1, LoaderDropped: 2, LoaderSkipped: 3,
	}
	for i := range 1000 {
		r.Latency.Add(time.Duration(i+1) * time.Microsecond)
	}
	return &benchReport{
		options: o,
		setup:   turnload.Setup{Allocations: 100, Took: 20 * time.Millisecond, RSSBefore: 10 << 20, RSSAfter: 10<<20 + 500<<10},
		result:  r,
		maximum: turnload.Maximum{Result: r, LoaderLimited: true},
	}
}

func TestBenchText(t *testing.T) {
	var out bytes.Buffer
	if err := testReport(t).writeText(&out); err != nil {
		t.Fatal(err)
	}
	want := `allocations   100 in 20ms (5000 a second), a channel each
memory        5.0 KB an allocation: process 17 grew from 10.0 to 10.5 MB
sent          video both, 96000 packets a second for 2s
delivered     95520 packets a second, 917.0 Mbit/s
lost          0.500 %: 960 of 192000
latency       p50 504 µs  p99 991 µs  p99.9 999 µs
reordered     1
note          this loader itself dropped 2 packets; let it have more processor time (--workers, taskset) or raise net.core.rmem_max
note          this loader could not keep up and left out 3 packets; try more --workers
highest rate  96000 packets a second with less than 0.5 % lost: 200 calls
note          the loader can do no more; the server may. Try more --workers, or another machine
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestBenchJSON(t *testing.T) {
	var out bytes.Buffer
	if err := testReport(t).writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got benchJSON
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Calls != 100 || got.RSSPerAllocation != 5120 || got.AllocationsPerSecond != 5000 || got.Load.Received != 191_040 ||
		got.Load.P999 < 999 || got.Max.Calls < 199.9 || got.Max.Calls > 200.1 || !got.Max.LoaderLimited {
		t.Error(out.String())
	}
}

// TestProgress holds that only a terminal gets a bar.
func TestProgress(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []*program{{stderr: file}, {stderr: new(bytes.Buffer)}} {
		bar := w.progress()
		bar.show(0.5, "")
		bar.clear()
		if bar.w != nil {
			t.Errorf("%T has a bar", w.stderr)
		}
	}
	var out bytes.Buffer
	bar := progressBar{&out}
	bar.show(0.5, "so far so good")
	bar.clear()
	if want := "\r\x1b[K[===============               ]  50 %  so far so good\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
