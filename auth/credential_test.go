package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func longTermKey(username, realm, password string) Keys {
	text := []byte(username + ":" + realm + ":" + password)
	return Keys{md5.Sum(text), sha256.Sum256(text)}
}

func testCredentials(shared ...Secret) *Credentials {
	return NewCredentials("realm", testSecret("signaling"), shared, fixedClock(epoch.Add(123*time.Millisecond)))
}

func TestMintedCredentialsAreCandidates(t *testing.T) {
	c := testCredentials(testSecret("one"), testSecret("two"))
	rest, ok := c.MintREST("ann", time.Hour)
	if !ok {
		t.Fatal("no REST credential")
	}
	relayOnly := c.MintRelayOnly("turnpike:ann", time.Hour)
	_, pseudonym, _ := strings.Cut(relayOnly.Username, ":")
	pseudonym = strings.TrimSuffix(pseudonym, ".3600")
	for name, tt := range map[string]struct {
		cred Credential
		want Grant
		n    int
	}{
		"session":    {c.MintSession("sess1", "turnpike:ann", time.Hour), Grant{Kind: GrantSession, Session: "sess1"}, 3},
		"relay only": {relayOnly, Grant{Kind: GrantRelayOnly, User: pseudonym, Issued: epoch}, 3},
		"rest":       {rest, Grant{Kind: GrantREST, User: "ann"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.Candidates([]byte(tt.cred.Username), nil)
			if !ok || len(got) != tt.n {
				t.Fatalf("%d candidates, ok %v; want %d", len(got), ok, tt.n)
			}
			if want := epoch.Add(time.Hour); tt.cred.Expires != want {
				t.Errorf("expires %v, want %v", tt.cred.Expires, want)
			}
			tt.want.Username = tt.cred.Username
			tt.want.Expires = tt.cred.Expires
			grants := matching(got, longTermKey(tt.cred.Username, "realm", tt.cred.Password))
			if len(grants) != 1 || grants[0] != tt.want {
				t.Errorf("grants %+v\n  want %+v", grants, tt.want)
			}
		})
	}
	if _, ok := testCredentials().MintREST("ann", time.Hour); ok {
		t.Error("a REST credential with no shared secret")
	}
}

// matching returns the grants of the candidates with these keys.
func matching(candidates []Candidate, keys Keys) []Grant {
	var grants []Grant
	for _, c := range candidates {
		if c.Keys == keys {
			grants = append(grants, c.Grant)
		}
	}
	return grants
}

func TestUsernamesTellLittle(t *testing.T) {
	c := testCredentials()
	if name := c.MintSession("sess1", "turnpike:ann", time.Hour).Username; name != fmt.Sprintf("%d:s.sess1", epoch.Add(time.Hour).Unix()) {
		t.Errorf("session username %q", name)
	}
	ann, again, bob := c.MintRelayOnly("turnpike:ann", time.Hour), c.MintRelayOnly("turnpike:ann", time.Hour), c.MintRelayOnly("turnpike:bob", time.Hour)
	if strings.Contains(ann.Username, "ann") || !strings.Contains(ann.Username, ":r.") {
		t.Errorf("relay-only username %q", ann.Username)
	}
	if ann != again || ann.Username == bob.Username {
		t.Error("pseudonyms do not follow their users")
	}
}

// TestCoturnCompatibility compares with other programs: the password comes from
// "openssl dgst -sha1 -hmac north", the key from coturn 4.6's "turnadmin -k".
func TestCoturnCompatibility(t *testing.T) {
	const (
		username = "1433895918:ninefingers"
		password = "jy8hTxmOO7UtEKXqSkSlvakPVYA="
		key      = "67b2edb51afa92c67541589c2b5cf1db"
	)
	secret := NewSecret([]byte("north"))
	if got := Password(secret, username); got != password {
		t.Errorf("password %s, want %s", got, password)
	}
	c := NewCredentials("north.gov", testSecret("signaling"), []Secret{testSecret("new"), secret}, fixedClock(epoch))
	got, ok := c.Candidates([]byte(username), nil)
	if !ok || len(got) != 2 {
		t.Fatalf("%d candidates, ok %v; want 2", len(got), ok)
	}
	if hex.EncodeToString(got[1].Keys.MD5[:]) != key {
		t.Errorf("key %x, want %s", got[1].Keys.MD5, key)
	}
	want := Grant{Username: username, User: "ninefingers", Kind: GrantREST, Expires: time.Unix(1433895918, 0).UTC()}
	if got[1].Grant != want {
		t.Errorf("grant %+v\n want %+v", got[1].Grant, want)
	}
}

