package signalload

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// testReport returns a report as of a bench with --max and --pid.
func testReport(t *testing.T) *Report {
	t.Helper()
	o := &Options{Server: "https://turn.example.org", Rate: 2000, Seconds: UnsetSeconds, Max: true}
	o.Config = Config{Sessions: 100, Size: 1024, Workers: 1, PID: 17}
	if err := o.Check(); err != nil || o.Seconds != defaultMaxSeconds {
		t.Fatalf("%+v, %v", o, err)
	}
	r := &Result{
		Rate: 20_000, Duration: 2 * time.Second, Sent: 40_000, Received: 39_999, Bytes: 39_999 * 1024, LoaderSkipped: 3, ServerTime: 500 * time.Millisecond,
	}
	for i := range 1000 {
		r.Latency.Add(time.Duration(i+1) * time.Microsecond)
	}
	return &Report{
		Server:  o.Server,
		Config:  &o.Config,
		Setup:   Setup{Sessions: 100, Took: 20 * time.Millisecond, RSSBefore: 10 << 20, RSSAfter: 10<<20 + 800<<10, LoginTime: 15 * time.Millisecond},
		Result:  r,
		Maximum: Maximum{Result: r, LoaderLimited: true},
	}
}

func TestReportText(t *testing.T) {
	var out bytes.Buffer
	if err := testReport(t).WriteText(&out); err != nil {
		t.Fatal(err)
	}
	want := `log-ins       100 in 20ms (5000 a second), in rooms of two
memory        8.0 KB an idle session: process 17 grew from 10.0 to 10.8 MB
processor     150 µs a log-in
sent          messages of 1024 bytes, 20000 a second for 2s
delivered     20000 messages a second, 163.8 Mbit/s
lost          0.003 %: 1 of 40000
latency       p50 504 µs  p99 991 µs  p99.9 999 µs
processor     12.5 µs a message
note          this loader could not keep up and left out 3 messages; try more --workers
highest rate  20000 messages a second with a p99 latency of at most 50ms
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
	if got.Server != "https://turn.example.org" || got.Sessions != 100 || got.RSSPerSession != 8192 || got.LoginsPerSecond != 5000 ||
		got.CPUPerLogin != 150 || got.Load.Received != 39_999 || got.Load.CPUPerMessage != 12.5 || got.Load.P999 < 998 || !got.Max.LoaderLimited {
		t.Error(out.String())
	}
}
