package httpapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// testSessions stands for signaling: a token is the name of a session.
type testSessions struct {
	callers map[string]Caller
	keptOut map[[2]string]bool // user, room
}

func (s *testSessions) Caller(token string) (Caller, bool, error) {
	switch token {
	case "forged":
		return Caller{}, false, auth.ErrUnauthorized
	case "expired":
		return Caller{}, false, auth.ErrExpired
	}
	c, found := s.callers[token]
	return c, found, nil
}

func (s *testSessions) KeptOut(user, room string) bool { return s.keptOut[[2]string{user, room}] }

// testInvites stands for the ledger.
type testInvites struct {
	now     func() time.Time
	entries map[string]*auth.LedgerEntry
	order   []string
	fails   error
}

func newTestInvites(now func() time.Time) *testInvites {
	return &testInvites{now: now, entries: map[string]*auth.LedgerEntry{}}
}

func (t *testInvites) Refresh() error { return nil }

func (t *testInvites) add(e auth.LedgerEntry) {
	t.entries[e.ID] = &e
	t.order = append(t.order, e.ID)
}

func (t *testInvites) RecordOwn(inv auth.Invite, by auth.Ticket, atOnce int) error {
	user := by.User.String()
	if t.fails != nil {
		return t.fails
	}
	if len(t.ListOwn(user)) >= atOnce {
		return auth.ErrTooManyInvites
	}
	t.add(auth.LedgerEntry{Invite: inv, By: user, Parent: by.Invite})
	return nil
}

func (t *testInvites) ListOwn(user string) (own []auth.LedgerEntry) {
	for _, id := range t.order {
		if e := t.entries[id]; e.By == user && !e.Revoked {
			own = append(own, *e)
		}
	}
	return own
}

func (t *testInvites) RevokeOwn(id, user string) error {
	e := t.entries[id]
	if e == nil || e.By != user {
		return auth.ErrNoSuchInvite
	}
	e.Revoked = true
	return t.fails
}

func (t *testInvites) Find(id string) (auth.LedgerEntry, bool) {
	if e := t.entries[id]; e != nil {
		return *e, true
	}
	return auth.LedgerEntry{}, false
}

func ticketOf(subject string, role auth.Role, rooms ...string) auth.Ticket {
	return auth.Ticket{User: auth.User{Issuer: "turnpike", Subject: subject}, Role: role, Rooms: rooms}
}

// newInvitesTest is an API with sessions of each kind.
func newInvitesTest(guests Guests) (*apiTest, *testSessions, *testInvites) {
	a := newAPITest(guests)
	sessions, invites := a.cfg.Sessions.(*testSessions), a.cfg.OwnInvites.(*testInvites)
	byInvite := ticketOf("guest", auth.RoleGuest, "standup")
	byInvite.Invite = "root"
	byOld := ticketOf("old", auth.RoleMember, "*")
	byOld.Invite = "old"
	byUnknown := ticketOf("lost", auth.RoleMember, "*")
	byUnknown.Invite = "lost"
	sessions.callers = map[string]Caller{
		"member":    {Ticket: ticketOf("ada", auth.RoleMember, "standup", "team-*"), SeesAll: true},
		"moderator": {Ticket: ticketOf("mo", auth.RoleModerator, "*"), SeesAll: true},
		"apart":     {Ticket: auth.Ticket{User: auth.User{Issuer: "app", Subject: "u1"}, Role: auth.RoleMember, Rooms: []string{"*"}}},
		"guest":     {Ticket: byInvite, Rooms: []string{"standup"}},
		"host":      {Ticket: byInvite, Rooms: []string{"standup", "lab"}, Hosts: []string{"standup"}},
		"visitor":   {Ticket: ticketOf("any", auth.RoleGuest, "*"), Rooms: []string{"lab"}, Hosts: []string{"lab"}},
		"old":       {Ticket: byOld, SeesAll: true},
		"lost":      {Ticket: byUnknown, SeesAll: true},
	}
	invites.add(auth.LedgerEntry{Invite: auth.Invite{ID: "root", Room: "standup", Role: auth.RoleGuest, Uses: 5, Expires: a.now.Add(2 * time.Hour).UTC()}, Used: 3})
	invites.add(auth.LedgerEntry{Invite: auth.Invite{ID: "old", Room: "standup", Role: auth.RoleMember, Expires: a.now.Add(30 * time.Second).UTC()}})
	return a, sessions, invites
}

func (test *apiTest) as(session, method, path, body string) (*http.Response, map[string]any) {
	return test.do(method, path, body, request(stranger, "turn.example.org", "Authorization: Bearer "+session))
}

