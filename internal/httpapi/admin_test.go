package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// testPeople stands for signaling and relaying.
type testPeople struct {
	users  []User
	rooms  []Room
	kicked []auth.Kick
	fails  error
}

func (p *testPeople) Users() []User { return p.users }
func (p *testPeople) Rooms() []Room { return p.rooms }

func (p *testPeople) Room(name string) (Room, bool) {
	for _, r := range p.rooms {
		if r.Room == name {
			return r, true
		}
	}
	return Room{}, false
}

func (p *testPeople) Kick(who auth.Kick) (int, error) {
	p.kicked = append(p.kicked, who)
	return 2, p.fails
}

// admin sends a request with the key of the test.
func (test *apiTest) admin(method, path, body string) (*http.Response, map[string]any) {
	return test.do(method, "/api/v1/admin"+path, body, request(stranger, "turn.example.org", "Authorization: Bearer "+testAPIKey))
}

// TestAdminNeedsAKey: each path of backends asks for a key, and wrong ones have to wait.
func TestAdminNeedsAKey(t *testing.T) {
	a, _ := newAPIKeyTest()
	paths := a.adminPaths()
	if len(paths) < 7 {
		t.Fatalf("there are %d paths only", len(paths))
	}
	for _, p := range paths {
		a, _ := newAPIKeyTest()
		people := &testPeople{}
		a.cfg.People = people
		path := strings.NewReplacer("{user}", "app:u1", "{room}", "standup").Replace(p.path)
		for _, authorization := range []string{"", "Bearer guess", "Basic " + testAPIKey} {
			resp, object := a.do(p.method, path, "", request(stranger, "turn.example.org", "Authorization: "+authorization))
			if resp.StatusCode != 401 || errorCode(object) != "unauthorized" {
				t.Errorf("%s %s with %q: %d %v", p.method, path, authorization, resp.StatusCode, object)
			}
		}
		if resp, object := a.do(p.method, path+"?key="+testAPIKey[:2], "", request(stranger, "turn.example.org")); resp.StatusCode != 400 {
			t.Errorf("%s with a key in the URL: %d %v", path, resp.StatusCode, object)
		}
		for range 3 {
			a.do(p.method, path, "", request(stranger, "turn.example.org", "Authorization: Bearer guess"))
		}
		if resp, object := a.admin(p.method, strings.TrimPrefix(path, "/api/v1/admin"), ""); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s after four guesses: %d %v", path, resp.StatusCode, object)
		}
		if len(people.kicked) > 0 {
			t.Errorf("%s %s has thrown out %v", p.method, path, people.kicked)
		}
		none := newAPITest(GuestsNever)
		if resp, object := none.do(p.method, path, "", request(stranger, "turn.example.org", "Authorization: Bearer x")); resp.StatusCode != 404 || errorCode(object) != "not-found" {
			t.Errorf("%s with no keys configured: %d %v", path, resp.StatusCode, object)
		}
		wrong := http.MethodPut
		if resp, object := a.do(wrong, path, "", request(stranger, "turn.example.org")); resp.StatusCode != 405 || resp.Header.Get("Allow") != p.method {
			t.Errorf("%s %s: %d %v", wrong, path, resp.StatusCode, object)
		}
	}
}

// TestAdminRate: a backend that runs wild waits, and another address does not.
func TestAdminRate(t *testing.T) {
	a, _ := newAPIKeyTest()
	a.admins, a.lists = newBuckets(60, func() time.Time { return a.now }), newBuckets(6, func() time.Time { return a.now })
	for i := range 6 {
		if resp, object := a.admin("GET", "/users", ""); resp.StatusCode != 200 {
			t.Fatalf("list %d: %d %v", i, resp.StatusCode, object)
		}
	}
	if resp, object := a.admin("GET", "/rooms", ""); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "10" {
		t.Errorf("one list more: %d %v", resp.StatusCode, object)
	}
	for i := range 60 {
		if resp, object := a.admin("DELETE", "/users/app:u1", ""); resp.StatusCode != 200 {
			t.Fatalf("request %d: %d %v", i, resp.StatusCode, object)
		}
	}
	if resp, object := a.admin("DELETE", "/users/app:u1", ""); resp.StatusCode != 429 || errorCode(object) != "rate-limited" || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("one more: %d %v", resp.StatusCode, object)
	}
	other := request("203.0.113.6:1", "turn.example.org", "Authorization: Bearer "+testAPIKey)
	if resp, _ := a.do("GET", "/api/v1/admin/users", "", other); resp.StatusCode != 200 {
		t.Errorf("another address: %d", resp.StatusCode)
	}
}

