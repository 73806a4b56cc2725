package node

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestMetricNames: Prometheus's own linter judges them, and each counter says what it counts.
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
