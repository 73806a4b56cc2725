package node

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetricNames has Prometheus's own linter judge the names, and holds that each counter has a help text.
func TestMetricNames(t *testing.T) {
	s := start(t)
	_, body := get(t, http.DefaultClient, s.row("metrics"))
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	help := counterHelp()
	for line := range strings.Lines(body) {
		name, isOurs := strings.CutPrefix(line, "# HELP turnpike_")
		if name, _, isCounter := strings.Cut(name, "_total "); isOurs && isCounter {
			if help[name] == "" {
				t.Errorf("%s: nothing says what it counts", name)
			}
			delete(help, name)
		}
	}
	delete(help, "tls_certificate_reloads") // only with a certificate
	for name := range help {
		t.Errorf("%s: there is no such counter", name)
	}
}

func TestMetrics(t *testing.T) {
	s := startWith(t, Options{Version: "v1.2.3"})
	status, body := get(t, http.DefaultClient, s.row("metrics"))
	for _, want := range []string{`turnpike_turn_allocations{transport="udp"} 0`, "turnpike_signal_sessions 0", `turnpike_turn_packets_relayed_total{direction="up",transport="tls"} 0`,
		`turnpike_turn_relayed_bytes_total{direction="down",transport="udp"} 0`, `turnpike_turn_authentications_total{outcome="refused"} 0`,
		`turnpike_turn_error_responses_total{code="401"} 0`, `turnpike_turn_packets_dropped_total{reason="malformed"} 0`,
		`turnpike_turn_peer_connections{state="open"} 0`, `turnpike_turn_peer_connections_made_total{direction="up"} 0`,
		`turnpike_turn_peer_connections_failed_total{reason="unclaimed"} 0`, `turnpike_signal_messages_total{type="hello"} 0`, "go_goroutines ",
		`goversion="` + runtime.Version() + `",version="v1.2.3"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics (status %d) lack %s", status, want)
		}
	}
	base := strings.TrimSuffix(s.row("metrics"), "/metrics")
	if status, body := get(t, http.DefaultClient, base+"/allocations"); status != 200 || !strings.Contains(body, `"allocations": []`) {
		t.Errorf("the allocations: %d %s", status, body)
	}
	if status, _ := get(t, http.DefaultClient, base+"/debug/pprof/cmdline"); status != 200 {
		t.Errorf("pprof on loopback: %d", status)
	}
	req, err := http.NewRequest("GET", base+"/debug/pprof/cmdline", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("pprof under a rebound name: %d", resp.StatusCode)
	}
	if status, _ := get(t, http.DefaultClient, s.row("web")+"/metrics"); status == 200 {
		t.Error("the public listener has metrics")
	}
}
