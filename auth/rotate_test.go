package auth

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// signed is something of each kind that a secret signs.
type signed struct{ ticket, invite, resume, username, password string }

func signAll(t *testing.T, secret Secret, now func() time.Time) (s signed) {
	t.Helper()
	var err error
	if s.ticket, _, err = NewTickets(secret, now, rand.Reader).Issue(Ticket{Name: "Ada"}, 100*time.Hour); err != nil {
		t.Fatal(err)
	}
	if s.invite, _, err = NewInvites(secret, now, rand.Reader).Issue(Invite{Room: "standup"}, 100*time.Hour); err != nil {
		t.Fatal(err)
	}
	if s.resume, err = NewResumeTokens(secret, now, rand.Reader).Issue(testResume()); err != nil {
		t.Fatal(err)
	}
	cred := NewCredentials("realm", secret, nil, now).MintSession("sess", "ada", 100*time.Hour)
	s.username, s.password = cred.Username, cred.Password
	return s
}

// verified says what of s the secret verifies.
func (s signed) verified(secret Secret, now func() time.Time) map[string]bool {
	_, ticket := NewTickets(secret, now, rand.Reader).Verify(s.ticket)
	_, invite := NewInvites(secret, now, rand.Reader).Verify(s.invite)
	_, resume := NewResumeTokens(secret, now, rand.Reader).Verify(s.resume)
	credentials := NewCredentials("realm", secret, nil, now)
	_, credential := credentials.Verify(s.username, s.password)
	candidates, _ := credentials.Candidates([]byte(s.username), nil)
	byKeys := matching(candidates, longTermKey(s.username, "realm", s.password))
	return map[string]bool{"ticket": ticket == nil, "invite": invite == nil, "resume": resume == nil, "credential": credential == nil, "turn": len(byKeys) == 1}
}

