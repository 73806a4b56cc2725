package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// codesTest is an API with people who have tickets.
type codesTest struct {
	*apiTest
	t   *testing.T
	log bytes.Buffer
}

func newCodesTest(t *testing.T, guests Guests, edit func(*Config)) *codesTest {
	test := &codesTest{apiTest: newAPITest(guests), t: t}
	cfg := test.cfg
	cfg.Log = slog.New(slog.NewTextHandler(&test.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if edit != nil {
		edit(&cfg)
	}
	test.API = New(cfg)
	mux := http.NewServeMux()
	test.Register(mux)
	test.handler = mux
	return test
}

// ticket makes a ticket of ours for all rooms.
func (test *codesTest) ticket(subject string, role auth.Role) string {
	test.t.Helper()
	token, _, err := test.cfg.Tickets.Issue(auth.Ticket{User: auth.User{Subject: subject}, Name: "Name of " + subject, Role: role, Rooms: []string{"*"}}, time.Hour)
	if err != nil {
		test.t.Fatal(err)
	}
	return token
}

// ask sends a request of the holder of a ticket; empty: of somebody who has none.
func (test *codesTest) ask(ticket, method, path, body string) (int, map[string]any) {
	test.t.Helper()
	headers := []string{}
	if ticket != "" {
		headers = append(headers, "Authorization: Bearer "+ticket)
	}
	resp, object := test.do(method, path, body, request(stranger, "turn.example.org", headers...))
	return resp.StatusCode, object
}

// must is ask that must succeed, and returns the ticket in the answer, too.
func (test *codesTest) must(ticket, method, path, body string) (answer map[string]any, verified auth.Ticket) {
	test.t.Helper()
	status, answer := test.ask(ticket, method, path, body)
	if status != 200 {
		test.t.Fatalf("%s %s %s: %d %v", method, path, body, status, answer)
	}
	token, _ := answer["ticket"].(string)
	verified, err := test.cfg.Tickets.Verify(token)
	if err != nil {
		test.t.Fatalf("%s %s: the ticket %q: %v", method, path, token, err)
	}
	return answer, verified
}

// refused holds that a request fails as it should.
func (test *codesTest) refused(ticket, method, path, body string, status int, code string) {
	test.t.Helper()
	if got, object := test.ask(ticket, method, path, body); got != status || errorCode(object) != code {
		test.t.Errorf("%s %s %s: %d %v, want %d %s", method, path, body, got, object, status, code)
	}
}

const codes = "/api/v1/codes"

func TestCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	ada := test.ticket("ada", auth.RoleMember)
	answer, maker := test.must(ada, "POST", codes, `{"receivers": 2}`)
	room, _ := answer["room"].(string)
	if answer["slot"] != 1.0 || !auth.IsCodeRoom(room) || answer["name"] != "Name of ada" || answer["expires"] != test.now.Add(10*time.Minute).UTC().Format(time.RFC3339) {
		t.Errorf("the code is %v", answer)
	}
	if maker.User.Subject != "ada" || maker.Role != auth.RoleMember || maker.Seats != 3 || !maker.AllowsRoom(room) || maker.AllowsRoom("standup") || maker.AllowsRoom("code-1-other") {
		t.Errorf("the maker's ticket is %+v", maker)
	}
	taken, guest := test.must("", "POST", codes+"/1", `{"name": "Eve"}`)
	if taken["room"] != room || taken["name"] != "Eve" || taken["slot"] != 1.0 || taken["expires"] != answer["expires"] {
		t.Errorf("the answer to the one who comes is %v", taken)
	}
	if guest.User == maker.User || guest.Role != auth.RoleGuest || guest.Seats != 3 || !guest.AllowsRoom(room) || guest.AllowsRoom("standup") || !guest.Chosen || guest.WalkIn {
		t.Errorf("the guest's ticket is %+v", guest)
	}
	_, other := test.must("", "POST", codes+"/1", `{"name": "Dan"}`)
	if other.User == guest.User {
		t.Errorf("two who came are one user, %v", other.User)
	}
	test.refused("", "POST", codes+"/1", `{"name": "Cy"}`, 403, "code-used")
	test.must(ada, "PATCH", codes+"/1", `{"receivers": 1}`)
	_, back := test.must("", "POST", codes+"/1", `{"name": "Dan"}`)
	if back.Seats != 4 {
		t.Errorf("the room has %d seats, want 4: two came, and one of them again", back.Seats)
	}
	if status, object := test.ask(ada, "DELETE", codes+"/1", ""); status != 200 {
		t.Errorf("burning: %d %v", status, object)
	}
	test.refused("", "POST", codes+"/1", `{"name": "Cy"}`, 404, "no-such-code")
	test.refused(ada, "PATCH", codes+"/1", `{}`, 404, "no-such-code")
	test.refused(ada, "DELETE", codes+"/1", "", 404, "no-such-code")
	if answer, _ := test.must(ada, "POST", codes, `{}`); answer["slot"] != 2.0 {
		t.Errorf("the number that was just burnt was given out: %v", answer["slot"])
	}
}

func TestWhoMakesCodes(t *testing.T) {
	for _, try := range []struct {
		guests Guests
		role   auth.Role
		may    bool
	}{
		{GuestsNever, auth.RoleGuest, false}, {GuestsNever, auth.RoleMember, true}, {GuestsNever, auth.RoleModerator, true}, {GuestsNever, auth.RoleAdmin, true},
		{GuestsLoopback, auth.RoleGuest, false}, {GuestsLoopback, auth.RoleMember, true},
		{GuestsAlways, auth.RoleGuest, true}, {GuestsAlways, auth.RoleMember, true},
	} {
		test := newCodesTest(t, try.guests, nil)
		status, object := test.ask(test.ticket("ada", try.role), "POST", codes, `{}`)
		if may := status == 200; may != try.may || !may && (status != 403 || errorCode(object) != "forbidden") {
			t.Errorf("guests = %q, role %s: %d %v", try.guests, try.role, status, object)
		}
	}
}

func TestServerWithoutCodes(t *testing.T) {
	test := newCodesTest(t, GuestsAlways, func(cfg *Config) { cfg.Codes = 0 })
	test.refused(test.ticket("ada", auth.RoleAdmin), "POST", codes, `{}`, 403, "forbidden")
}

// TestGuestsOfThisMachineMakeCodes: with guests = "loopback", people here are members.
func TestGuestsOfThisMachineMakeCodes(t *testing.T) {
	test := newCodesTest(t, GuestsLoopback, nil)
	_, object := test.do("POST", "/api/v1/tickets", `{"name":"Ada"}`, request("127.0.0.1:4711", "localhost:8080"))
	token, _ := object["ticket"].(string)
	if _, maker := test.must(token, "POST", codes, `{}`); !maker.WalkIn || maker.Role != auth.RoleMember {
		t.Errorf("the maker's ticket is %+v", maker)
	}
}

func TestBadRequestsAboutCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	ada, bob := test.ticket("ada", auth.RoleMember), test.ticket("bob", auth.RoleAdmin)
	made, _ := test.must(ada, "POST", codes, `{}`)
	for _, body := range []string{`{"receivers": 0}`, `{"receivers": 16}`, `{"receivers": -1}`, `{"receivers": "1"}`, `{"receivers": 1.5}`, `{"receivers": 1e9}`, `[]`, `{} {}`, `x`} {
		test.refused(ada, "POST", codes, body, 400, "bad-request")
	}
	for _, body := range []string{`{"receivers": 16}`, `{"receivers": -1}`, `x`} {
		test.refused(ada, "PATCH", codes+"/1", body, 400, "bad-request")
	}
	for _, number := range []string{"2", "0", "-1", "01", "+1", "1x", "99999999999999999999", "%31x", "x"} {
		test.refused("", "POST", codes+"/"+number, `{"name": "Eve"}`, 404, "no-such-code")
		test.refused(ada, "PATCH", codes+"/"+number, `{}`, 404, "no-such-code")
		test.refused(ada, "DELETE", codes+"/"+number, "", 404, "no-such-code")
	}
	test.refused("", "POST", codes, `{}`, 401, "unauthorized")
	test.refused("", "PATCH", codes+"/1", `{}`, 401, "unauthorized")
	test.refused("", "DELETE", codes+"/1", "", 401, "unauthorized")
	test.refused("forged", "POST", codes, `{}`, 401, "unauthorized")
	test.refused(bob, "PATCH", codes+"/1", `{"receivers": 15}`, 403, "forbidden")
	test.refused(bob, "DELETE", codes+"/1", "", 403, "forbidden")
	test.refused(ada, "GET", codes+"/1", "", 405, "method-not-allowed")
	test.refused(ada, "GET", codes, "", 405, "method-not-allowed")
	// A bad name costs nobody the place.
	test.refused("", "POST", codes+"/1", `{"name": ""}`, 400, "bad-request")
	test.refused("", "POST", codes+"/1", `{}`, 400, "bad-request")
	test.refused("", "POST", codes+"/1", `{"name": "Bob"}`, 409, "name-taken")
	// Tickets of codes are for their rooms alone.
	test.refused(made["ticket"].(string), "POST", codes, `{}`, 403, "forbidden")
	test.refused(made["ticket"].(string), "GET", "/api/v1/ice-servers", "", 403, "forbidden")
	taken, _ := test.must("", "POST", codes+"/1", `{"name": "Eve"}`)
	test.refused(taken["ticket"].(string), "PATCH", codes+"/1", `{"receivers": 15}`, 403, "forbidden")
	test.refused(taken["ticket"].(string), "DELETE", codes+"/1", "", 403, "forbidden")
}