func TestUserMakesAnInvite(t *testing.T) {
	a, _, invites := newInvitesTest(GuestsNever)
	a.cfg.PublicOrigin = "https://turn.example.org"
	resp, made := a.as("member", "POST", "/api/v1/invites", `{"room":"Team-Red","role":"member","uses":2,"expiresIn":3600}`)
	if resp.StatusCode != 200 {
		t.Fatalf("%d %v", resp.StatusCode, made)
	}
	token, _ := made["invite"].(string)
	inv, err := a.cfg.Invites.Verify(token)
	if err != nil || inv.Room != "team-red" || inv.Role != auth.RoleMember || inv.Uses != 2 || !inv.Expires.Equal(a.now.Add(time.Hour)) {
		t.Errorf("the invite is %+v, %v", inv, err)
	}
	if want := "https://turn.example.org/r/team-red#invite=" + token; made["link"] != want || made["id"] != inv.ID || made["used"] != 0.0 {
		t.Errorf("answered %v, want the link %s", made, want)
	}
	if got := invites.entries[inv.ID]; got == nil || got.By != "turnpike:ada" {
		t.Errorf("recorded %+v", got)
	}
	if resp, object := a.do("POST", "/api/v1/tickets", fmt.Sprintf(`{"name":"Eve","invite":%q}`, token), request(stranger, "turn.example.org")); resp.StatusCode != 200 {
		t.Errorf("the invite admits nobody: %d %v", resp.StatusCode, object)
	}
	_, byDefault := a.as("member", "POST", "/api/v1/invites", `{"room":"standup"}`)
	if byDefault["role"] != "guest" || byDefault["uses"] != 0.0 || byDefault["expires"] != a.now.Add(24*time.Hour).UTC().Format(time.RFC3339) {
		t.Errorf("by default it is %v", byDefault)
	}
	a.cfg.InviteMaxTTL = time.Hour
	invites.entries[byDefault["id"].(string)].Revoked = true
	if _, short := a.as("member", "POST", "/api/v1/invites", `{"room":"standup"}`); short["expires"] != a.now.Add(time.Hour).UTC().Format(time.RFC3339) {
		t.Errorf("by default, where a day is too long, it is %v", short)
	}
}

