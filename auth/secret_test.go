package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// leaks looks for key in printed, in the forms that Go's printers give bytes.
func leaks(printed string, key []byte) bool {
	for _, form := range []string{
		string(key), fmt.Sprintf("%x", key), fmt.Sprintf("%X", key),
		strings.Trim(fmt.Sprint(key), "[]"), strings.TrimSuffix(fmt.Sprintf("%#v", key), "}")[len("[]byte{"):],
	} {
		if strings.Contains(printed, form) {
			return true
		}
	}
	return false
}

// printings prints v in each way that might show a key.
func printings(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%T", "%y"} {
		out["fmt "+verb] = fmt.Sprintf(verb, v)
	}
	out["fmt.Sprint"] = fmt.Sprint(v)
	out["error %v"] = fmt.Errorf("wrapped: %v", v).Error()
	var text, jsons bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).With("with", v).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&jsons, nil)).With("with", v).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog text"], out["slog json"] = text.String(), jsons.String()
	return out
}

func TestSecretIsRedacted(t *testing.T) {
	key := []byte("correct horse battery staple")
	s := NewSecret(key)
	type hidden struct {
		name   string
		secret Secret // Unexported: fmt does not ask its methods.
		list   []Secret
	}
	values := map[string]any{
		"secret":  s,
		"pointer": &s,
		"derived": s.Derive("x"),
		"slice":   []Secret{s},
		"map":     map[string]Secret{"k": s},
		"field":   struct{ Key Secret }{s},
		"hidden":  hidden{"n", s, []Secret{s}},
		"hidden+": &hidden{"n", s, []Secret{s}},
		"any":     []any{s, &s},
	}
	for name, v := range values {
		printed := printings(t, v)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed["json"] = string(data)
		for how, text := range printed {
			if leaks(text, key) || leaks(text, s.Derive("x").Bytes()) {
				t.Errorf("%s through %s shows the key: %s", name, how, text)
			}
			if (name == "secret" || name == "derived") && how != "fmt %T" && !strings.Contains(text, redacted) {
				t.Errorf("%s through %s does not say that it is redacted: %s", name, how, text)
			}
		}
	}
}

// TestLeaksFindsLeaks holds that TestSecretIsRedacted can fail.
func TestLeaksFindsLeaks(t *testing.T) {
	key := []byte("correct horse battery staple")
	for how, text := range printings(t, struct{ key []byte }{key}) {
		switch how {
		case "fmt %T", "fmt %c", "fmt %q", "fmt %#v", "fmt %y", "slog json": // Forms that leaks does not know, or no form at all.
		default:
			if !leaks(text, key) {
				t.Errorf("%s: the key is not found in %s", how, text)
			}
		}
	}
}

func TestSecretHoldsItsKey(t *testing.T) {
	key := []byte("key")
	s := NewSecret(key)
	key[0] = 'X'
	if string(s.Bytes()) != "key" {
		t.Errorf("the secret changed with the slice it was made from: %q", s.Bytes())
	}
	if s.IsZero() || !(Secret{}).IsZero() || !NewSecret(nil).IsZero() || !NewSecret([]byte{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if (Secret{}).Bytes() != nil {
		t.Error("the zero secret has bytes")
	}
}

func TestDerive(t *testing.T) {
	s := testSecret("s")
	a, again, b, other := s.Derive("a"), s.Derive("a"), s.Derive("b"), testSecret("t").Derive("a")
	if len(a.Bytes()) != 32 {
		t.Errorf("%d bytes, want 32", len(a.Bytes()))
	}
	if !bytes.Equal(a.Bytes(), again.Bytes()) {
		t.Error("one purpose, two keys")
	}
	if bytes.Equal(a.Bytes(), b.Bytes()) || bytes.Equal(a.Bytes(), other.Bytes()) || bytes.Equal(a.Bytes(), s.Bytes()) {
		t.Error("two purposes or two secrets, one key")
	}
	// Computed with another implementation (Python's hmac, by RFC 5869), and
	// frozen: an upgrade must keep what older versions signed.
	const want = "f2929b7d4eee334f6eff7977cffcd625c2293dc27ae068eefe785089f6d7f497"
	if got := hex.EncodeToString(NewSecret([]byte("frozen")).Derive("purpose").Bytes()); got != want {
		t.Errorf("derivation changed: %s", got)
	}
}

func TestEmptySecretsPanic(t *testing.T) {
	now := fixedClock(epoch)
	for name, f := range map[string]func(){
		"Derive":         func() { Secret{}.Derive("x") },
		"NewTickets":     func() { NewTickets(Secret{}, now, testRand("")) },
		"NewInvites":     func() { NewInvites(Secret{}, now, testRand("")) },
		"NewCredentials": func() { NewCredentials("r", Secret{}, nil, now) },
		"shared secret":  func() { NewCredentials("r", testSecret("s"), []Secret{{}}, now) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("an empty secret was accepted")
				}
			}()
			f()
		})
	}
}

func TestLoadOrCreateSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "secret")
	created, err := LoadOrCreateSecret(path, testRand("1"))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadOrCreateSecret(path, iotest.ErrReader(io.ErrUnexpectedEOF)) // Loading needs no randomness.
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(created.Bytes(), loaded.Bytes()) || len(created.Bytes()) != 32 {
		t.Errorf("created %x, loaded %x", created.Bytes(), loaded.Bytes())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(created.Bytes()) + "\n"; string(text) != want {
		t.Errorf("the file holds %q, want %q", text, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left beside the secret: %v, %v", entries, err)
	}
	if runtime.GOOS == "windows" {
		return // No modes there.
	}
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(p), info.Mode(), want)
		}
	}
}

func TestSecretFileRefused(t *testing.T) {
	good := strings.Repeat("ab", 32) + "\n"
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string // In the error.
	}{
		"others may read": {good, 0o604, "chmod 600"},
		"group may read":  {good, 0o640, "chmod 600"},
		"others write":    {good, 0o602, "chmod 600"},
		"empty":           {"", 0o600, "hint"},
		"cut":             {good[:40], 0o600, "hint"},
		"too long":        {strings.TrimSpace(good) + good, 0o600, "hint"},
		"far too long":    {strings.Repeat(good, 100), 0o600, "hint"},
		"not hexadecimal": {strings.Repeat("xy", 32), 0o600, "hint"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.mode != 0o600 {
				t.Skip("windows has no modes")
			}
			path := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			s, err := LoadOrCreateSecret(path, testRand("1"))
			if err == nil || !s.IsZero() {
				t.Fatalf("accepted, error %v", err)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error has no hint or no path: %v", err)
			}
			if len(tt.text) > 8 && strings.Contains(err.Error(), tt.text[:8]) {
				t.Errorf("the error quotes the file: %v", err)
			}
			if after, _ := os.ReadFile(path); string(after) != tt.text {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		if _, err := LoadOrCreateSecret(t.TempDir(), testRand("1")); err == nil {
			t.Error("a directory was accepted")
		}
	})
	t.Run("no randomness", func(t *testing.T) {
		dir := t.TempDir()
		_, err := LoadOrCreateSecret(filepath.Join(dir, "secret"), iotest.ErrReader(io.ErrUnexpectedEOF))
		if err == nil {
			t.Error("a secret was made of nothing")
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("files left: %v", entries)
		}
	})
}

func TestLoadOrCreateSecretRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "secret")
	const racers = 32
	secrets, errs := make([]Secret, racers), make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			secrets[i], errs[i] = LoadOrCreateSecret(path, testRand(fmt.Sprint(i)))
		})
	}
	close(start)
	wg.Wait()
	for i := range racers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if !bytes.Equal(secrets[i].Bytes(), secrets[0].Bytes()) {
			t.Fatal("two racers got two secrets")
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("files left beside the secret: %v, %v", entries, err)
	}
}

func TestCredentialIsRedacted(t *testing.T) {
	cred := Credential{Username: "1777863721:ann", Password: "hunter2hunter2hunter2", Expires: epoch}
	keys := Keys{MD5: [16]byte([]byte("sixteen byte key")), SHA256: [32]byte([]byte("this key is of thirty-two bytes."))}
	candidate := Candidate{Keys: keys, Grant: Grant{Username: cred.Username, Kind: GrantREST, Expires: epoch}}
	for name, v := range map[string]any{
		"credential": cred, "credential pointer": &cred, "candidate": candidate, "candidates": []Candidate{candidate},
	} {
		for how, text := range printings(t, v) {
			if leaks(text, []byte(cred.Password)) || leaks(text, keys.MD5[:]) || leaks(text, keys.SHA256[:]) {
				t.Errorf("%s through %s shows the password: %s", name, how, text)
			}
			if !strings.Contains(text, cred.Username) && how != "fmt %T" {
				t.Errorf("%s through %s does not show the username: %s", name, how, text)
			}
		}
	}
	for how, text := range printings(t, keys) {
		if leaks(text, keys.MD5[:]) || leaks(text, keys.SHA256[:]) {
			t.Errorf("keys through %s show: %s", how, text)
		}
	}
	data, err := json.Marshal(cred)
	if err != nil || !bytes.Contains(data, []byte(cred.Password)) {
		t.Errorf("the JSON made on purpose lacks the password: %s, %v", data, err)
	}
	if got, want := cred.String(), "{Username:1777863721:ann Password:[redacted] Expires:"+epoch.Format(time.RFC3339)+"}"; got != want {
		t.Errorf("String: %s\n  want: %s", got, want)
	}
}