// TestMakersTicketRenews: the ticket of the code itself keeps it going, so that a transfer may take longer than any ticket.
func TestMakersTicketRenews(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	answer, _ := test.must(test.ticket("ada", auth.RoleMember), "POST", codes, `{}`)
	for range 20 {
		test.now = test.now.Add(9 * time.Minute)
		renewed, maker := test.must(answer["ticket"].(string), "PATCH", codes+"/1", `{}`)
		if maker.User.Subject != "ada" || maker.Role != auth.RoleMember || maker.Seats != 2 || maker.Rooms[0] != answer["room"] || renewed["slot"] != 1.0 || renewed["name"] != "Name of ada" {
			t.Fatalf("renewed: %v, %+v", renewed, maker)
		}
		answer = renewed
	}
	test.now = test.now.Add(10 * time.Minute)
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 404, "no-such-code")
}

// TestMakersTicketLivesAsItsCode, or nobody could renew the code where tickets are short.
func TestMakersTicketLivesAsItsCode(t *testing.T) {
	test := newCodesTest(t, GuestsNever, func(cfg *Config) { cfg.TicketTTL = time.Minute })
	if _, maker := test.must(test.ticket("ada", auth.RoleMember), "POST", codes, `{}`); !maker.Expires.Equal(test.now.Add(10 * time.Minute)) {
		t.Errorf("the maker's expires at %v", maker.Expires)
	}
	if _, guest := test.must("", "POST", codes+"/1", `{"name": "Eve"}`); !guest.Expires.Equal(test.now.Add(time.Minute)) {
		t.Errorf("the guest's expires at %v", guest.Expires)
	}
}