// TestInviteRefusals has each reason for which a user gets no invite.
func TestInviteRefusals(t *testing.T) {
	ok := `{"room":"standup"}`
	rows := []struct {
		name, session, body string
		guests              Guests
		edit                func(*apiTest, *testSessions, *testInvites)
		status              int
		code, field         string
	}{
		{name: "a member, to a room of the ticket", session: "member", body: ok, status: 200},
		{name: "no token", session: "", body: ok, status: 401, code: "unauthorized"},
		{name: "a forged token", session: "forged", body: ok, status: 401, code: "unauthorized"},
		{name: "an expired token", session: "expired", body: ok, status: 401, code: "no-such-session"},
		{name: "a session that is over", session: "nobody", body: ok, status: 401, code: "no-such-session"},
		{name: "no room", session: "member", body: `{}`, status: 400, code: "bad-request", field: "room"},
		{name: "a bad room", session: "member", body: `{"room":"-"}`, status: 400, code: "bad-request", field: "room"},
		{name: "no text", session: "member", body: `{"room":7}`, status: 400, code: "bad-request", field: "room"},
		{name: "no object", session: "member", body: `[`, status: 400, code: "bad-request"},
		{name: "negative uses", session: "member", body: `{"room":"standup","uses":-1}`, status: 400, code: "bad-request", field: "uses"},
		{name: "an unknown role", session: "member", body: `{"room":"standup","role":"king"}`, status: 400, code: "bad-request", field: "role"},
		{name: "too short", session: "member", body: `{"room":"standup","expiresIn":59}`, status: 400, code: "bad-request", field: "expiresIn"},
		{name: "too long", session: "member", body: `{"room":"standup","expiresIn":604801}`, status: 400, code: "bad-request", field: "expiresIn"},
		{name: "the longest", session: "member", body: `{"room":"standup","expiresIn":604800}`, status: 200},
		{name: "a room that the ticket does not open", session: "member", body: `{"room":"board"}`, status: 403, code: "forbidden", field: "room"},
		{name: "a role above a member's", session: "member", body: `{"room":"standup","role":"moderator"}`, status: 403, code: "forbidden", field: "role"},
		{name: "a moderator's own role", session: "moderator", body: `{"room":"standup","role":"moderator"}`, status: 200},
		{name: "a role above a moderator's", session: "moderator", body: `{"room":"standup","role":"admin"}`, status: 403, code: "forbidden", field: "role"},
		{name: "a member's role, from an app whose members do not see everybody", session: "apart", body: `{"room":"standup","role":"member"}`, status: 403, code: "forbidden", field: "role"},
		{name: "a guest's role, from there", session: "apart", body: ok, status: 200},
		{name: "a guest", session: "guest", body: ok, status: 403, code: "forbidden"},
		{name: "a guest who hosts", session: "host", body: ok, status: 200},
		{name: "a guest who hosts, as a member", session: "host", body: `{"room":"standup","role":"member"}`, status: 403, code: "forbidden", field: "role"},
		{name: "a guest who hosts another room", session: "host", body: `{"room":"lab"}`, status: 403, code: "forbidden", field: "room"},
		{name: "a guest, where guests may", session: "guest", body: ok, edit: guestsMay, status: 200},
		{name: "a guest, where guests may, to a room elsewhere", session: "visitor", body: ok, edit: guestsMay, status: 403, code: "forbidden", field: "room"},
		{name: "a guest who hosts, where everybody gets in", session: "visitor", body: `{"room":"lab"}`, guests: GuestsAlways, status: 403, code: "forbidden"},
		{name: "a user whom the host has kicked", session: "member", body: ok, edit: func(_ *apiTest, s *testSessions, _ *testInvites) {
			s.keptOut = map[[2]string]bool{{"turnpike:ada", "standup"}: true}
		}, status: 403, code: "forbidden", field: "room"},
		{name: "a user who was thrown out meanwhile", session: "member", body: ok, edit: fails(auth.ErrKicked), status: 403, code: "forbidden"},
		{name: "a user whose invite was revoked meanwhile", session: "member", body: ok, edit: fails(auth.ErrInviteRevoked), status: 403, code: "forbidden"},
		{name: "a user whose invite has half a minute left", session: "old", body: ok, status: 403, code: "forbidden"},
		{name: "a user whose invite nobody knows", session: "lost", body: ok, status: 403, code: "forbidden"},
		{name: "where users make none", session: "member", body: ok, edit: func(a *apiTest, _ *testSessions, _ *testInvites) { a.cfg.InviteMaxTTL = 0 }, status: 403, code: "forbidden"},
		{name: "one too many", session: "member", body: ok, edit: func(a *apiTest, _ *testSessions, _ *testInvites) { a.cfg.InvitesEach = 0 }, status: 403, code: "too-many-invites"},
		{name: "more than the server keeps", session: "member", body: ok, edit: fails(auth.ErrInvitesFull), status: 503, code: "too-many-invites"},
		{name: "a disk that is full", session: "member", body: ok, edit: fails(fmt.Errorf("no space")), status: 500, code: "internal"},
	}
	for _, row := range rows {
		a, sessions, invites := newInvitesTest(row.guests)
		if row.edit != nil {
			row.edit(a, sessions, invites)
		}
		resp, object := a.as(row.session, "POST", "/api/v1/invites", row.body)
		answer, _ := object["error"].(map[string]any)
		if field, _ := answer["field"].(string); resp.StatusCode != row.status || errorCode(object) != row.code || field != row.field {
			t.Errorf("%s: %d %v, want %d %s about %q", row.name, resp.StatusCode, object, row.status, row.code, row.field)
		}
		if strings.Contains(fmt.Sprint(object), "no space") {
			t.Errorf("%s: the client learns %v", row.name, object)
		}
	}
}

func guestsMay(a *apiTest, _ *testSessions, _ *testInvites) { a.cfg.GuestInvites = true }

func fails(err error) func(*apiTest, *testSessions, *testInvites) {
	return func(_ *apiTest, _ *testSessions, invites *testInvites) { invites.fails = err }
}

// TestInviteEndsWithItsParent: nobody stays longer by inviting himself.
func TestInviteEndsWithItsParent(t *testing.T) {
	a, _, _ := newInvitesTest(GuestsNever)
	_, made := a.as("host", "POST", "/api/v1/invites", `{"room":"standup","expiresIn":86400}`)
	if want := a.now.Add(2 * time.Hour).UTC().Format(time.RFC3339); made["expires"] != want {
		t.Errorf("made %v, want one until %s", made, want)
	}
}

