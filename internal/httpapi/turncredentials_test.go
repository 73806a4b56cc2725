package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

const testAPIKey = "an API key of this test"

func newAPIKeyTest() (*apiTest, auth.Secret) {
	a := newAPITest(GuestsNever)
	shared := auth.NewSecret([]byte("a shared secret of this test"))
	secret := auth.NewSecret([]byte("a secret of this test, long enough"))
	a.cfg.Credentials = auth.NewCredentials("turnpike", secret, []auth.Secret{shared}, func() time.Time { return a.now })
	a.cfg.APIKeys = []auth.Secret{auth.NewSecret([]byte("the first of two keys")), auth.NewSecret([]byte(testAPIKey))}
	return a, shared
}

func TestTURNCredentials(t *testing.T) {
	a, shared := newAPIKeyTest()
	get := func(query, authorization string) (*http.Response, map[string]any) {
		return a.do("GET", "/api/v1/turn-credentials"+query, "", request(stranger, "turn.example.org", "Authorization: "+authorization))
	}
	resp, object := get("?service=turn&username=mbzrxpgjys", "Bearer "+testAPIKey)
	data, _ := json.Marshal(object)
	var got restAnswer
	if err := json.Unmarshal(data, &got); err != nil || resp.StatusCode != 200 || len(object) != 5 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v, %v", resp.StatusCode, object, err)
	}
	want := restAnswer{"1800003600:mbzrxpgjys", auth.Password(shared, "1800003600:mbzrxpgjys"), 3600, []string{"turn:turn.example.org:3478?transport=udp"}, nil}
	if got.Username != want.Username || got.Password != want.Password || got.TTL != want.TTL || !slices.Equal(got.URIs, want.URIs) {
		t.Errorf("%+v, want %+v", got, want)
	}
	wantServers := `[{"urls":["stun:turn.example.org:3478"]},{"urls":["turn:turn.example.org:3478?transport=udp"],"username":"1800003600:mbzrxpgjys","credential":"` + want.Password + `"}]`
	if servers, _ := json.Marshal(object["iceServers"]); !sameJSON(servers, wantServers) {
		t.Errorf("for a browser: %s, want %s", servers, wantServers)
	}
	candidates, ok := a.cfg.Credentials.Candidates([]byte(got.Username), nil)
	if !ok || len(candidates) != 1 || candidates[0].Grant.Kind != auth.GrantREST || candidates[0].Grant.User != "mbzrxpgjys" {
		t.Errorf("the credential grants %+v", candidates)
	}
	_, first := get("?service=turn", "bearer the first of two keys")
	_, second := get("?service=turn", "Bearer "+testAPIKey)
	if first["username"] == nil || first["username"] == second["username"] {
		t.Errorf("two users with no name are %v and %v", first["username"], second["username"])
	}
}

// sameJSON compares values, whatever the order of their keys.
func sameJSON(a []byte, b string) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

func TestTURNCredentialsRefusals(t *testing.T) {
	for _, test := range []struct {
		name, query, authorization string
		status                     int
		code, field                string
	}{
		{"no key", "?service=turn", "", 401, "unauthorized", ""},
		{"another scheme", "?service=turn", "Basic " + testAPIKey, 401, "unauthorized", ""},
		{"another key", "?service=turn", "Bearer guess", 401, "unauthorized", ""},
		{"a part of the key", "?service=turn", "Bearer " + testAPIKey[:20], 401, "unauthorized", ""},
		{"the key in the URL", "?service=turn&key=" + url.QueryEscape(testAPIKey), "", 400, "bad-request", "key"},
		{"both", "?service=turn&api_key=x", "Bearer " + testAPIKey, 400, "bad-request", "key"},
		{"no service", "", "Bearer " + testAPIKey, 400, "bad-request", "service"},
		{"another service", "?service=stun", "Bearer " + testAPIKey, 400, "bad-request", "service"},
		{"a long name", "?service=turn&username=" + strings.Repeat("a", 600), "Bearer " + testAPIKey, 400, "bad-request", "username"},
		{"a line break", "?service=turn&username=a%0Ab", "Bearer " + testAPIKey, 400, "bad-request", "username"},
		{"no UTF-8", "?service=turn&username=%FF", "Bearer " + testAPIKey, 400, "bad-request", "username"},
	} {
		a, _ := newAPIKeyTest()
		resp, object := a.do("GET", "/api/v1/turn-credentials"+test.query, "", request(stranger, "turn.example.org", "Authorization: "+test.authorization))
		e, _ := object["error"].(map[string]any)
		field, _ := e["field"].(string)
		if resp.StatusCode != test.status || errorCode(object) != test.code || field != test.field {
			t.Errorf("%s: %d %v", test.name, resp.StatusCode, object)
		}
	}
	a, _ := newAPIKeyTest()
	guess := func() *http.Response {
		resp, _ := a.do("GET", "/api/v1/turn-credentials?service=turn", "", request(stranger, "turn.example.org", "Authorization: Bearer guess"))
		return resp
	}
	for range 3 {
		guess()
	}
	if resp := guess(); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the fourth guess: %d", resp.StatusCode)
	}
	a, _ = newAPIKeyTest()
	secret := auth.NewSecret([]byte("a secret of this test, long enough"))
	a.cfg.Credentials = auth.NewCredentials("turnpike", secret, nil, func() time.Time { return a.now })
	if resp, object := a.do("GET", "/api/v1/turn-credentials?service=turn", "", request(stranger, "turn.example.org", "Authorization: Bearer "+testAPIKey)); resp.StatusCode != 404 {
		t.Errorf("with no secret to sign with: %d %v", resp.StatusCode, object)
	}
	a = newAPITest(GuestsNever)
	resp, object := a.do("GET", "/api/v1/turn-credentials?service=turn", "", request(stranger, "turn.example.org", "Authorization: Bearer x"))
	if resp.StatusCode != 404 || errorCode(object) != "not-found" {
		t.Errorf("with no keys configured: %d %v", resp.StatusCode, object)
	}
}