func TestSeveralSharedSecrets(t *testing.T) {
	one, two := testSecret("one"), testSecret("two")
	before, after := testCredentials(two), testCredentials(one, two)
	old, _ := before.MintREST("ann", time.Hour)
	cur, _ := after.MintREST("ann", time.Hour)
	if cur.Password != Password(one, cur.Username) {
		t.Error("the first secret does not sign")
	}
	for name, cred := range map[string]Credential{"old": old, "current": cur} {
		got, ok := after.Candidates([]byte(cred.Username), nil)
		if !ok || len(matching(got, longTermKey(cred.Username, "realm", cred.Password))) != 1 {
			t.Errorf("the %s secret does not verify", name)
		}
	}
	got, _ := testCredentials(one).Candidates([]byte(old.Username), nil)
	if len(matching(got, longTermKey(old.Username, "realm", old.Password))) != 0 {
		t.Error("a secret that is gone verifies")
	}
}

// TestKeyDecidesKind holds that an app with a shared secret gets the reach of an
// app, even if it names its users as signaling does.
func TestKeyDecidesKind(t *testing.T) {
	shared := testSecret("shared")
	c := testCredentials(shared)
	for _, user := range []string{"s.sess1", "r.id", "s.", "r.", "s", "S.sess1", "ann"} {
		username := fmt.Sprintf("%d:%s", epoch.Unix(), user)
		got, ok := c.Candidates([]byte(username), nil)
		if !ok {
			t.Fatalf("%s: malformed", username)
		}
		grants := matching(got, longTermKey(username, "realm", Password(shared, username)))
		if len(grants) != 1 || grants[0].Kind != GrantREST || grants[0].User != user || grants[0].Session != "" {
			t.Errorf("%s: shared secret grants %+v", username, grants)
		}
		// The signaling secret itself, underived, opens nothing.
		if grants := matching(got, longTermKey(username, "realm", Password(testSecret("signaling"), username))); len(grants) != 0 {
			t.Errorf("%s: underived secret grants %+v", username, grants)
		}
		// Signaling's key opens only the usernames that signaling mints.
		grants = matching(got, longTermKey(username, "realm", Password(c.password, username)))
		if ours := user == "s.sess1" || user == "r.id"; (len(grants) == 1) != ours {
			t.Errorf("%s: signaling's key grants %+v", username, grants)
		}
	}
}

func TestUsernames(t *testing.T) {
	c := testCredentials(testSecret("one"))
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, tt := range []struct {
		username, user string
		expires        time.Time
	}{
		{"1777863721:ann", "ann", epoch},
		{"1777863721:a:b:c", "a:b:c", epoch},
		{"1777863721:turnpike:ann", "turnpike:ann", epoch},
		{"1777863721", "1777863721", epoch},
		{"1777863721:", "1777863721:", epoch},
		{"0:ann", "ann", time.Unix(0, 0).UTC()},
		{"1777863721000:ann", "ann", last}, // Milliseconds, by mistake; coturn takes them.
		{"999999999999999999:ann", "ann", last},
		{"1777863721:é ☂", "é ☂", epoch},
	} {
		got, ok := c.Candidates([]byte(tt.username), nil)
		want := Grant{Username: tt.username, User: tt.user, Kind: GrantREST, Expires: tt.expires}
		if !ok || len(got) != 1 || got[0].Grant != want {
			t.Errorf("%q: ok %v, %+v\n want %+v", tt.username, ok, got, want)
		}
	}
	for _, username := range []string{
		"", ":", ":ann", "ann", "ann:1777863721", " 1777863721:ann", "+1777863721:ann", "-1:ann", "1e9:ann", "0x10:ann",
		"1777863721 :ann", "9999999999999999999:ann", "99999999999999999999999999:ann", "1777863721:a\nb", "1777863721:a\x00",
		"1777863721:\x7f", "1777863721:\xff", "1777863721:\u0085", "１777863721:ann", "1777863721:" + strings.Repeat("a", 600),
	} {
		dst := make([]Candidate, 1, 4)
		if got, ok := c.Candidates([]byte(username), dst); ok || len(got) != 1 {
			t.Errorf("%q: ok %v, %d candidates", username, ok, len(got))
		}
	}
	if _, ok := c.MintREST(strings.Repeat("a", 600), time.Hour); ok {
		t.Error("minted a username that STUN cannot carry")
	}
	if _, ok := c.MintREST("a\nb", time.Hour); ok {
		t.Error("minted a username that Candidates refuses")
	}
}

