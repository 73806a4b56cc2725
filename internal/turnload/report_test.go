package turnload

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// testReport is a report of --max with --pid.
func testReport(t *testing.T) *Report {
	t.Helper()
	o := &Options{Seconds: UnsetSeconds, Max: true}
	o.Config = Config{Calls: 100, Workers: 1, Direction: Both, PID: 17}
	var err error
	if o.Config.Profile, err = ProfileByName("video"); err != nil {
		t.Fatal(err)
	}
	if err := o.Check(); err != nil || o.Seconds != defaultMaxSeconds {
		t.Fatalf("%+v, %v", o, err)
	}
	r := &Result{
		Rate: 96_000, Duration: 2 * time.Second, Sent: 192_000, Received: 191_040, Bytes: 191_040 * 1200,
		Reordered: 1, LoaderDropped: 2, LoaderSkipped: 3,
	}
	for i := range 1000 {
		r.Latency.Add(time.Duration(i+1) * time.Microsecond)
	}
	return &Report{
		Config:  &o.Config,
		Setup:   Setup{Allocations: 100, Took: 20 * time.Millisecond, RSSBefore: 10 << 20, RSSAfter: 10<<20 + 500<<10},
		Result:  r,
		Maximum: Maximum{Result: r, LoaderLimited: true},
	}
}

func TestReportText(t *testing.T) {
	var out bytes.Buffer
	if err := testReport(t).WriteText(&out); err != nil {
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

func TestReportJSON(t *testing.T) {
	var out bytes.Buffer
	if err := testReport(t).WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got reportJSON
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Calls != 100 || got.RSSPerAllocation != 5120 || got.AllocationsPerSecond != 5000 || got.Load.Received != 191_040 ||
		got.Load.P999 < 999 || got.Max.Calls < 199.9 || got.Max.Calls > 200.1 || !got.Max.LoaderLimited {
		t.Error(out.String())
	}
}