// TestTicketsEndWithTheirCode: nobody who took a code comes later than the code holds.
func TestTicketsEndWithTheirCode(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	test.must(test.ticket("ada", auth.RoleMember), "POST", codes, `{}`)
	test.now = test.now.Add(8 * time.Minute)
	if _, guest := test.must("", "POST", codes+"/1", `{"name": "Eve"}`); !guest.Expires.Equal(test.now.Add(2 * time.Minute)) {
		t.Errorf("it expires at %v, and it is %v", guest.Expires, test.now)
	}
}

// TestMakersOfOtherIssuers: an app's user makes codes as the user that it is, for as long as the app lets sessions last.
func TestMakersOfOtherIssuers(t *testing.T) {
	app := auth.Ticket{ID: "t", User: auth.User{Issuer: "app", Subject: "u|1"}, Name: "Ada", Role: auth.RoleMember, Rooms: []string{"*"}}
	var own func(string) (auth.Ticket, error)
	test := newCodesTest(t, GuestsNever, func(cfg *Config) {
		cfg.MaxSession = map[string]time.Duration{"app": 5 * time.Minute}
		own = cfg.VerifyTicket
		cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
			if token == "of the app" {
				return app, nil
			}
			return own(token)
		}
	})
	answer, maker := test.must("of the app", "POST", codes, `{}`)
	if maker.User != app.User || maker.Name != "Ada" || maker.Role != auth.RoleMember {
		t.Errorf("the maker's ticket is %+v", maker)
	}
	if want := test.now.Add(5 * time.Minute).UTC().Format(time.RFC3339); answer["expires"] != want {
		t.Errorf("it expires at %v, want %v", answer["expires"], want)
	}
	test.now = test.now.Add(4 * time.Minute)
	renewed, _ := test.must(answer["ticket"].(string), "PATCH", codes+"/1", `{}`)
	if renewed["expires"] != answer["expires"] {
		t.Errorf("renewed, it expires at %v, want %v", renewed["expires"], answer["expires"])
	}
}