// TestVerify holds that Verify accepts each kind of minted credential until it expires, and nothing else.
func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	one, two := NewSecret([]byte("one shared secret")), NewSecret([]byte("the other one"))
	signaling := NewSecret([]byte("signaling's secret"))
	c := NewCredentials("realm", signaling, []Secret{one, two}, func() time.Time { return now })
	other := NewCredentials("realm", NewSecret([]byte("another server's")), []Secret{two}, func() time.Time { return now })
	rest, _ := c.MintREST("alice", time.Hour)
	second, _ := other.MintREST("s.alice", time.Hour)
	for _, row := range []struct {
		cred Credential
		want GrantKind
	}{
		{c.MintSession("S1", "alice", time.Hour), GrantSession}, {c.MintRelayOnly("alice", time.Hour), GrantRelayOnly},
		{rest, GrantREST}, {second, GrantREST},
	} {
		g, err := c.Verify(row.cred.Username, row.cred.Password)
		if err != nil || g.Kind != row.want || g.Username != row.cred.Username || row.want == GrantSession && g.Session != "S1" {
			t.Errorf("%v: %+v, %v", row.want, g, err)
		}
		for _, password := range []string{"", row.cred.Password[1:], row.cred.Password + "x", rest.Password + second.Password} {
			if _, err := c.Verify(row.cred.Username, password); err == nil {
				t.Errorf("%v: a wrong password is accepted", row.want)
			}
		}
		if _, err := c.Verify("1"+row.cred.Username, row.cred.Password); err == nil {
			t.Errorf("%v: another username is accepted", row.want)
		}
	}
	forged := other.MintSession("S1", "alice", time.Hour)
	if _, err := c.Verify(forged.Username, forged.Password); err == nil {
		t.Error("another server's session is accepted")
	}
	for _, name := range []string{"", "x", "x:s.S1"} {
		if _, err := c.Verify(name, Password(one, name)); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	now = now.Add(time.Hour)
	if _, err := c.Verify(rest.Username, rest.Password); err != ErrExpired {
		t.Errorf("an expired one: %v", err)
	}
	if _, err := c.Verify(rest.Username, second.Password); err == nil || err == ErrExpired {
		t.Errorf("a wrong password of an expired one: %v", err)
	}
}

// TestApps holds that an app's own secret verifies, that its grants carry its name, and that it signs nothing of ours.
func TestApps(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	shared, galene := NewSecret([]byte("one shared secret")), NewSecret([]byte("galene's secret"))
	c := NewCredentials("realm", NewSecret([]byte("signaling's secret")), []Secret{shared}, func() time.Time { return now })
	c.AddApp("galene", galene)
	for _, row := range []struct {
		user   string
		secret Secret
		app    string
	}{{"galene", galene, "galene"}, {"galene", shared, ""}, {"s.S1", galene, "galene"}} {
		name := "1800000060:" + row.user
		g, err := c.Verify(name, Password(row.secret, name))
		if err != nil || g.App != row.app || g.Kind != GrantREST || g.User != row.user {
			t.Errorf("%s of app %q: %+v, %v", row.user, row.app, g, err)
		}
	}
	if cred, _ := c.MintREST("ann", time.Hour); cred.Password != Password(shared, cred.Username) {
		t.Error("an app's secret signed a credential of ours")
	}
}

