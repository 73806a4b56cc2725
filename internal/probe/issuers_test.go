package probe

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal/wire"
)

// TestOwnIssuers: an operator learns that a page of keys is down before users do, and which key of the configuration names it.
func TestOwnIssuers(t *testing.T) {
	page := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	const good = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}` // RFC 8037 appendix A.2
	cfg := new(config.Config)
	cfg.Auth.Issuers = []config.Issuer{
		{Name: "good", JWKSURL: page(200, good)}, {Name: "file", KeyFile: "app.pem"}, {Name: "down", JWKSURL: page(503, "")}, {Name: "empty", JWKSURL: page(200, `{"keys":[]}`)},
	}
	var findings []Finding
	r := &run{Server: &Server{Own: cfg, Timeout: time.Minute}, report: func(f Finding) { findings = append(findings, f) }}
	r.ownIssuers(t.Context())
	for i, want := range []struct{ check, detail, problem string }{
		{"issuer good", "keys that can verify: 1", ""},
		{"issuer down", "", "503 Service Unavailable; until its keys can be read, the server admits no new user of down: see that this machine reaches the page, and that auth.issuers[2].jwks_url is right"},
		{"issuer empty", "", "the page has no key that can verify a ticket; "},
	} {
		if i >= len(findings) || findings[i].Check != want.check || findings[i].Detail != want.detail || !strings.Contains(findings[i].Problem, want.problem) || findings[i].OK != (want.problem == "") {
			t.Fatalf("finding %d: %+v, want %+v", i, findings, want)
		}
	}
}

// TestRefusal: a server that cannot read an issuer's keys does not call the ticket bad, and neither does the check.
func TestRefusal(t *testing.T) {
	if err := refusal(&wire.Error{Code: wire.CodeInternal, RetryAfter: 7}); !strings.Contains(err.Error(), "jwks_url") {
		t.Error(err)
	}
	if err := refusal(&wire.Error{Code: wire.CodeUnauthorized, Message: "No."}); err.Error() != "the server refuses the ticket: No. (unauthorized)" {
		t.Error(err)
	}
}
