package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestIsMachineName(t *testing.T) {
	for name, want := range map[string]bool{
		"nas": true, "n": true, "my-nas-2": true, strings.Repeat("a", 32): true, "2": true,
		"": false, "-nas": false, "nas-": false, "NAS": false, "my nas": false, "näs": false, "nas.lan": false, strings.Repeat("a", 33): false, "a\n": false, "../x": false,
	} {
		if IsMachineName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
		if _, canonical, err := CleanName(name); want && (err != nil || canonical != name) {
			t.Errorf("%q is compared as %q, %v", name, canonical, err)
		}
	}
}

// TestMachineTicket: a ticket verifies by the key of its machine, at its time, and by nothing else.
func TestMachineTicket(t *testing.T) {
	now := time.Unix(1_800_000_000, 123_456_000).UTC()
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), func() time.Time { return now })
	nas, key := someMachine(t, "nas")
	nas = mustAdd(t, m, nas)
	other, otherKey := someMachine(t, "other")
	mustAdd(t, m, other)
	sign := func(at time.Time) string {
		t.Helper()
		token, err := SignMachineTicket("nas", key, at, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	tk, err := m.Verify(sign(now))
	if err != nil || tk.User != (User{MachineIssuer, "nas"}) || tk.Name != "nas" || tk.Chosen || tk.Role != RoleMember || len(tk.Rooms) != 1 || tk.Rooms[0] != "home" ||
		tk.ID == "" || tk.Issued.Before(nas.Made) || !tk.Expires.Equal(now.Truncate(time.Second).Add(MachineTicketTTL)) {
		t.Fatalf("%+v, %v", tk, err)
	}
	for _, row := range []struct {
		at   time.Duration
		want error
	}{
		{-29 * time.Second, nil}, {29 * time.Second, nil}, // clocks differ a little
		{-MachineTicketTTL - 31*time.Second, ErrExpired}, {40 * time.Second, ErrMachineClock},
	} {
		if _, err := m.Verify(sign(now.Add(row.at))); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("signed %v from now: %v", row.at, err)
		}
	}
	forged := func(edit func(header, claims map[string]any), key any, method jwt.SigningMethod) string {
		t.Helper()
		claims := map[string]any{"iss": "machine", "sub": "nas", "aud": "turnpike", "jti": "x", "iat": now.Unix(), "exp": now.Unix() + 600}
		token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
		edit(token.Header, claims)
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(map[string]any, map[string]any) {}
	set := func(name string, value any) func(map[string]any, map[string]any) {
		return func(_, claims map[string]any) {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
	}
	if _, err := m.Verify(forged(same, key, jwt.SigningMethodEdDSA)); err != nil {
		t.Fatalf("a ticket of another program: %v", err)
	}
	own, err := json.Marshal(map[string]string{"kty": "OKP", "crv": "Ed25519", "x": EncodeMachineKey(other.Key)})
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"another's key":         forged(same, otherKey, jwt.SigningMethodEdDSA),
		"a key in the token":    forged(func(header, _ map[string]any) { header["jwk"] = json.RawMessage(own) }, otherKey, jwt.SigningMethodEdDSA),
		"the key as a secret":   forged(same, []byte(nas.Key), jwt.SigningMethodHS256),
		"none":                  forged(same, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone),
		"crit":                  forged(func(header, _ map[string]any) { header["crit"] = []string{"exp"} }, key, jwt.SigningMethodEdDSA),
		"nobody":                forged(set("sub", "nobody"), key, jwt.SigningMethodEdDSA),
		"another's name":        forged(set("sub", "other"), key, jwt.SigningMethodEdDSA),
		"no name":               forged(set("sub", nil), key, jwt.SigningMethodEdDSA),
		"another audience":      forged(set("aud", "turnpike-resume"), key, jwt.SigningMethodEdDSA),
		"no audience":           forged(set("aud", nil), key, jwt.SigningMethodEdDSA),
		"another issuer":        forged(set("iss", "turnpike"), key, jwt.SigningMethodEdDSA),
		"no ID":                 forged(set("jti", nil), key, jwt.SigningMethodEdDSA),
		"no end":                forged(set("exp", nil), key, jwt.SigningMethodEdDSA),
		"a long life":           forged(set("exp", now.Unix()+601), key, jwt.SigningMethodEdDSA),
		"no beginning":          forged(set("iat", nil), key, jwt.SigningMethodEdDSA),
		"a beginning long past": forged(set("iat", now.Unix()-1000), key, jwt.SigningMethodEdDSA),
		"a line break":          sign(now) + "\n",
		"cut":                   sign(now)[:40],
		"nothing":               "",
	} {
		if tk, err := m.Verify(token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %+v, %v", what, tk, err)
		}
	}
}

// TestMachineClock: a machine whose clock is behind is no machine of before it joined, and one whose clock is ahead is not refused.
func TestMachineClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), func() time.Time { return now })
	nas, key := someMachine(t, "nas")
	mustAdd(t, m, nas)
	for _, off := range []time.Duration{-20 * time.Second, 20 * time.Second} {
		token, err := SignMachineTicket("nas", key, now.Add(off), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tk, err := m.Verify(token)
		if err == nil {
			err = m.Refuses(tk)
		}
		if err != nil || tk.Issued.After(now) {
			t.Errorf("off by %v: %+v, %v", off, tk, err)
		}
	}
}