func TestCandidatesConcurrently(t *testing.T) {
	c := testCredentials(testSecret("one"), testSecret("two"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				cred := c.MintSession(fmt.Sprintf("sess%d-%d", i, j), "", time.Hour)
				got, _ := c.Candidates([]byte(cred.Username), nil)
				if len(matching(got, longTermKey(cred.Username, "realm", cred.Password))) != 1 {
					t.Errorf("%s is no candidate", cred.Username)
				}
			}
		})
	}
	wg.Wait()
}

// TestCandidatesAllocate holds the cost of a packet that a stranger may have sent:
// one allocation, for the username that the grants share, if dst has room.
func TestCandidatesAllocate(t *testing.T) {
	c := testCredentials(testSecret("one"), testSecret("two"))
	dst := make([]Candidate, 0, 4)
	for username, want := range map[string]float64{"1777863721:s.sess1": 1, "1777863721:ann": 1, strings.Repeat("1", 600): 0} {
		name := []byte(username)
		if got := testing.AllocsPerRun(1000, func() { c.Candidates(name, dst) }); got > want {
			t.Errorf("%.20s: %v allocations, want at most %v", username, got, want)
		}
	}
}

func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprintf("shared=%d", n), func(b *testing.B) {
			var shared []Secret
			for i := range n {
				shared = append(shared, testSecret(fmt.Sprint(i)))
			}
			c := testCredentials(shared...)
			name := []byte(c.MintSession("k7m2pqx9rk7m2pqx", "", time.Hour).Username)
			dst := make([]Candidate, 0, 4)
			b.ReportAllocs()
			b.SetBytes(int64(len(name)))
			for b.Loop() {
				if _, ok := c.Candidates(name, dst); !ok {
					b.Fatal("malformed")
				}
			}
		})
	}
}

// FuzzCandidates compares the keys with a plain computation.
func FuzzCandidates(f *testing.F) {
	for _, s := range []string{"", "1777863721", "1777863721:ann", "1777863721:s.sess1", "1777863721:r.id", "0:", ":", "1:s.", "1:\xff"} {
		f.Add([]byte(s))
	}
	shared := testSecret("one")
	c := testCredentials(shared)
	f.Fuzz(func(t *testing.T, username []byte) {
		before := string(username)
		got, ok := c.Candidates(username, make([]Candidate, 0, 2))
		if string(username) != before {
			t.Error("the username was changed")
		}
		if !ok {
			if len(got) != 0 {
				t.Error("malformed, and yet candidates")
			}
			return
		}
		if len(before) > 508 || !utf8.ValidString(before) || strings.ContainsFunc(before, unicode.IsControl) {
			t.Errorf("accepted %q", before)
		}
		for _, candidate := range got {
			secret := shared
			if candidate.Grant.Kind != GrantREST {
				secret = c.password
			}
			mac := hmac.New(sha1.New, secret.Bytes())
			mac.Write(username)
			if candidate.Keys != longTermKey(before, "realm", base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
				t.Errorf("%q: wrong key for %v", before, candidate.Grant.Kind)
			}
			g := candidate.Grant
			if g.Username != before || g.Expires.Year() > 9999 || g.Expires.Unix() < 0 {
				t.Errorf("%q: grant %+v", before, g)
			}
			if (g.Session != "") != (g.Kind == GrantSession) || (g.User == "") != (g.Kind == GrantSession) {
				t.Errorf("%q: %v with session %q and user %q", before, g.Kind, g.Session, g.User)
			}
			if g.Kind == GrantSession && !strings.HasSuffix(before, ":s."+g.Session) {
				t.Errorf("%q: session %q", before, g.Session)
			}
		}
		if last := got[len(got)-1]; last.Grant.Kind != GrantREST || len(got) > 2 {
			t.Errorf("%q: %d candidates", before, len(got))
		}
	})
}