// TestKickedMakers make no codes, and those that they have admit nobody.
func TestKickedMakers(t *testing.T) {
	kicked := map[string]bool{}
	refuses := func(tk auth.Ticket) error {
		if kicked[tk.User.Subject] {
			return auth.ErrKicked
		}
		return nil
	}
	test := newCodesTest(t, GuestsAlways, func(cfg *Config) {
		cfg.Refuses = refuses
		verify := cfg.VerifyTicket
		cfg.VerifyTicket = func(token string) (auth.Ticket, error) {
			tk, err := verify(token)
			return tk, errors.Join(err, refuses(tk))
		}
	})
	ada := test.ticket("ada", auth.RoleMember)
	answer, _ := test.must(ada, "POST", codes, `{"receivers": 5}`)
	kicked["ada"] = true
	test.refused(ada, "POST", codes, `{}`, 401, "unauthorized")
	test.refused(ada, "PATCH", codes+"/1", `{}`, 401, "unauthorized")
	test.refused(answer["ticket"].(string), "PATCH", codes+"/1", `{}`, 401, "unauthorized")
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 404, "no-such-code")
	kicked["ada"] = false
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 404, "no-such-code") // it is over for good
}

func TestBoundsOfCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, func(cfg *Config) { cfg.Codes, cfg.CodesEach, cfg.CodesPerAddress = 5, 3, 4 })
	ada, bob := test.ticket("ada", auth.RoleMember), test.ticket("bob", auth.RoleMember)
	for range 3 {
		test.must(ada, "POST", codes, `{}`)
	}
	test.refused(ada, "POST", codes, `{}`, 403, "too-many-codes")
	test.must(bob, "POST", codes, `{}`)
	test.refused(bob, "POST", codes, `{}`, 403, "too-many-codes")
	from := func(address string) *http.Request {
		return request(address, "turn.example.org", "Authorization: Bearer "+bob)
	}
	if resp, object := test.do("POST", codes, `{}`, from("203.0.113.9:1")); resp.StatusCode != 200 {
		t.Errorf("from another address: %d %v", resp.StatusCode, object)
	}
	resp, object := test.do("POST", codes, `{}`, from("203.0.113.9:1"))
	if resp.StatusCode != 503 || errorCode(object) != "too-many-codes" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("when no number is free: %d %v", resp.StatusCode, object)
	}
}

