package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"turnpike/auth"
)

// apiTest is an API with a clock of its own.
type apiTest struct {
	*API
	handler http.Handler
	now     time.Time
}

func newAPITest(guests Guests) *apiTest {
	test := &apiTest{now: time.Unix(1_800_000_000, 0)}
	now := func() time.Time { return test.now }
	secret := auth.NewSecret([]byte("a secret of this test, long enough"))
	tickets := auth.NewTickets(secret, now, rand.Reader)
	test.API = New(Config{
		Guests: guests, LocalOnly: true, TicketTTL: 10 * time.Minute, CredentialTTL: time.Hour,
		AllowedOrigins: []string{"https://app.example.org"},
		TrustedProxies: TrustedProxies{netip.MustParsePrefix("10.0.0.0/8")},
		Tickets:        tickets,
		VerifyTicket:   tickets.Verify,
		Invites:        auth.NewInvites(secret, now, rand.Reader),
		UseInvite:      func(auth.Invite) error { return nil },
		Credentials:    auth.NewCredentials("turnpike", secret, nil, now),
		NameTaken:      func(canonical string) bool { return canonical == "bob" },
		ICEServers: &ICEServers{
			PublicHost: "turn.example.org",
			Listeners:  []Listener{{"udp", netip.MustParseAddrPort("0.0.0.0:3478")}},
		},
		Offloads:          func(netip.AddrPort, *auth.Grant) (bool, bool) { return false, false },
		FailuresPerMinute: 3,
		Now:               now,
		Log:               slog.New(slog.DiscardHandler),
	})
	mux := http.NewServeMux()
	test.Register(mux)
	test.handler = mux
	return test
}

// do sends a request and returns the answer, with an object in its body if there is one.
func (test *apiTest) do(method, path, body string, r *http.Request) (*http.Response, map[string]any) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.RemoteAddr, req.Host = r.RemoteAddr, r.Host
	req.Header = r.Header
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	test.handler.ServeHTTP(rec, req)
	var object map[string]any
	_ = json.Unmarshal(rec.Body.Bytes(), &object)
	return rec.Result(), object
}

func errorCode(object map[string]any) string {
	e, _ := object["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

const stranger = "203.0.113.5:4711"

func TestCORS(t *testing.T) {
	a := newAPITest(GuestsAlways)
	from := request(stranger, "turn.example.org", "Origin: https://app.example.org", "Access-Control-Request-Method: POST")
	resp, _ := a.do("OPTIONS", "/api/v1/tickets", "", from)
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.org" ||
		resp.Header.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("preflight of an allowed origin: %d %v", resp.StatusCode, resp.Header)
	}
	resp, _ = a.do("POST", "/api/v1/tickets", `{"name":"Ada"}`, request(stranger, "turn.example.org", "Origin: https://app.example.org"))
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.org" || resp.Header.Get("Vary") != "Origin" {
		t.Errorf("request of an allowed origin: %d %v", resp.StatusCode, resp.Header)
	}
	resp, _ = a.do("OPTIONS", "/api/v1/tickets", "", request(stranger, "turn.example.org", "Origin: https://evil.example"))
	if resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of another origin: %d %v", resp.StatusCode, resp.Header)
	}
	if resp.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed across sites")
	}
}

func TestFailedTicketsAreLimited(t *testing.T) {
	a := newAPITest(GuestsLoopback)
	from := func(client string) *http.Request {
		return request("10.0.0.1:4711", "turn.example.org", "X-Forwarded-For: "+client)
	}
	post := func(client string) (*http.Response, map[string]any) {
		return a.do("POST", "/api/v1/tickets", `{"name":"Eve","invite":"guess"}`, from(client))
	}
	for i := range 3 {
		if resp, _ := post("198.51.100.1"); resp.StatusCode != 401 {
			t.Fatalf("guess %d: %d", i, resp.StatusCode)
		}
	}
	resp, object := post("198.51.100.1")
	if resp.StatusCode != 429 || errorCode(object) != "rate-limited" || resp.Header.Get("Retry-After") != "20" {
		t.Errorf("the fourth guess: %d %v, Retry-After %q", resp.StatusCode, object, resp.Header.Get("Retry-After"))
	}
	if resp, _ := post("198.51.100.2"); resp.StatusCode != 401 {
		t.Errorf("another client of the same proxy: %d", resp.StatusCode)
	}
	a.now = a.now.Add(21 * time.Second)
	if resp, _ := post("198.51.100.1"); resp.StatusCode != 401 {
		t.Errorf("after the wait: %d", resp.StatusCode)
	}
	if resp, _ := post("198.51.100.1"); resp.Header.Get("Retry-After") != "40" {
		t.Errorf("after one failure more: Retry-After %q, want twice as long", resp.Header.Get("Retry-After"))
	}
	for range 10 {
		if resp, object := a.do("POST", "/api/v1/tickets", `{"name":"Bea"}`, from("198.51.100.3")); resp.StatusCode != 401 {
			t.Errorf("a client that only lacks an invite: %d %v", resp.StatusCode, object)
		}
	}
}

func TestHealth(t *testing.T) {
	a := newAPITest(GuestsLoopback)
	status := func(path string) int {
		resp, _ := a.do("GET", path, "", request(stranger, "turn.example.org"))
		return resp.StatusCode
	}
	if status("/healthz") != 200 || status("/readyz") != 503 {
		t.Errorf("while starting: healthz %d, readyz %d", status("/healthz"), status("/readyz"))
	}
	a.SetReady(true)
	if status("/readyz") != 200 {
		t.Errorf("when ready: readyz %d", status("/readyz"))
	}
	if status("/api/v2/tickets") != 404 {
		t.Error("an unknown API path is not 404")
	}
}
