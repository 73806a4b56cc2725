package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
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
		FailuresPerMinute: 3, KeyFailuresPerMinute: 3, GrantsPerMinute: 1000, AdminPerSecond: 100,
		People: &testPeople{}, RecordInvite: func(auth.Invite) error { return nil },
		Sessions: &testSessions{}, OwnInvites: newTestInvites(now), InviteMaxTTL: 7 * 24 * time.Hour, InvitesEach: 2, InvitesPerMinute: 10,
		PublicURL: func() string { return "https://turn.example.org" },
		Codes:     200, CodesEach: 3, CodesPerAddress: 5, CodesPerMinute: 1000, CodeTriesPerMinute: 1000, Rand: rand.Reader,
		Now: now,
		Log: slog.New(slog.DiscardHandler),
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
	var logged bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&logged, nil))
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
	for range 3 { // nobody can guess a signed token, so the wait does not grow
		a.now = a.now.Add(20 * time.Second)
		if resp, _ := post("198.51.100.1"); resp.StatusCode != 401 {
			t.Errorf("after the wait: %d", resp.StatusCode)
		}
		if resp, _ := post("198.51.100.1"); resp.Header.Get("Retry-After") != "20" {
			t.Errorf("after one failure more: Retry-After %q", resp.Header.Get("Retry-After"))
		}
	}
	if resp, _ := a.do("POST", "/api/v1/tickets", `{"name":"Bea"}`, from("198.51.100.1")); resp.StatusCode != 401 || a.failures.lack(netip.MustParseAddr("198.51.100.1")) == 0 {
		t.Errorf("a client there that has nothing to be looked at: %d", resp.StatusCode)
	}
	if text := logged.String(); strings.Count(text, "an address must wait") != 4 || !strings.Contains(text, "client=198.51.100.1 limit=limits.failed_tickets_per_minute") {
		t.Errorf("logged %s", text)
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

// TestRefusalsDoNotFillTheLog holds that refused tokens are logged, and not as often as somebody likes.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	a := newAPITest(GuestsNever)
	var logged bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&logged, nil))
	for i := range 200 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 4711)
		a.do("POST", "/api/v1/tickets", `{"name":"Eve","invite":"guess"}`, request(from.String(), "turn.example.org"))
	}
	if n := strings.Count(logged.String(), "invite refused"); n != refusalsPerMinute {
		t.Errorf("%d lines, want %d", n, refusalsPerMinute)
	}
}

// TestGrantsAreLimited holds that an address gets so many tickets and ICE servers a minute and no more, that questions for names count,
// and that another address is not held back.
func TestGrantsAreLimited(t *testing.T) {
	a := newAPITest(GuestsAlways)
	a.grants = newBuckets(6, a.cfg.Now)
	ask := func(client, name string) *http.Response {
		resp, _ := a.do("POST", "/api/v1/tickets", `{"name":"`+name+`"}`, request(client, "turn.example.org"))
		return resp
	}
	_, object := a.do("POST", "/api/v1/tickets", `{"name":"Ada"}`, request(stranger, "turn.example.org"))
	ticket, _ := object["ticket"].(string)
	ice := func(client string) *http.Response {
		resp, _ := a.do("GET", "/api/v1/ice-servers", "", request(client, "turn.example.org", "Authorization: Bearer "+ticket))
		return resp
	}
	for i, status := range []int{ask(stranger, "Bea").StatusCode, ask(stranger, "Bob").StatusCode, ask(stranger, "Bob").StatusCode, ice(stranger).StatusCode, ice(stranger).StatusCode} {
		if want := []int{200, 409, 409, 200, 200}[i]; status != want {
			t.Errorf("request %d: %d, want %d", i, status, want)
		}
	}
	for _, resp := range []*http.Response{ask(stranger, "Cyd"), ice(stranger)} {
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "10" {
			t.Errorf("one too many: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	if resp := ask("203.0.113.6:4711", "Cyd"); resp.StatusCode != 200 {
		t.Errorf("another address: %d", resp.StatusCode)
	}
	a.now = a.now.Add(10 * time.Second)
	if resp := ice(stranger); resp.StatusCode != 200 {
		t.Errorf("after the wait: %d", resp.StatusCode)
	}
}