// TestRotateSecret: what former secrets signed verifies until its own end, or that of its secret.
func TestRotateSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	start := time.Now().Truncate(time.Second)
	at := func(after time.Duration) func() time.Time { return func() time.Time { return start.Add(after) } }
	load := func() Secret {
		t.Helper()
		secret, err := LoadOrCreateSecret(path, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	rotate := func(keep, after time.Duration) {
		t.Helper()
		if err := RotateSecret(path, start.Add(after+keep), start.Add(after), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, s signed, secret Secret, after time.Duration, good bool) {
		t.Helper()
		for what, got := range s.verified(secret, at(after)) {
			if got != (good && (what != "resume" || after < ResumeTTL)) {
				t.Errorf("%s: %s of before verifies: %v", when, what, got)
			}
		}
	}
	first := load()
	ofFirst := signAll(t, first, at(0))
	rotate(48*time.Hour, 0)
	second := load()
	ofSecond := signAll(t, second, at(0))
	want("after a rotation", ofFirst, second, time.Minute, true)
	want("a day after", ofFirst, second, 24*time.Hour, true)
	want("after the end of the former one", ofFirst, second, 49*time.Hour, false)
	want("signed with the new one, judged by the old", ofSecond, first, time.Minute, false)

	rotate(72*time.Hour, time.Hour)
	third := load()
	want("two rotations ago", ofFirst, third, 2*time.Hour, true)
	want("one rotation ago", ofSecond, third, 2*time.Hour, true)
	want("two rotations ago, ended", ofFirst, third, 50*time.Hour, false)
	want("one rotation ago, later", ofSecond, third, 50*time.Hour, true)

	rotate(0, 2*time.Hour)
	for _, s := range []signed{ofFirst, ofSecond, signAll(t, third, at(2*time.Hour))} {
		want("voided", s, load(), 2*time.Hour, false)
	}
	if runtime.GOOS != "windows" {
		for _, name := range []string{path, path + ".old"} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}
}

// verifiers are what a running process made from its secret at its start.
type verifiers struct {
	tickets     *Tickets
	invites     *Invites
	resumes     *ResumeTokens
	credentials *Credentials
}

func newVerifiers(secret Secret, now func() time.Time) verifiers {
	return verifiers{
		NewTickets(secret, now, rand.Reader), NewInvites(secret, now, rand.Reader), NewResumeTokens(secret, now, rand.Reader),
		NewCredentials("realm", secret, nil, now),
	}
}

// TestSecretFileFollowsRotation: what a process made from its secret follows a rotation, in what it signs and in what it
// verifies, also where it has cached something from the secret before.
func TestSecretFileFollowsRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "secret")
	start := time.Now().Truncate(time.Second)
	at := func(after time.Duration) func() time.Time { return func() time.Time { return start.Add(after) } }
	file, err := OpenSecretFile(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	running := file.Secret()
	nonces := running.Derive("nonces")
	kept := newVerifiers(running, at(0))
	before := signAll(t, running, at(0))
	want := func(when string, s signed, good bool) {
		t.Helper()
		_, ticket := kept.tickets.Verify(s.ticket)
		_, invite := kept.invites.Verify(s.invite)
		_, resume := kept.resumes.Verify(s.resume)
		_, credential := kept.credentials.Verify(s.username, s.password)
		candidates, _ := kept.credentials.Candidates([]byte(s.username), nil)
		turn := len(matching(candidates, longTermKey(s.username, "realm", s.password))) == 1
		for what, got := range map[string]bool{"ticket": ticket == nil, "invite": invite == nil, "resume": resume == nil, "credential": credential == nil, "turn": turn} {
			if got != good {
				t.Errorf("%s: %s verifies: %v", when, what, got)
			}
		}
	}
	reload := func(wantChanged bool) {
		t.Helper()
		if changed, err := file.Reload(); err != nil || changed != wantChanged {
			t.Fatalf("changed %v, %v", changed, err)
		}
	}
	want("at the start", before, true)
	reload(false)
	keyBefore := &nonces.Bytes()[0]
	if err := RotateSecret(path, start.Add(time.Hour), start, rand.Reader); err != nil {
		t.Fatal(err)
	}
	fresh, err := LoadSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	after := signAll(t, fresh, at(0))
	want("before the process has looked", after, false)
	if &nonces.Bytes()[0] != keyBefore {
		t.Error("the key changed before the process has looked")
	}
	reload(true)
	reload(false)
	want("signed with the new one", after, true)
	want("signed with the former one", before, true)
	if &nonces.Bytes()[0] == keyBefore || len(nonces.Former(start)) != 1 {
		t.Error("a derived key does not follow")
	}
	cred := kept.credentials.MintSession("sess", "ada", time.Hour)
	if cred.Password != Password(fresh.Derive("turnpike turn password"), cred.Username) {
		t.Error("the former secret goes on signing credentials")
	}
	if err := os.Truncate(path+formerSuffix, 0); err != nil { // as somebody voids them by hand
		t.Fatal(err)
	}
	reload(false)
	want("signed with one that is no former one any more", before, false)
	want("signed with the one in force", after, true)
	if err := RotateSecret(path, start, start, rand.Reader); err != nil {
		t.Fatal(err)
	}
	reload(true)
	want("voided", after, false)
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := running.Bytes()
	if changed, err := file.Reload(); err == nil || changed || &running.Bytes()[0] != &key[0] {
		t.Errorf("a broken file: changed %v, %v", changed, err)
	}
}

// TestRotateSecretRefuses: a rotation that cannot keep what it should keep changes nothing.
func TestRotateSecretRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	now := time.Now()
	if err := RotateSecret(path, now.Add(time.Hour), now, rand.Reader); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := LoadOrCreateSecret(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for range maxFormer {
		if err := RotateSecret(path, now.Add(time.Hour), now, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := RotateSecret(path, now.Add(time.Hour), now, rand.Reader); err == nil || !strings.Contains(err.Error(), "8 former secrets still verify") {
		t.Errorf("one too many: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the secret changed, %v", err)
	}
	if err := RotateSecret(path, now.Add(3*time.Hour), now.Add(2*time.Hour), rand.Reader); err != nil {
		t.Errorf("after the former ones have ended: %v", err)
	}

	if err := os.WriteFile(path+".old", []byte("correct horse 2026-01-01T00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() error{
		"rotate": func() error { return RotateSecret(path, now.Add(time.Hour), now, rand.Reader) },
		"load":   func() error { _, err := LoadOrCreateSecret(path, rand.Reader); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), "secret.old: a line is not a former secret and its end") || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s with a damaged line: %v", what, err)
		}
	}
}

// TestFormerSecretsAreRedacted: nor does a secret show those before it.
func TestFormerSecretsAreRedacted(t *testing.T) {
	key := []byte("correct horse battery staple")
	s := testSecret("s").withFormer([]formerKey{{NewSecret(key), time.Now().Add(time.Hour)}})
	for how, text := range printings(t, struct{ inner Secret }{s}) {
		if leaks(text, key) {
			t.Errorf("%s shows the former key: %s", how, text)
		}
	}
}