// TestRatesOfCodes: behind a proxy an address is the client's, not the proxy's.
func TestRatesOfCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, func(cfg *Config) { cfg.CodesPerMinute, cfg.CodeTriesPerMinute = 3, 4 })
	ada := test.ticket("ada", auth.RoleMember)
	test.must(ada, "POST", codes, `{"receivers": 15}`)
	test.must(ada, "PATCH", codes+"/1", `{}`)
	test.must(ada, "PATCH", codes+"/1", `{}`)
	for _, method := range []string{"PATCH", "DELETE"} {
		test.refused(ada, method, codes+"/1", `{}`, 429, "rate-limited")
	}
	test.refused(ada, "POST", codes, `{}`, 429, "rate-limited")
	test.must(test.ticket("bob", auth.RoleMember), "POST", codes, `{}`)

	test.now = test.now.Add(waitsEvery) // or the log leaves the next line out
	try := func(client string, number int) (int, string) {
		resp, object := test.do("POST", fmt.Sprint(codes, "/", number), `{"name": "Eve"}`, request("10.0.0.1:4711", "turn.example.org", "X-Forwarded-For: "+client))
		if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
		return resp.StatusCode, errorCode(object)
	}
	for _, number := range []int{7, 1, 8, 9} { // right and wrong ones
		if status, _ := try("198.51.100.1", number); (status == 200) != (number == 1) {
			t.Errorf("number %d: %d", number, status)
		}
	}
	for _, number := range []int{1, 7} {
		if status, code := try("198.51.100.1", number); status != 429 || code != "rate-limited" {
			t.Errorf("after four tries, number %d: %d %s", number, status, code)
		}
	}
	if status, _ := try("198.51.100.2", 1); status != 200 {
		t.Errorf("another client: %d", status)
	}
	test.now = test.now.Add(15 * time.Second)
	if status, _ := try("198.51.100.1", 1); status != 200 {
		t.Errorf("a quarter of a minute later: %d", status)
	}
	if text := test.log.String(); !strings.Contains(text, "limits.code_tries_per_minute_per_address") {
		t.Errorf("the log names no limit:\n%s", text)
	}
}

// TestTakenCodesCountAsTickets, so that the limit of tickets holds for them, too.
func TestTakenCodesCountAsTickets(t *testing.T) {
	test := newCodesTest(t, GuestsNever, func(cfg *Config) { cfg.GrantsPerMinute = 3 })
	ada := test.ticket("ada", auth.RoleMember)
	test.must(ada, "POST", codes, `{"receivers": 15}`)
	test.must("", "POST", codes+"/1", `{"name": "Eve"}`)
	test.must(ada, "PATCH", codes+"/1", `{}`)
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 429, "rate-limited")
}

// TestDrainingServerTakesNoCodes: it lets nobody sign in any more. Those who are there go on.
func TestDrainingServerTakesNoCodes(t *testing.T) {
	draining := false
	test := newCodesTest(t, GuestsNever, func(cfg *Config) {
		cfg.ICEServers = &ICEServers{PublicHost: "turn.example.org", Draining: func() bool { return draining }}
	})
	ada := test.ticket("ada", auth.RoleMember)
	test.must(ada, "POST", codes, `{}`)
	draining = true
	test.refused(ada, "POST", codes, `{}`, 503, "internal")
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 503, "internal")
	test.must(ada, "PATCH", codes+"/1", `{}`)
	draining = false
	test.must("", "POST", codes+"/1", `{"name": "Eve"}`)
}

// TestRestartForgetsCodes: people in the room go on, and the maker learns that nobody else comes.
func TestRestartForgetsCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	answer, _ := test.must(test.ticket("ada", auth.RoleMember), "POST", codes, `{}`)
	test.API = New(test.cfg)
	mux := http.NewServeMux()
	test.Register(mux)
	test.handler = mux
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 404, "no-such-code")
	test.refused(answer["ticket"].(string), "PATCH", codes+"/1", `{}`, 404, "no-such-code")
	if maker, err := test.cfg.VerifyTicket(answer["ticket"].(string)); err != nil || !maker.AllowsRoom(answer["room"].(string)) {
		t.Errorf("the maker cannot come back: %v", err)
	}
}