func TestUserListsAndRevokes(t *testing.T) {
	a, _, invites := newInvitesTest(GuestsNever)
	_, first := a.as("member", "POST", "/api/v1/invites", `{"room":"standup"}`)
	_, second := a.as("member", "POST", "/api/v1/invites", `{"room":"team-red","uses":3}`)
	invites.entries[second["id"].(string)].Used = 1
	second["used"] = 1.0
	resp, object := a.as("member", "GET", "/api/v1/invites", "")
	if want := []any{first, second}; resp.StatusCode != 200 || !reflect.DeepEqual(object["invites"], want) || object["yours"] != nil || !reflect.DeepEqual(object["roles"], []any{"guest", "member"}) {
		t.Errorf("a member sees %d %v, want %v", resp.StatusCode, object, want)
	}
	id := first["id"].(string)
	for session, status := range map[string]int{"moderator": 404, "forged": 401, "nobody": 401, "": 401} {
		if resp, object := a.as(session, "DELETE", "/api/v1/invites/"+id, ""); resp.StatusCode != status || invites.entries[id].Revoked {
			t.Errorf("revoked by %q: %d %v", session, resp.StatusCode, object)
		}
	}
	if resp, object := a.as("member", "DELETE", "/api/v1/invites/root", ""); resp.StatusCode != 404 || errorCode(object) != "not-found" || invites.entries["root"].Revoked {
		t.Errorf("the operator's, revoked by a member: %d %v", resp.StatusCode, object)
	}
	if resp, object := a.as("member", "DELETE", "/api/v1/invites/"+id, ""); resp.StatusCode != 200 || !invites.entries[id].Revoked {
		t.Errorf("revoked by its maker: %d %v", resp.StatusCode, object)
	}
	if _, object := a.as("member", "GET", "/api/v1/invites", ""); !reflect.DeepEqual(object["invites"], []any{second}) {
		t.Errorf("a member sees %v, after one was revoked", object)
	}
}

// TestGuestLearnsWhatIsLeft: a guest's link can carry the guest's own invite while uses are left.
func TestGuestLearnsWhatIsLeft(t *testing.T) {
	a, _, invites := newInvitesTest(GuestsNever)
	resp, object := a.as("guest", "GET", "/api/v1/invites", "")
	want := map[string]any{"room": "standup", "role": "guest", "uses": 5.0, "used": 3.0, "expires": a.now.Add(2 * time.Hour).UTC().Format(time.RFC3339)}
	if resp.StatusCode != 200 || !reflect.DeepEqual(object["yours"], want) || !reflect.DeepEqual(object["roles"], []any{}) || !reflect.DeepEqual(object["invites"], []any{}) {
		t.Errorf("a guest sees %d %v, want %v", resp.StatusCode, object, want)
	}
	invites.entries["root"].Revoked = true
	if _, object := a.as("guest", "GET", "/api/v1/invites", ""); object["yours"] != nil {
		t.Errorf("a guest whose invite was revoked sees %v", object["yours"])
	}
}

// TestKickedUsersInvitesAdmitNobody: who was kicked from a room lets nobody in there, and comes back as nobody else.
func TestKickedUsersInvitesAdmitNobody(t *testing.T) {
	a, sessions, _ := newInvitesTest(GuestsNever)
	_, made := a.as("member", "POST", "/api/v1/invites", `{"room":"standup"}`)
	sessions.keptOut = map[[2]string]bool{{"turnpike:ada", "standup"}: true}
	body := fmt.Sprintf(`{"name":"Eve","invite":%q}`, made["invite"])
	if resp, object := a.do("POST", "/api/v1/tickets", body, request(stranger, "turn.example.org")); resp.StatusCode != 403 || errorCode(object) != "invite-revoked" {
		t.Errorf("%d %v", resp.StatusCode, object)
	}
}

// TestInviteRate: one user's requests wait, another's do not, and bad tokens count for their address.
func TestInviteRate(t *testing.T) {
	a, _, _ := newInvitesTest(GuestsNever)
	for i := range 10 {
		if resp, object := a.as("member", "GET", "/api/v1/invites", ""); resp.StatusCode != 200 {
			t.Fatalf("request %d: %d %v", i, resp.StatusCode, object)
		}
	}
	for _, method := range []string{"GET", "POST"} {
		if resp, object := a.as("member", method, "/api/v1/invites", `{"room":"standup"}`); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "6" {
			t.Errorf("one more %s: %d %v", method, resp.StatusCode, object)
		}
	}
	if resp, _ := a.as("member", "DELETE", "/api/v1/invites/root", ""); resp.StatusCode != 429 {
		t.Errorf("one more DELETE: %d", resp.StatusCode)
	}
	if resp, _ := a.as("moderator", "GET", "/api/v1/invites", ""); resp.StatusCode != 200 {
		t.Errorf("another user: %d", resp.StatusCode)
	}
	for range 3 {
		a.as("nobody", "GET", "/api/v1/invites", "") // costs nothing
	}
	for range 3 {
		a.as("forged", "GET", "/api/v1/invites", "")
	}
	if resp, _ := a.as("forged", "GET", "/api/v1/invites", ""); resp.StatusCode != 429 {
		t.Errorf("a fourth guess: %d", resp.StatusCode)
	}
}