// TestAdminSocketNeedsNoKey: the socket for the server's user needs no key, also where no key is configured.
func TestAdminSocketNeedsNoKey(t *testing.T) {
	a := newAPITest(GuestsNever)
	people := &testPeople{users: []User{{User: "app:u1", Name: "Ada", Sessions: []Session{}}}}
	a.cfg.People = people
	local := a.Local()
	for request, want := range map[string]int{
		"GET /api/v1/admin/users": 200, "DELETE /api/v1/admin/users/app:u1": 200, "POST /api/v1/admin/users": 405, "GET /api/v1/client": 404, "GET /": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		rec := httptest.NewRecorder()
		local.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != want {
			t.Errorf("%s: %d %s", request, rec.Code, rec.Body)
		}
	}
	if want := []auth.Kick{{User: "app:u1"}}; !reflect.DeepEqual(people.kicked, want) {
		t.Errorf("thrown out are %v", people.kicked)
	}
}

func TestAdminKicks(t *testing.T) {
	a, _ := newAPIKeyTest()
	people := &testPeople{}
	a.cfg.People = people
	for path, want := range map[string]auth.Kick{
		"/users/app:u1":                        {User: "app:u1"},
		"/users/app:a%2Fb%3Fc:d":               {User: "app:a/b?c:d"},
		"/users/app:..%2F..":                   {User: "app:../.."},
		"/rooms/standup/users/turnpike:m3xz7t": {User: "turnpike:m3xz7t", Room: "standup"},
	} {
		people.kicked = nil
		resp, object := a.admin("DELETE", path, "")
		if resp.StatusCode != 200 || object["sessions"] != 2.0 || !reflect.DeepEqual(people.kicked, []auth.Kick{want}) {
			t.Errorf("%s: %d %v, thrown out %v", path, resp.StatusCode, object, people.kicked)
		}
	}
	people.kicked = nil
	for _, path := range []string{"/users/u1", "/users/app:", "/users/:u1", "/users/a%20b:u1", "/users/app:a%0Ab", "/rooms/a%20b/users/app:u1"} {
		if resp, object := a.admin("DELETE", path, ""); resp.StatusCode != 404 || errorCode(object) != "not-found" || len(people.kicked) > 0 {
			t.Errorf("%s: %d %v, thrown out %v", path, resp.StatusCode, object, people.kicked)
		}
	}
	people.fails = errors.New("the disk is full")
	if resp, object := a.admin("DELETE", "/users/app:u1", ""); resp.StatusCode != 500 || errorCode(object) != "internal" || strings.Contains(fmt.Sprint(object), "disk") {
		t.Errorf("a failure: %d %v", resp.StatusCode, object)
	}
}

// TestAdminPages reads long lists page by page: each entry comes once.
func TestAdminPages(t *testing.T) {
	a, _ := newAPIKeyTest()
	people := &testPeople{}
	for i := range 2*pageSize + 1 {
		people.users = append(people.users, User{User: fmt.Sprintf("app:%05d", i)})
		people.rooms = append(people.rooms, Room{Room: fmt.Sprintf("r%05d", i)})
	}
	a.cfg.People = people
	for list, key := range map[string]string{"users": "user", "rooms": "room"} {
		seen, pages, after := map[string]bool{}, 0, ""
		for {
			resp, object := a.admin("GET", "/"+list+"?after="+after, "")
			if resp.StatusCode != 200 {
				t.Fatalf("%d %v", resp.StatusCode, object)
			}
			for _, entry := range object[list].([]any) {
				seen[entry.(map[string]any)[key].(string)] = true
			}
			pages++
			if after, _ = object["next"].(string); after == "" {
				break
			}
		}
		if pages != 3 || len(seen) != 2*pageSize+1 {
			t.Errorf("%s: %d entries on %d pages", list, len(seen), pages)
		}
	}
	if resp, object := a.admin("GET", "/rooms/r00007", ""); resp.StatusCode != 200 || object["room"] != "r00007" {
		t.Errorf("one room: %d %v", resp.StatusCode, object)
	}
	if resp, object := a.admin("GET", "/rooms/nowhere", ""); resp.StatusCode != 404 || errorCode(object) != "not-found" {
		t.Errorf("no room: %d %v", resp.StatusCode, object)
	}
	people.users = nil
	if _, object := a.admin("GET", "/users", ""); fmt.Sprint(object) != "map[users:[]]" {
		t.Errorf("nobody: %v", object)
	}
}