// TestNobodyInvitesToTheRoomOfACode: people come there by the code alone.
func TestNobodyInvitesToTheRoomOfACode(t *testing.T) {
	a, sessions, _ := newInvitesTest(GuestsNever)
	maker := ticketOf("ada", auth.RoleMember, "code-1-abc")
	maker.Seats = 3
	sessions.callers["maker"] = Caller{Ticket: maker, Rooms: []string{"code-1-abc"}, SeesAll: true}
	if resp, object := a.as("maker", "POST", "/api/v1/invites", `{"room": "code-1-abc"}`); resp.StatusCode != 400 || errorCode(object) != "bad-request" {
		t.Errorf("%d %v", resp.StatusCode, object)
	}
	if resp, object := a.as("maker", "POST", "/api/v1/invites", `{"room": "standup"}`); resp.StatusCode != 403 {
		t.Errorf("to another room: %d %v", resp.StatusCode, object)
	}
	if resp, object := a.as("moderator", "POST", "/api/v1/invites", `{"room": "code-review"}`); resp.StatusCode != 200 {
		t.Errorf("to a room that only sounds like one: %d %v", resp.StatusCode, object)
	}
}

// TestPagesOfOtherOriginsUseCodes as they use the rest of the API.
func TestPagesOfOtherOriginsUseCodes(t *testing.T) {
	test := newCodesTest(t, GuestsNever, nil)
	test.must(test.ticket("ada", auth.RoleMember), "POST", codes, `{}`)
	resp, _ := test.do("OPTIONS", codes+"/1", "", request(stranger, "turn.example.org", "Origin: https://app.example.org", "Access-Control-Request-Method: POST"))
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Methods") != "DELETE, PATCH, POST" {
		t.Errorf("preflight: %d %v", resp.StatusCode, resp.Header)
	}
	resp, _ = test.do("POST", codes+"/1", `{"name":"Eve"}`, request(stranger, "turn.example.org", "Origin: https://evil.example"))
	if resp.StatusCode != 403 {
		t.Errorf("a page of a stranger: %d", resp.StatusCode)
	}
	resp, _ = test.do("POST", codes+"/1", `{"name":"Eve"}`, request(stranger, "turn.example.org", "Content-Type: text/plain", "Origin: http://turn.example.org"))
	if resp.StatusCode != 415 {
		t.Errorf("a form: %d", resp.StatusCode)
	}
	resp, _ = test.do("POST", codes+"/1", `{"name":"Eve"}`, request(stranger, "turn.example.org", "Origin: http://turn.example.org"))
	if resp.StatusCode != 200 {
		t.Errorf("the page of this server: %d", resp.StatusCode)
	}
}

// TestKickedWhileTheyAsk: a maker that is thrown out while the body of its request still comes gets no ticket of after that.
func TestKickedWhileTheyAsk(t *testing.T) {
	var kicked bool
	refuses := func(auth.Ticket) error {
		if kicked {
			return auth.ErrKicked
		}
		return nil
	}
	test := newCodesTest(t, GuestsNever, func(cfg *Config) { cfg.Refuses = refuses })
	ada := test.ticket("ada", auth.RoleMember)
	test.must(ada, "POST", codes, `{"receivers": 2}`)
	for _, row := range [][2]string{{"PATCH", codes + "/1"}, {"POST", codes}} {
		kicked = false
		body := readFunc(func(p []byte) (int, error) {
			kicked = true // the ticket was looked at before
			return copy(p, `{}`), io.EOF
		})
		r := httptest.NewRequest(row[0], row[1], body)
		r.RemoteAddr, r.Host = stranger, "turn.example.org"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+ada)
		w := httptest.NewRecorder()
		test.handler.ServeHTTP(w, r)
		if !kicked || w.Code != 401 || strings.Contains(w.Body.String(), "ticket\":") {
			t.Errorf("%s %s: %d %s", row[0], row[1], w.Code, w.Body)
		}
	}
	test.refused("", "POST", codes+"/1", `{"name": "Eve"}`, 404, "no-such-code")
	kicked = false
	test.refused("", "POST", codes+"/2", `{"name": "Eve"}`, 404, "no-such-code") // nothing is left of what it asked for
}

type readFunc func([]byte) (int, error)

func (read readFunc) Read(p []byte) (int, error) { return read(p) }