func TestInvitesCORS(t *testing.T) {
	a, _, _ := newInvitesTest(GuestsNever)
	from := request(stranger, "turn.example.org", "Origin: https://app.example.org", "Access-Control-Request-Method: POST")
	for path, want := range map[string]string{"/api/v1/invites": "GET, POST", "/api/v1/invites/x": "DELETE"} {
		if resp, _ := a.do("OPTIONS", path, "", from); resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Methods") != want {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
		if resp, _ := a.do("PUT", path, "", request(stranger, "turn.example.org")); resp.StatusCode != 405 || resp.Header.Get("Allow") != want {
			t.Errorf("PUT %s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
}

// TestRefusedOriginsAreLogged: over HTTP, once a minute, with the line that would mend it.
func TestRefusedOriginsAreLogged(t *testing.T) {
	a := newAPITest(GuestsAlways)
	var logged bytes.Buffer
	now := a.now
	a.cfg.OriginRefused = OriginNotice([]string{"https://app.example.org"}, func() time.Time { return now }, slog.New(slog.NewTextHandler(&logged, nil)))
	post := func(origin string) string {
		logged.Reset()
		if resp, _ := a.do("POST", "/api/v1/tickets", `{"name":"Ada"}`, request(stranger, "turn.example.org", "Origin: "+origin)); resp.StatusCode != 403 {
			t.Errorf("%s: %d", origin, resp.StatusCode)
		}
		now = now.Add(time.Minute)
		return logged.String()
	}
	want := `mend="http.allowed_origins = [\\\"https://app.example.org\\\", \\\"https://other.example:8443\\\"]"`
	want = strings.ReplaceAll(want, `\\\"`, `\"`)
	if got := post("https://Other.example:8443"); !strings.Contains(got, "level=WARN") || !strings.Contains(got, want) {
		t.Errorf("logged %s, want %s", got, want)
	}
	for _, odd := range []string{"null", "https://a.example/path", "https://" + strings.Repeat("a", 400), "x\ny"} {
		if got := post(odd); strings.Contains(got, "allowed_origins") || strings.Count(got, "\n") != 1 || len(got) > 600 {
			t.Errorf("%.20q: logged %s", odd, got)
		}
	}
	post("https://one.example")
	now = now.Add(-time.Second)
	if got := post("https://two.example"); got != "" {
		t.Errorf("twice within a minute: %s", got)
	}
	if !slices.Equal(a.cfg.AllowedOrigins, []string{"https://app.example.org"}) {
		t.Errorf("allowed are %v", a.cfg.AllowedOrigins)
	}
}

// TestInviteLinksLeadHere: a link has public_host, or without one the host by which its maker came.
func TestInviteLinksLeadHere(t *testing.T) {
	a, _, _ := newInvitesTest(GuestsNever)
	a.cfg.InvitesEach = 9
	for _, row := range []struct{ origin, public, from, host, header, want string }{
		{"https://turn.example.org", "https://turn.example.org", stranger, "10.0.0.5:8080", "", "https://turn.example.org"},
		{"", "http://127.0.0.1:8080", stranger, "nas.local:8080", "", "http://nas.local:8080"},
		{"", "https://127.0.0.1:8443", stranger, "nas.local:8443", "", "https://nas.local:8443"},
		{"", "http://127.0.0.1:8080", "10.0.0.1:1", "turn.example.org", "X-Forwarded-Proto: https", "https://turn.example.org"},
		{"", "http://127.0.0.1:8080", stranger, "turn.example.org", "X-Forwarded-Proto: https", "http://turn.example.org"}, // from no trusted proxy
	} {
		a.cfg.PublicOrigin, a.cfg.PublicURL = row.origin, func() string { return row.public }
		headers := []string{"Authorization: Bearer moderator"}
		if row.header != "" {
			headers = append(headers, row.header)
		}
		_, made := a.do("POST", "/api/v1/invites", `{"room":"standup"}`, request(row.from, row.host, headers...))
		if link, _ := made["link"].(string); !strings.HasPrefix(link, row.want+"/r/standup#invite=") {
			t.Errorf("%+v: %v", row, made)
		}
	}
}
