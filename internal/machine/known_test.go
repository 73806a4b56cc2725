package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestKnown(t *testing.T) {
	dir := t.TempDir()
	known := OpenKnown(dir, server)
	nas, pi := newMachine(t, "nas"), newMachine(t, "pi")
	if err := known.Check("nas", nas.Key()); !errors.Is(err, ErrUnknown) {
		t.Fatalf("with no pins: %v", err)
	}
	if was, err := known.Forget("nas"); was || err != nil {
		t.Fatalf("forgot %v, %v", was, err)
	}
	for range 2 {
		if err := known.Pin("nas", nas.Key()); err != nil {
			t.Fatal(err)
		}
	}
	if err := OpenKnown(dir, server).Check("nas", nas.Key()); err != nil {
		t.Errorf("the pinned key: %v", err)
	}
	if err := OpenKnown(dir, "https://other.example.org").Check("nas", nas.Key()); !errors.Is(err, ErrUnknown) {
		t.Errorf("at another server: %v", err)
	}
	changed := func(err error, none bool) {
		t.Helper()
		if e, ok := errors.AsType[*ChangedError](err); !ok || e.None != none || !strings.HasSuffix(err.Error(), "run: turnpike machines --forget nas") {
			t.Errorf("another key, none %v: %v", none, err)
		}
	}
	changed(known.Check("nas", pi.Key()), false)
	changed(known.Check("nas", nil), true)
	changed(known.Pin("nas", pi.Key()), false)
	if err := known.Check("nas", nas.Key()); err != nil {
		t.Errorf("the key has changed silently: %v", err)
	}
	if err := known.Pin("../nas", nas.Key()); err == nil {
		t.Error("a bad name is pinned")
	}
	if err := known.Pin("short", nas.Key()[:31]); err == nil {
		t.Error("a short key is pinned")
	}
	if was, err := known.Forget("nas"); !was || err != nil {
		t.Fatalf("forgot %v, %v", was, err)
	}
	if err := known.Pin("nas", pi.Key()); err != nil {
		t.Fatal(err)
	}
	if pins, err := known.List(); err != nil || len(pins) != 1 || pins[0].Name != "nas" || !pins[0].Key.Equal(pi.Key()) {
		t.Errorf("pins %v, %v", pins, err)
	}
}

// TestKnownConcurrently: no command's pin is lost because another pins at the same time.
func TestKnownConcurrently(t *testing.T) {
	dir, key := t.TempDir(), newMachine(t, "nas").Key()
	var pinning sync.WaitGroup
	for i := range 20 {
		pinning.Go(func() {
			if err := OpenKnown(dir, server).Pin(fmt.Sprint("m", i), key); err != nil {
				t.Error(err)
			}
		})
	}
	pinning.Wait()
	if pins, err := OpenKnown(dir, server).List(); err != nil || len(pins) != 20 {
		t.Errorf("%d pins, %v", len(pins), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "turnpike", "known", "*")); err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
}

// TestKnownLooksAgain: what another command pins or forgets counts at once, and a file that is as before is not read again.
func TestKnownLooksAgain(t *testing.T) {
	dir, key := t.TempDir(), newMachine(t, "nas").Key()
	known, other := OpenKnown(dir, server), OpenKnown(dir, server)
	for range 3 {
		if err := known.Check("nas", key); !errors.Is(err, ErrUnknown) {
			t.Fatalf("before it is pinned: %v", err)
		}
		if err := other.Pin("nas", key); err != nil {
			t.Fatal(err)
		}
		if err := known.Check("nas", key); err != nil {
			t.Fatalf("pinned by another command: %v", err)
		}
		first := known.last
		if err := known.Check("nas", key); err != nil || known.last != first {
			t.Fatalf("the same file is read twice (%v)", err)
		}
		if was, err := other.Forget("nas"); !was || err != nil {
			t.Fatal(was, err)
		}
	}
}

// TestKnownDamaged: a file that cannot be read is no empty one, or every key would be believed again.
func TestKnownDamaged(t *testing.T) {
	dir := t.TempDir()
	known, nas := OpenKnown(dir, server), newMachine(t, "nas")
	if err := known.Pin("nas", nas.Key()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(known.path)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"empty": "", "cut": string(data[:len(data)/2]), "no object": "[]", "no pin": `{"server":"` + server + `","machines":{"nas":null}}`,
		"no key": `{"server":"` + server + `","machines":{"nas":{}}}`, "no server": `{"machines":{}}`,
	} {
		if err := os.WriteFile(known.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := known.Check("nas", nas.Key()); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
		if err := known.Pin("pi", nas.Key()); err == nil {
			t.Errorf("%s: pinned", what)
		}
	}
}

func FuzzKnown(f *testing.F) {
	f.Add([]byte(`{"server":"https://turn.example.org","machines":{"nas":{"key":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","since":"2026-01-02T03:04:05Z"}}}`))
	f.Add([]byte(`{"machines":{"nas":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseKnown(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		same, err := parseKnown(again)
		if err != nil || len(same.Machines) != len(got.Machines) {
			t.Fatalf("%s: %v, %v", again, same, err)
		}
		for name, pin := range got.Machines {
			if pin == nil || len(pin.Key) != 43 || same.Machines[name].Key != pin.Key {
				t.Errorf("%q: %v", name, pin)
			}
		}
	})
}
