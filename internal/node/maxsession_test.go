package node

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"example.org/turnpike/signal/wire"
)

// TestMaxSession: the TURN credential of an app's session does not outlive it, and a fresh token brings one that lasts as
// long as the session does then.
func TestMaxSession(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	const secret = "0123456789abcdef0123456789abcdef"
	text := "auth.credential_ttl = \"1h\"\n[[auth.issuers]]\nname = \"app\"\nalgorithms = [\"HS256\"]\naudience = \"turnpike\"\nsecret = \"" + secret + "\"\nmax_session = \"10m\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config", file, "--state", filepath.Join(dir, "state"))
	token := func() string { return appToken(t, secret) }
	// ends returns when a credential ends, which its username says.
	ends := func(servers []wire.ICEServer) time.Time {
		t.Helper()
		digits, _, _ := strings.Cut(servers[len(servers)-1].Username, ":")
		seconds, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Unix(seconds, 0)
	}
	c := &signalingClient{t: t}
	c.dial(s)
	before := time.Now()
	c.say(`{"type":"hello","ticket":%q}`, token())
	w := c.hear("welcome").(*wire.Welcome)
	until := time.Now().Add(10 * time.Minute)
	if w.ExpiresIn < 595 || w.ExpiresIn > 600 {
		t.Errorf("the session ends in %d s", w.ExpiresIn)
	}
	if end := ends(w.ICEServers); end.After(until) || end.Before(before.Add(10*time.Minute-2*time.Second)) {
		t.Errorf("the credential ends at %v, and the session at %v", end, until)
	}
	c.say(`{"type":"refresh","id":"1","ticket":%q}`, token())
	if m := c.hear("refreshed").(*wire.Refreshed); m.ExpiresIn < 595 || m.ExpiresIn > 600 || m.Role != "guest" {
		t.Errorf("refreshed: %+v", m)
	}
	until = time.Now().Add(10 * time.Minute)
	ice := c.hear("ice-servers").(*wire.NewICEServers)
	if end := ends(ice.ICEServers); end.After(until) || !end.Equal(ice.ICEExpires) {
		t.Errorf("the new credential ends at %v, or %v, and the session at %v", end, ice.ICEExpires, until)
	}
}

// appToken is a token of a user of the issuer "app".
func appToken(t *testing.T, secret string) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "app", "aud": "turnpike", "sub": "u1", "exp": time.Now().Add(24 * time.Hour).Unix(), "iat": time.Now().Unix()}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestUsersGoWithTheirIssuer: the sessions of an app that the configuration has no more do not come back after the restart.
func TestUsersGoWithTheirIssuer(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	const secret = "0123456789abcdef0123456789abcdef"
	begin := func(text string) *testNode {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return start(t, "--config", file, "--state", filepath.Join(dir, "state"))
	}
	issuer := func(name string) string {
		return "[[auth.issuers]]\nname = \"" + name + "\"\nalgorithms = [\"HS256\"]\naudience = \"turnpike\"\nsecret = \"" + secret + "\"\n"
	}
	s := begin(issuer("app") + issuer("other"))
	c := signInWith(t, s, appToken(t, secret))
	s.stop()
	s = begin(issuer("app"))
	c.welcome = *c.comeBack(s, wire.ResumedRestored)
	s.stop()
	s = begin(issuer("other"))
	if got := c.resumed(s); got != string(wire.CodeNoSuchSession) {
		t.Errorf("it comes back: %s", got)
	}
}
