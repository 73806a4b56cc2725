package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// TestRelays: the owner of the credential is told about their relay, and nobody about another's.
func TestRelays(t *testing.T) {
	test := newAPITest(GuestsNever)
	at := netip.MustParseAddrPort("[2001:db8::9]:50000")
	test.cfg.Offloads = func(relayed netip.AddrPort, who *auth.Grant) (bool, bool) {
		return true, relayed == at && who.Session == "S1"
	}
	ask := func(path string, cred auth.Credential) (int, map[string]any) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.SetBasicAuth(cred.Username, cred.Password)
		resp, body := test.do(http.MethodGet, "/api/v1/relays/"+path, "", r)
		return resp.StatusCode, body
	}
	mine, other := test.cfg.Credentials.MintSession("S1", "ann", time.Hour), test.cfg.Credentials.MintSession("S2", "ben", time.Hour)
	const escaped = "%5B2001%3Adb8%3A%3A9%5D%3A50000" // as the SDK writes it
	for _, row := range []struct {
		path   string
		cred   auth.Credential
		status int
	}{
		{escaped, mine, 200}, {"[2001:db8::9]:50000", mine, 200}, {"203.0.113.9:50000", mine, 404}, {escaped, other, 404},
		{"somewhere", mine, 400}, {escaped, auth.Credential{Username: mine.Username, Password: "guessed"}, 401}, {escaped, auth.Credential{}, 401},
		{escaped, test.cfg.Credentials.MintSession("S1", "ann", -time.Minute), 401},
	} {
		status, body := ask(row.path, row.cred)
		if status != row.status || status == 200 && body["offloaded"] != true {
			t.Errorf("%s: %d %v, want %d", row.path, status, body, row.status)
		}
	}
}
