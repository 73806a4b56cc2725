package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func openTestMachines(t *testing.T, path string, now func() time.Time) *Machines {
	t.Helper()
	m, err := OpenMachines(path, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// someMachine makes a machine that may join, and its key.
func someMachine(t *testing.T, name string) (Machine, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Machine{Name: name, Key: public, Role: RoleMember, Room: "home", Invite: "invite"}, private
}

func noUse() error { return nil }

func mustAdd(t *testing.T, m *Machines, machine Machine) Machine {
	t.Helper()
	joined, err := m.Add(machine, 100, noUse)
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

func names(machines []Machine) (out []string) {
	for _, m := range machines {
		out = append(out, m.Name)
	}
	return out
}

// TestMachines walks through the life of a machine, seen by two processes and by one that starts later.
func TestMachines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "machines")
	a, b := openTestMachines(t, path, time.Now), openTestMachines(t, path, time.Now)
	nas, _ := someMachine(t, "nas")
	pi, _ := someMachine(t, "pi")
	pi.Role, pi.Room, pi.Invite = RoleGuest, "garden", "other"
	nas, pi = mustAdd(t, a, nas), mustAdd(t, b, pi)
	if ended, err := a.Poll(); len(ended) != 0 || err != nil {
		t.Fatalf("ended %v, %v", ended, err)
	}
	if got := a.List(); !reflect.DeepEqual(got, []Machine{nas, pi}) {
		t.Fatalf("a has %+v\nwant %+v", got, []Machine{nas, pi})
	}
	later, err := ReadMachines(path, time.Now, slog.New(slog.DiscardHandler))
	if err != nil || !reflect.DeepEqual(later.List(), []Machine{nas, pi}) {
		t.Fatalf("%+v, %v", later.List(), err)
	}
	other, _ := someMachine(t, "nas")
	if _, err := b.Add(other, 100, func() error { t.Error("a use was counted for a name that is taken"); return nil }); !errors.Is(err, ErrMachineName) {
		t.Errorf("a name of another: %v", err)
	}
	if revoked, err := b.Revoke("nas"); err != nil || revoked.Name != "nas" || !revoked.is(&nas) {
		t.Fatalf("%+v, %v", revoked, err)
	}
	for what, m := range map[string]*Machines{"a": a, "b": b} {
		if ended, err := m.Poll(); err != nil || !slices.Equal(names(ended), []string{"nas"}) || !slices.Equal(names(m.List()), []string{"pi"}) {
			t.Errorf("%s: ended %v, %v, left %v", what, ended, err, m.List())
		}
		if ended, err := m.Poll(); len(ended) != 0 || err != nil {
			t.Errorf("%s: ended again %v, %v", what, ended, err)
		}
	}
	if _, err := a.Revoke("nas"); !errors.Is(err, ErrNoMachine) {
		t.Errorf("revoked twice: %v", err)
	}
	if joined := mustAdd(t, a, other); !joined.Key.Equal(other.Key) {
		t.Errorf("the name is not free: %+v", joined)
	}
	if revoked, err := a.RevokeInvited("other", "none"); err != nil || !slices.Equal(names(revoked), []string{"pi"}) {
		t.Errorf("revoked %v, %v", revoked, err)
	}
	if revoked, err := a.RevokeInvited("other"); err != nil || len(revoked) != 0 {
		t.Errorf("revoked again %v, %v", revoked, err)
	}
}

// TestMachineUsesInvite: a machine that asks again with its key costs no second use, and a use that fails lets nobody in.
func TestMachineUsesInvite(t *testing.T) {
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), time.Now)
	nas, _ := someMachine(t, "nas")
	if _, err := m.Add(nas, 100, func() error { return ErrInviteUsed }); !errors.Is(err, ErrInviteUsed) || len(m.List()) != 0 {
		t.Fatalf("%v, %v", err, m.List())
	}
	first := mustAdd(t, m, nas)
	again, err := m.Add(nas, 0, func() error { t.Error("counted again"); return nil })
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("%+v, %v", again, err)
	}
}

// TestMachinesAreBounded: neither all machines nor those of one invite are more than may be.
func TestMachinesAreBounded(t *testing.T) {
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), time.Now)
	full := func() error { t.Error("a use was counted for nothing"); return nil }
	for i := range invitedMachines {
		machine, _ := someMachine(t, fmt.Sprint("m", i))
		if _, err := m.Add(machine, 20, noUse); err != nil {
			t.Fatal(err)
		}
	}
	machine, _ := someMachine(t, "more")
	if _, err := m.Add(machine, 20, full); !errors.Is(err, ErrMachinesFull) {
		t.Errorf("of one invite: %v", err)
	}
	if _, err := m.Add(machine, 80, noUse); err != nil {
		t.Errorf("a quarter of 80 is more: %v", err)
	}
	machine, _ = someMachine(t, "other")
	machine.Invite = "other"
	if _, err := m.Add(machine, len(m.List()), full); !errors.Is(err, ErrMachinesFull) {
		t.Errorf("of all: %v", err)
	}
}

