package main

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/turnserver"
)

// apiTest is an API with a clock of its own.
type apiTest struct {
	*api
	handler http.Handler
	now     time.Time
}

func newAPITest(guests string) *apiTest {
	test := &apiTest{now: time.Unix(1_800_000_000, 0)}
	now := func() time.Time { return test.now }
	secret := auth.NewSecret([]byte("a secret of this test, long enough"))
	listener := turnserver.Listener{Network: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:3478")}
	test.api = &api{
		guests: guests, ticketTTL: 10 * time.Minute, credTTL: time.Hour,
		visitors:  &visitors{localOnly: true, origins: []string{"https://app.example.org"}, proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		tickets:   auth.NewTickets(secret, now, rand.Reader),
		invites:   auth.NewInvites(secret, now, rand.Reader),
		creds:     auth.NewCredentials("turnpike", secret, nil, now),
		nameTaken: func(canonical string) bool { return canonical == "bob" },
		ice:       &iceServers{},
		offloads:  func(netip.AddrPort, *auth.Grant) (bool, bool) { return false, false },
		failures:  newLimiter(3, now),
		log:       slog.New(slog.DiscardHandler),
	}
	test.ice.publicHost = "turn.example.org"
	test.ice.open = append(test.ice.open, listener)
	test.verify = test.tickets.Verify
	test.use = func(auth.Invite) error { return nil }
	mux := http.NewServeMux()
	test.register(mux)
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

func TestTicketsForWhom(t *testing.T) {
	tests := []struct {
		guests string
		local  bool
		status int
		role   string // or the error's code
	}{
		{config.GuestsLoopback, true, 200, "member"},
		{config.GuestsLoopback, false, 401, "invite-required"},
		{config.GuestsAlways, true, 200, "guest"},
		{config.GuestsAlways, false, 200, "guest"},
		{config.GuestsNever, true, 401, "invite-required"},
		{config.GuestsNever, false, 401, "invite-required"},
	}
	for _, test := range tests {
		from := request(stranger, "turn.example.org")
		if test.local {
			from = request("127.0.0.1:4711", "localhost:8080")
		}
		a := newAPITest(test.guests)
		resp, object := a.do("POST", "/api/v1/tickets", `{"name":" Ada "}`, from)
		got, _ := object["role"].(string)
		if got == "" {
			got = errorCode(object)
		}
		if resp.StatusCode != test.status || got != test.role {
			t.Errorf("guests = %s, local %v: %d %s, want %d %s", test.guests, test.local, resp.StatusCode, got, test.status, test.role)
		}
		if resp.StatusCode != 200 {
			continue
		}
		ticket, err := a.tickets.Verify(object["ticket"].(string))
		if err != nil || ticket.Name != "Ada" || !slices.Equal(ticket.Rooms, []string{"*"}) || string(ticket.Role) != test.role {
			t.Errorf("the ticket is %+v, %v", ticket, err)
		}
		if object["expires"] != a.now.Add(10*time.Minute).UTC().Format(time.RFC3339) || object["name"] != "Ada" {
			t.Errorf("the answer is %v", object)
		}
	}
}

func TestTicketForInvite(t *testing.T) {
	a := newAPITest(config.GuestsNever)
	invite, _, err := a.invites.Issue(auth.Invite{Room: "standup", Role: auth.RoleGuest}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := a.tickets.Issue(auth.Ticket{Name: "Eve", Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	from := request(stranger, "turn.example.org")
	post := func(invite string) (*http.Response, map[string]any) {
		body, _ := json.Marshal(ticketRequest{Name: "Ada", Invite: invite})
		return a.do("POST", "/api/v1/tickets", string(body), from)
	}

	resp, object := post(invite)
	if resp.StatusCode != 200 || object["role"] != "guest" {
		t.Fatalf("a good invite: %d %v", resp.StatusCode, object)
	}
	if rooms, _ := json.Marshal(object["rooms"]); string(rooms) != `["standup"]` {
		t.Errorf("the invite opens %s", rooms)
	}
	for name, bad := range map[string]string{"garbage": "x", "a ticket": foreign, "cut off": invite[:len(invite)-2]} {
		if resp, object := post(bad); resp.StatusCode != 401 || errorCode(object) != "unauthorized" {
			t.Errorf("%s as invite: %d %v", name, resp.StatusCode, object)
		}
		a.failures = newLimiter(3, a.failures.now)
	}
	a.now = a.now.Add(2 * time.Hour)
	if resp, object := post(invite); resp.StatusCode != 401 || errorCode(object) != "expired" {
		t.Errorf("an old invite: %d %v", resp.StatusCode, object)
	}
}

func TestTicketRefusals(t *testing.T) {
	local := func(headers ...string) *http.Request { return request("127.0.0.1:4711", "localhost:8080", headers...) }
	tests := []struct {
		name   string
		method string
		body   string
		from   *http.Request
		status int
		code   string
		field  string
	}{
		{"taken", "POST", `{"name":"BOB"}`, local(), 409, "name-taken", "name"},
		{"no name", "POST", `{}`, local(), 400, "bad-request", "name"},
		{"long name", "POST", `{"name":"` + strings.Repeat("x", 33) + `"}`, local(), 400, "bad-request", "name"},
		{"name of a wrong type", "POST", `{"name":7}`, local(), 400, "bad-request", "name"},
		{"not JSON", "POST", `name=Ada`, local(), 400, "bad-request", ""},
		{"two objects", "POST", `{"name":"Ada"}{}`, local(), 400, "bad-request", ""},
		{"too long", "POST", `{"name":"` + strings.Repeat("x", maxRequestBody) + `"}`, local(), 413, "bad-request", ""},
		{"a form", "POST", `{"name":"Ada"}`, local("Content-Type: text/plain"), 415, "bad-request", ""},
		{"wrong method", "GET", ``, local(), 405, "method-not-allowed", ""},
		{"another site", "POST", `{"name":"Ada"}`, local("Origin: https://evil.example"), 403, "forbidden", ""},
		{"a sandboxed page", "POST", `{"name":"Ada"}`, local("Origin: null"), 403, "forbidden", ""},
	}
	for _, test := range tests {
		a := newAPITest(config.GuestsLoopback)
		resp, object := a.do(test.method, "/api/v1/tickets", test.body, test.from)
		e, _ := object["error"].(map[string]any)
		field, _ := e["field"].(string)
		if resp.StatusCode != test.status || errorCode(object) != test.code || field != test.field {
			t.Errorf("%s: %d %v, want %d %s %q", test.name, resp.StatusCode, object, test.status, test.code, test.field)
		}
		if message, _ := e["message"].(string); message == "" {
			t.Errorf("%s: no sentence for people", test.name)
		}
	}
}

func TestCORS(t *testing.T) {
	a := newAPITest(config.GuestsAlways)
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

func TestICEServersEndpoint(t *testing.T) {
	a := newAPITest(config.GuestsNever)
	token, _, err := a.tickets.Issue(auth.Ticket{Name: "Ada", Rooms: []string{"*"}, Role: auth.RoleMember}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	get := func(authorization ...string) (*http.Response, map[string]any) {
		return a.do("GET", "/api/v1/ice-servers", "", request(stranger, "turn.example.org", authorization...))
	}
	resp, object := get("Authorization: Bearer " + token)
	if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("with a ticket: %d %v", resp.StatusCode, object)
	}
	servers, _ := json.Marshal(object["iceServers"])
	var list []struct{ Username, Credential string }
	if err := json.Unmarshal(servers, &list); err != nil || len(list) != 2 {
		t.Fatalf("iceServers: %s, %v", servers, err)
	}
	candidates, ok := a.creds.Candidates([]byte(list[1].Username), nil)
	if !ok || candidates[0].Grant.Kind != auth.GrantRelayOnly || !candidates[0].Grant.Expires.Equal(a.now.Add(time.Hour)) {
		t.Errorf("the credential grants %+v", candidates)
	}
	for _, bad := range []string{"", "Bearer", "Bearer x", "Basic " + token} {
		resp, object := get("Authorization: " + bad)
		if resp.StatusCode != 401 || errorCode(object) != "unauthorized" || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("Authorization %q: %d %v", bad, resp.StatusCode, object)
		}
		a.failures = newLimiter(3, a.failures.now)
	}
	a.now = a.now.Add(time.Hour)
	if resp, object := get("Authorization: Bearer " + token); resp.StatusCode != 401 || errorCode(object) != "expired" {
		t.Errorf("an old ticket: %d %v", resp.StatusCode, object)
	}
}

func TestFailedTicketsAreLimited(t *testing.T) {
	a := newAPITest(config.GuestsLoopback)
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
			t.Errorf("one who only lacks an invite: %d %v", resp.StatusCode, object)
		}
	}
}

func TestHealth(t *testing.T) {
	a := newAPITest(config.GuestsLoopback)
	status := func(path string) int {
		resp, _ := a.do("GET", path, "", request(stranger, "turn.example.org"))
		return resp.StatusCode
	}
	if status("/healthz") != 200 || status("/readyz") != 503 {
		t.Errorf("while starting: healthz %d, readyz %d", status("/healthz"), status("/readyz"))
	}
	a.ready.Store(true)
	if status("/readyz") != 200 {
		t.Errorf("when ready: readyz %d", status("/readyz"))
	}
	if status("/api/v2/tickets") != 404 {
		t.Error("an unknown API path is not 404")
	}
}

// TestRelays: who has the credential is told about their relay, and nobody about another's.
func TestRelays(t *testing.T) {
	test := newAPITest("never")
	at := netip.MustParseAddrPort("[2001:db8::9]:50000")
	test.offloads = func(relayed netip.AddrPort, who *auth.Grant) (bool, bool) {
		return true, relayed == at && who.Session == "S1"
	}
	ask := func(path string, cred auth.Credential) (int, map[string]any) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(cred.Username, cred.Password)
		resp, body := test.do(http.MethodGet, "/api/v1/relays/"+path, "", r)
		return resp.StatusCode, body
	}
	mine, other := test.creds.MintSession("S1", "ann", time.Hour), test.creds.MintSession("S2", "ben", time.Hour)
	const escaped = "%5B2001%3Adb8%3A%3A9%5D%3A50000" // as the SDK writes it
	for _, row := range []struct {
		path   string
		cred   auth.Credential
		status int
	}{
		{escaped, mine, 200}, {"[2001:db8::9]:50000", mine, 200}, {"203.0.113.9:50000", mine, 404}, {escaped, other, 404},
		{"somewhere", mine, 400}, {escaped, auth.Credential{Username: mine.Username, Password: "guessed"}, 401}, {escaped, auth.Credential{}, 401},
	} {
		status, body := ask(row.path, row.cred)
		if status != row.status || status == 200 && body["offloaded"] != true {
			t.Errorf("%s: %d %v, want %d", row.path, status, body, row.status)
		}
	}
}