func TestAdminTickets(t *testing.T) {
	a, _ := newAPIKeyTest()
	resp, object := a.admin("POST", "/tickets", `{"user":"u1","name":"  Ada   Lovelace ","rooms":["team-*"],"role":"member","ttl":90}`)
	token, _ := object["ticket"].(string)
	ticket, err := a.cfg.VerifyTicket(token)
	if err != nil || resp.StatusCode != 200 || object["user"] != "turnpike:u1" || ticket.User.String() != "turnpike:u1" || ticket.Name != "Ada Lovelace" || ticket.Chosen ||
		ticket.Role != auth.RoleMember || !reflect.DeepEqual(ticket.Rooms, []string{"team-*"}) || !ticket.Expires.Equal(a.now.Add(90*time.Second)) {
		t.Errorf("%d %v is %+v, %v", resp.StatusCode, object, ticket, err)
	}
	_, object = a.admin("POST", "/tickets", `{"rooms":[]}`)
	token, _ = object["ticket"].(string)
	if ticket, err := a.cfg.VerifyTicket(token); err != nil || ticket.Role != auth.RoleGuest || ticket.AllowsRoom("standup") || !ticket.Expires.Equal(a.now.Add(10*time.Minute)) {
		t.Errorf("the least: %v is %+v, %v", object, ticket, err)
	}
	for body, field := range map[string]string{
		`{"user":"u1"}`:    "rooms",
		`{"rooms":null}`:   "rooms",
		`{"rooms":"*"}`:    "rooms",
		`{"rooms":[""]}`:   "rooms",
		`{"rooms":["[a"]}`: "rooms",
		`{"rooms":["` + strings.Repeat("a", 129) + `"]}`:            "rooms",
		`{"rooms":["*"` + strings.Repeat(`,"abcdefgh"`, 256) + `]}`: "rooms",
		`{"rooms":["*"],"role":"king"}`:                             "role",
		`{"rooms":["*"],"role":1}`:                                  "role",
		`{"rooms":["*"],"ttl":0}`:                                   "ttl",
		`{"rooms":["*"],"ttl":-1}`:                                  "ttl",
		`{"rooms":["*"],"ttl":1e9}`:                                 "ttl",
		`{"rooms":["*"],"ttl":"10m"}`:                               "ttl",
		`{"rooms":["*"],"user":"a\nb"}`:                             "user",
		`{"rooms":["*"],"name":"\u200b"}`:                           "name",
		`{"rooms":["*"],"user":"` + strings.Repeat("a", 256) + `"}`: "user",
	} {
		resp, object := a.admin("POST", "/tickets", body)
		e, _ := object["error"].(map[string]any)
		if resp.StatusCode != 400 || errorCode(object) != "bad-request" || e["field"] != field {
			t.Errorf("%.60s: %d %v", body, resp.StatusCode, object)
		}
	}
}

func TestAdminInvites(t *testing.T) {
	a, _ := newAPIKeyTest()
	var recorded []auth.Invite
	a.cfg.RecordInvite = func(inv auth.Invite) error {
		recorded = append(recorded, inv)
		return nil
	}
	resp, object := a.admin("POST", "/invites", `{"room":"Standup","role":"member","uses":3,"ttl":3600}`)
	token, _ := object["invite"].(string)
	inv, err := a.cfg.Invites.Verify(token)
	if err != nil || resp.StatusCode != 200 || object["link"] != "https://turn.example.org/r/standup#invite="+token || !reflect.DeepEqual(recorded, []auth.Invite{inv}) ||
		inv.Room != "standup" || inv.Role != auth.RoleMember || inv.Uses != 3 || !inv.Expires.Equal(a.now.Add(time.Hour)) {
		t.Errorf("%d %v is %+v, %v; recorded %+v", resp.StatusCode, object, inv, err, recorded)
	}
	for body, field := range map[string]string{
		`{}`: "room", `{"room":"stand up"}`: "room", `{"room":7}`: "room", `{"room":"a","role":"king"}`: "role", `{"room":"a","uses":-1}`: "uses",
		`{"room":"a","uses":"x"}`: "uses", `{"room":"a","ttl":0.5}`: "ttl",
	} {
		resp, object := a.admin("POST", "/invites", body)
		e, _ := object["error"].(map[string]any)
		if resp.StatusCode != 400 || e["field"] != field {
			t.Errorf("%s: %d %v", body, resp.StatusCode, object)
		}
	}
	a.cfg.RecordInvite = func(auth.Invite) error { return errors.New("the disk is full") }
	if resp, object := a.admin("POST", "/invites", `{"room":"a"}`); resp.StatusCode != 500 || errorCode(object) != "internal" {
		t.Errorf("a failure: %d %v", resp.StatusCode, object)
	}
}
