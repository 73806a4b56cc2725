package auth

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestInspect(t *testing.T) {
	refuses := func(tk Ticket) error {
		switch {
		case tk.Invite == "gone":
			return ErrInviteRevoked
		case tk.User.Subject == "thrown out":
			return ErrKicked
		}
		return nil
	}
	v, err := NewVerifier(testTickets(epoch), refuses,
		[]IssuerConfig{appConfig("HS256")}, fixedClock(epoch), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	own := func(tk Ticket) string { return mustIssue(t, testTickets(epoch), tk, time.Hour) }
	for name, tt := range map[string]struct {
		token   string
		issuer  string
		signed  bool
		reasons []string // A part of each.
	}{
		"good":           {appSign(t, "HS256", appClaims()), "app", true, nil},
		"ours":           {own(Ticket{}), Issuer, true, nil},
		"ours, revoked":  {own(Ticket{Invite: "gone"}), Issuer, true, []string{"the invite that it was made from was revoked"}},
		"ours, kicked":   {own(Ticket{User: User{Subject: "thrown out"}}), Issuer, true, []string{"its user was thrown out after it was issued"}},
		"ours, forged":   {sign(t, jwt.SigningMethodHS256, []byte("guess"), goodClaims()), Issuer, false, []string{"does not come from a key of turnpike"}},
		"ours, no nbf":   {signKey(t, without("nbf")), Issuer, true, []string{"it has no nbf"}},
		"ours, ahead":    {signKey(t, with("iat", epoch.Add(time.Hour).Unix())), Issuer, true, []string{"made 1h0m0s from now"}},
		"ahead":          {appSign(t, "HS256", appWith("iat", epoch.Add(time.Hour).Unix())), "app", true, nil},
		"ours, bad role": {signKey(t, with("role", "king")), Issuer, true, []string{`unknown role "king"`}},
		"garbage":        {"x", "", false, []string{"it is not a readable token"}},
		"huge":           {strings.Repeat("a", maxForeignTokenBytes+1), "", false, []string{"bytes"}},
		"no iss":         {appSign(t, "HS256", appWithout("iss")), "", false, []string{"it has no iss, and the known issuers are"}},
		"iss a number":   {appSign(t, "HS256", appWith("iss", 1)), "", false, []string{`"iss" is not a string`}},
		"another alg":    {appSign(t, "HS512", appClaims()), "app", false, []string{"it is signed with HS512, but app accepts HS256"}},
		"crit":           {appSign(t, "HS256", appClaims(), "crit", []string{"x"}), "app", false, []string{"crit"}},
		"everything": {
			appSign(t, "HS256", jwt.MapClaims{"iss": "https://app.example", "exp": epoch.Add(-time.Minute).Unix(), "nbf": epoch.Add(time.Hour).Unix(), "iat": epoch.Add(time.Hour).Unix()}),
			"app", true, []string{"expired 1m0s ago", "not valid for another 1h0m0s", "it has no aud", "it has no sub"},
		},
		"no expiry": {appSign(t, "HS256", appWithout("exp")), "app", true, []string{"it has no exp"}},
		"bad rooms": {appSign(t, "HS256", appWith("rooms", 7)), "app", true, []string{`claim "rooms" is neither`}},
	} {
		t.Run(name, func(t *testing.T) {
			in := v.Inspect(tt.token)
			if in.Issuer != tt.issuer || in.Signed != tt.signed || len(in.Reasons) != len(tt.reasons) {
				t.Fatalf("%+v", in)
			}
			for i, want := range tt.reasons {
				if !strings.Contains(in.Reasons[i], want) {
					t.Errorf("reason %d is %q, want %q", i, in.Reasons[i], want)
				}
			}
		})
	}
}

// TestInspectBlamesThePage holds that a signature which cannot be checked is not called bad.
func TestInspectBlamesThePage(t *testing.T) {
	page, key := newJWKSPage(t), newECKey(t)
	page.set("1", key, true)
	in := newJWKSTest(t, page, "ES256").Inspect(signedBy(t, "1", key))
	if in.Signed || !strings.Contains(in.Unknown, page.URL) || !strings.Contains(in.Unknown, "503") || len(in.Reasons) != 1 || !strings.Contains(in.Reasons[0], "cannot be checked now") {
		t.Errorf("%+v", in)
	}
}

// FuzzInspect holds that Inspect agrees with Verify.
func FuzzInspect(f *testing.F) {
	v := testVerifier(f, appConfig("HS256"))
	f.Add(appSign(f, "HS256", appClaims()))
	f.Add(appSign(f, "HS256", appWith("exp", nil)))
	f.Add(mustIssue(f, testTickets(epoch), Ticket{Name: "Ann"}, time.Hour))
	for _, token := range spoiled(f) {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		tk, err := v.Verify(token)
		in := v.Inspect(token)
		if (err == nil) != (len(in.Reasons) == 0) || !reflect.DeepEqual(in.Ticket, tk) || err == nil && !in.Signed {
			t.Errorf("verified %+v, %v; explained %+v", tk, err, in)
		}
	})
}