// TestMachinesConcurrently: many processes and goroutines cannot give one name twice.
func TestMachinesConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machines")
	all := []*Machines{openTestMachines(t, path, time.Now), openTestMachines(t, path, time.Now)}
	var adding sync.WaitGroup
	var mu sync.Mutex
	var won int
	for i := range 16 {
		machine, _ := someMachine(t, "nas")
		adding.Go(func() {
			_, err := all[i%2].Add(machine, 100, noUse)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, ErrMachineName) {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	if won != 1 {
		t.Errorf("%d machines have one name", won)
	}
}

// TestPruneMachines: the file forgets machines that were revoked, also where another process has read of them only since, and no one else.
func TestPruneMachines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machines")
	a, b := openTestMachines(t, path, time.Now), openTestMachines(t, path, time.Now)
	nas, _ := someMachine(t, "nas")
	pi, _ := someMachine(t, "pi")
	nas, pi = mustAdd(t, a, nas), mustAdd(t, a, pi)
	if _, err := b.Poll(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke("nas"); err != nil {
		t.Fatal(err)
	}
	anew, _ := someMachine(t, "nas")
	anew = mustAdd(t, a, anew)
	if err := a.Prune(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), "\n") != 2 || strings.Contains(string(data), EncodeMachineKey(nas.Key)) {
		t.Errorf("%s, %v", data, err)
	}
	ended, err := b.Poll()
	if err != nil || len(ended) != 1 || !ended[0].is(&nas) || !reflect.DeepEqual(b.List(), []Machine{anew, pi}) {
		t.Errorf("ended %v, %v, left %v", ended, err, b.List())
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prune(); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(path); err != nil || !os.SameFile(info, again) {
		t.Errorf("written anew for nothing: %v", err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %v", mode)
	}
}

// TestMachinesOfDamagedFile: a line that is damaged lets nobody in, and the others count.
func TestMachinesOfDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machines")
	m := openTestMachines(t, path, time.Now)
	nas, _ := someMachine(t, "nas")
	mustAdd(t, m, nas)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{`"nas"`, `"na s"`}, {`"nas"`, `"-x"`}, {`"joined"`, `"come"`}, {`"member"`, `"king"`}, {`"home"`, `""`}, {EncodeMachineKey(nas.Key), "AAAA"}} {
		line := strings.ReplaceAll(string(good), edit[0], edit[1])
		if line == string(good) {
			t.Fatalf("%q is not in %s", edit[0], good)
		}
		if err := os.WriteFile(path, []byte(line+string(good)[:len(good)-5]), 0o600); err != nil {
			t.Fatal(err)
		}
		if read, err := ReadMachines(path, time.Now, slog.New(slog.DiscardHandler)); err != nil || len(read.List()) != 0 {
			t.Errorf("%q: %v, %v", edit[1], read.List(), err)
		}
	}
}

// TestMachinesOfOlderFile: machines that a restored or emptied file does not name have ended.
func TestMachinesOfOlderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machines")
	m := openTestMachines(t, path, time.Now)
	nas, _ := someMachine(t, "nas")
	mustAdd(t, m, nas)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if ended, err := m.Poll(); err != nil || !slices.Equal(names(ended), []string{"nas"}) || len(m.List()) != 0 {
		t.Errorf("ended %v, %v, left %v", ended, err, m.List())
	}
}

func TestKeeps(t *testing.T) {
	m := openTestMachines(t, filepath.Join(t.TempDir(), "machines"), time.Now)
	nas, _ := someMachine(t, "nas")
	mustAdd(t, m, nas)
	for _, row := range []struct {
		name string
		user User
		want bool
	}{
		{"nas", User{Issuer, "nas"}, true}, {"nas", User{"app", "nas"}, true}, {"nas", User{MachineIssuer, "pi"}, true},
		{"nas", User{MachineIssuer, "nas"}, false}, {"pi", User{Issuer, "u"}, false},
	} {
		if got := m.Keeps(row.name, row.user); got != row.want {
			t.Errorf("%s for %s: %v", row.name, row.user, got)
		}
	}
}

func FuzzMachineLine(f *testing.F) {
	f.Add([]byte(`{"event":"joined","name":"nas","key":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","at":"2026-01-02T03:04:05.000006Z","role":"member","room":"home","invite":"x"}`))
	f.Add([]byte(`{"event":"revoked","name":"nas","key":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","at":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		event, m, err := parseMachineEvent(line)
		if err != nil {
			return
		}
		if !IsMachineName(m.Name) || len(m.Key) != ed25519.PublicKeySize || m.Made.IsZero() || event == eventJoined && (m.Room == "" || !m.Role.valid()) {
			t.Errorf("%q is taken for %+v", line, m)
		}
		again, err := json.Marshal(machineEvent{event, m.Name, EncodeMachineKey(m.Key), m.Made, m.Role, m.Room, m.Invite})
		if err != nil {
			return // a year that no text can have
		}
		if _, same, err := parseMachineEvent(again); err != nil || !reflect.DeepEqual(m, same) {
			t.Errorf("%q reads as %+v, and then %+v, %v", line, m, same, err)
		}
	})
}
