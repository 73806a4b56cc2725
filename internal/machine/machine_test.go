package machine

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

const server = "https://turn.example.org"

// newMachine makes a machine without a server.
func newMachine(t *testing.T, name string) *Machine {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Machine{Server: server, Name: name, Room: "home", Role: auth.RoleMember, key: key}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir, server); !errors.Is(err, ErrNotJoined) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("with nothing there: %v", err)
	}
	m := newMachine(t, "nas")
	path := filepath.Join(dir, "turnpike", "machines", "turn.example.org_443.json")
	if err := m.save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir, "https://TURN.example.org:443"[:len("https://TURN.example.org")])
	if err != nil || got.Name != "nas" || got.Room != "home" || got.Role != auth.RoleMember || !got.key.Equal(m.key) {
		t.Fatalf("%v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info, err)
	}
	ticket, err := got.Ticket()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := auth.VerifyMachineTicket(ticket, "nas", m.Key(), time.Now()); err != nil {
		t.Errorf("its ticket: %v", err)
	}
	if _, err := load(path, "https://other.example.org"); err == nil || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("another server's file: %v", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"empty": "", "cut": string(data[:len(data)/2]), "no key": `{"server":"` + server + `","name":"nas"}`,
		"a short key": `{"server":"` + server + `","name":"nas","key":"AAAA"}`, "a name": strings.Replace(string(data), `"nas"`, `"../nas"`, 1),
		"long": string(data) + strings.Repeat(" ", maxKeyFile),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Load(dir, server); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v, %v", what, m, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, server); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
}

func TestServerFile(t *testing.T) {
	for server, want := range map[string]string{
		"https://turn.example.org":      "turn.example.org_443.json",
		"https://TURN.example.org:8443": "turn.example.org_8443.json",
		"http://localhost":              "localhost_80.json",
		"https://[2001:db8::1]:444":     "2001-db8--1_444.json",
		"https://../../etc/passwd":      ".._443.json",
	} {
		if got := keyPath("dir", server); got != filepath.Join("dir", "turnpike", "machines", want) {
			t.Errorf("%s: %s", server, got)
		}
	}
}

// TestKeyIsHidden: however a machine is printed, its key is not.
func TestKeyIsHidden(t *testing.T) {
	m := newMachine(t, "nas")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, m); got != "machine nas at "+server {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if got := m.LogValue().String(); got != "machine nas at "+server {
		t.Error(got)
	}
}