// TestRevokedMachine: tickets and sessions of before a revocation admit nobody, also once another one has its name.
func TestRevokedMachine(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	clock := func() time.Time { now = now.Add(time.Millisecond); return now }
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), clock)
	nas, key := someMachine(t, "nas")
	mustAdd(t, m, nas)
	token, err := SignMachineTicket("nas", key, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of, err := m.Verify(token)
	if err != nil || m.Refuses(of) != nil {
		t.Fatalf("%v, %v", err, m.Refuses(of))
	}
	if _, err := m.Revoke("nas"); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := m.Verify(token); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s its ticket: %v", when, err)
		}
		if err := m.Refuses(of); !errors.Is(err, ErrMachineRevoked) || !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s its session: %v", when, err)
		}
	}
	refused("revoked,")
	anew, anewKey := someMachine(t, "nas")
	mustAdd(t, m, anew)
	refused("replaced,")
	if token, err = SignMachineTicket("nas", anewKey, now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if tk, err := m.Verify(token); err != nil || m.Refuses(tk) != nil {
		t.Errorf("the next machine: %v, %v", err, m.Refuses(tk))
	}
	if err := m.Refuses(Ticket{User: User{Issuer, "nas"}}); err != nil {
		t.Errorf("a user: %v", err)
	}
}

// TestVerifierAdmitsMachines: the issuer of a token decides whose key counts, and no issuer takes the name of machines.
func TestVerifierAdmitsMachines(t *testing.T) {
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), time.Now)
	nas, key := someMachine(t, "nas")
	mustAdd(t, m, nas)
	secret := NewSecret([]byte("a secret of 32 bytes for the tests"))
	tickets := NewTickets(secret, time.Now, rand.Reader)
	v, err := NewVerifier(tickets, m.Refuses, nil, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	token, err := SignMachineTicket("nas", key, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	user := User{MachineIssuer, "nas"}
	if _, err := v.Verify(token); !errors.Is(err, ErrUnauthorized) || v.Knows(user) {
		t.Errorf("without machines: %v", err)
	}
	v.AdmitMachines(m)
	if tk, err := v.Verify(token); err != nil || tk.User != user || !v.Knows(user) || v.Knows(User{MachineIssuer, "pi"}) {
		t.Errorf("%+v, %v", tk, err)
	}
	own, _, err := tickets.Issue(Ticket{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if tk, err := v.Verify(own); err != nil || tk.User.Issuer != Issuer {
		t.Errorf("our own: %+v, %v", tk, err)
	}
	if in := v.Inspect(token); len(in.Reasons) > 0 || in.Issuer != MachineIssuer || !in.Signed {
		t.Errorf("%+v", in)
	}
	if _, err := m.Revoke("nas"); err != nil {
		t.Fatal(err)
	}
	if in := v.Inspect(token); len(in.Reasons) == 0 || in.Signed || v.Knows(user) {
		t.Errorf("revoked: %+v", in)
	}
	for _, c := range []IssuerConfig{{Name: MachineIssuer}, {Name: "app", Issuer: MachineIssuer}} {
		c.Algorithms, c.Audience, c.DefaultRole = []string{"HS256"}, "turnpike", RoleGuest
		c.Secret = secret
		if _, err := NewVerifier(tickets, nil, []IssuerConfig{c}, time.Now, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "machines") {
			t.Errorf("%q, %q: %v", c.Name, c.Issuer, err)
		}
	}
}

func FuzzMachineTicket(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	now := time.Unix(1_800_000_000, 0)
	good, err := SignMachineTicket("nas", key, now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		id, issued, expires, err := VerifyMachineTicket(token, "nas", key.Public().(ed25519.PublicKey), now)
		if err != nil {
			if !errors.Is(err, ErrUnauthorized) || id != "" {
				t.Errorf("%q: %q, %v", token, id, err)
			}
			return
		}
		parts := strings.Split(token, ".")
		signature, err := base64.RawURLEncoding.DecodeString(parts[len(parts)-1])
		if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(strings.Join(parts[:2], ".")), signature) || issued.After(now) || expires.Before(now.Add(-leeway)) {
			t.Errorf("%q is taken for %q, %v to %v", token, id, issued, expires)
		}
	})
}
