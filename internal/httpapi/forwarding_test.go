package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestForwardingNotice holds that a header from an address that is no trusted proxy is logged once a minute, with the line that would
// mend it, and that a stranger's does not take the place of a proxy's.
func TestForwardingNotice(t *testing.T) {
	var logged bytes.Buffer
	now, served := time.Unix(1_800_000_000, 0), 0
	trusted := TrustedProxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}
	h := ForwardingNotice(trusted, func() time.Time { return now }, slog.New(slog.NewTextHandler(&logged, nil)),
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	asked := 0
	lines := func(from string, headers ...string) int {
		t.Helper()
		logged.Reset()
		h.ServeHTTP(httptest.NewRecorder(), request(from, "turn.example.org", headers...))
		if asked++; served != asked {
			t.Fatal("the request was not served")
		}
		return strings.Count(logged.String(), "\n")
	}
	if lines("10.0.0.1:4711", "X-Forwarded-For: 198.51.100.1") != 0 {
		t.Error("a trusted proxy's header is logged")
	}
	if lines("172.16.0.2:4711") != 0 {
		t.Error("a request without such a header is logged")
	}
	if lines("203.0.113.5:4711", "X-Forwarded-For: 198.51.100.1") != 1 {
		t.Error("a stranger's header is not logged")
	}
	if lines("172.16.0.2:4711", "Forwarded: for=198.51.100.1") != 1 {
		t.Error("a proxy's header is not logged")
	}
	const mend = `mend="http.trusted_proxies = [\"10.0.0.0/8\", \"192.0.2.7\", \"172.16.0.2\"]"`
	if text := logged.String(); !strings.Contains(text, mend) || !strings.Contains(text, "header=Forwarded from=172.16.0.2") {
		t.Errorf("logged %s", text)
	}
	now = now.Add(59 * time.Second)
	if lines("172.16.0.2:4711", "X-Forwarded-For: 198.51.100.1") != 0 {
		t.Error("logged twice in a minute")
	}
	now = now.Add(time.Second)
	if lines("172.16.0.2:4711", "X-Forwarded-For: 198.51.100.1") != 1 {
		t.Error("not logged again after a minute")
	}
}
