package machine

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/auth"
)

const (
	// maxKnown bounds the pins of one server.
	maxKnown = 4096

	maxKnownFile = 1 << 20
)

// ErrUnknown says that no key is pinned for a name.
var ErrUnknown = errors.New("no key is pinned for this machine")

// ChangedError says that a machine has another key than the one that is pinned for its name, or none.
type ChangedError struct {
	Name  string
	Since time.Time // of the pin
	None  bool      // the peer that has the name now proves no key
}

// Error says what to do, too.
func (e *ChangedError) Error() string {
	what := "has another key than the one that was pinned here on "
	if e.None {
		what = "proves no key, and one was pinned here for that name on "
	}
	return fmt.Sprintf("%s %s%s: somebody else may stand in its place; if its owner says that it has joined anew, run: turnpike machines --forget %s",
		e.Name, what, e.Since.Local().Format(time.DateOnly), e.Name)
}

// Pin is the key of a machine, as this user knows it.
type Pin struct {
	Name  string
	Key   ed25519.PublicKey
	Since time.Time
}

// Known has the keys of the machines of one server, by name. It looks at its file each time, because several commands may
// run. A key never changes there unless Forget takes it away.
type Known struct {
	path, server string

	mu   sync.Mutex
	last *knownFile  // guarded by mu, as is of: what was read last. It does not change
	of   fs.FileInfo // the file that this was
}

// knownFile is the file of the pins.
type knownFile struct {
	Server   string               `json:"server"`
	Machines map[string]*knownKey `json:"machines"`
}

type knownKey struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
}

// OpenKnown returns the pins of a server. dir is the folder of the user's configuration.
func OpenKnown(dir, server string) *Known {
	return &Known{path: knownPath(dir, server), server: server}
}

// Check compares a proven key with the pin for a name: nil, ErrUnknown or a ChangedError. A nil key is one that was not proved.
func (k *Known) Check(name string, key ed25519.PublicKey) error {
	f, err := k.current()
	if err != nil {
		return err
	}
	pin, known := f.Machines[name]
	switch {
	case !known:
		return ErrUnknown
	case key == nil || pin.Key != auth.EncodeMachineKey(key):
		return &ChangedError{name, pin.Since, key == nil}
	}
	return nil
}

// Pin keeps the key of a machine that the server has vouched for. It replaces none: if another command was faster, its key counts.
func (k *Known) Pin(name string, key ed25519.PublicKey) error {
	if !auth.IsMachineName(name) || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%.40q is no machine", name)
	}
	return k.change(func(f *knownFile) error {
		if pin := f.Machines[name]; pin != nil {
			if pin.Key != auth.EncodeMachineKey(key) {
				return &ChangedError{Name: name, Since: pin.Since}
			}
			return nil
		}
		if len(f.Machines) >= maxKnown {
			return fmt.Errorf("%s has %d machines already; take some away with: turnpike machines --forget NAME", k.path, maxKnown)
		}
		f.Machines[name] = &knownKey{auth.EncodeMachineKey(key), time.Now().UTC().Truncate(time.Second)}
		return nil
	})
}

// Forget drops the pin for a name. It reports whether there was one.
func (k *Known) Forget(name string) (was bool, err error) {
	if f, err := k.read(); err != nil || f.Machines[name] == nil { // then nothing needs to be written
		return false, err
	}
	err = k.change(func(f *knownFile) error {
		_, was = f.Machines[name]
		delete(f.Machines, name)
		return nil
	})
	return was, err
}

// List returns the pins, sorted by name.
func (k *Known) List() ([]Pin, error) {
	f, err := k.read()
	if err != nil {
		return nil, err
	}
	var pins []Pin
	for _, name := range slices.Sorted(maps.Keys(f.Machines)) {
		pin := f.Machines[name]
		key, err := auth.ParseMachineKey(pin.Key)
		if err != nil {
			return nil, k.damaged()
		}
		pins = append(pins, Pin{name, key, pin.Since})
	}
	return pins, nil
}

// current returns what the file says, and reads it only if it is another one than before: strangers' streams may ask often.
func (k *Known) current() (*knownFile, error) {
	info, missing := os.Stat(k.path)
	if missing == nil {
		k.mu.Lock()
		last, same := k.last, k.of != nil && os.SameFile(info, k.of) && info.ModTime().Equal(k.of.ModTime()) && info.Size() == k.of.Size()
		k.mu.Unlock()
		if same {
			return last, nil
		}
	}
	f, err := k.read()
	if err == nil && missing == nil {
		k.mu.Lock()
		k.last, k.of = f, info
		k.mu.Unlock()
	}
	return f, err
}

func (k *Known) read() (*knownFile, error) {
	data, err := readFile(k.path, maxKnownFile, false)
	if errors.Is(err, fs.ErrNotExist) {
		return &knownFile{Server: k.server, Machines: map[string]*knownKey{}}, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := parseKnown(data)
	if err != nil {
		return nil, k.damaged()
	}
	if !strings.EqualFold(f.Server, k.server) {
		return nil, fmt.Errorf("%s belongs to %q, and not to %s; put it back where it was, or remove it", k.path, f.Server, k.server)
	}
	return f, nil
}

func (k *Known) damaged() error {
	return fmt.Errorf("%s is damaged, so nobody can tell which machine is which; restore it, or remove it, and the server vouches for all keys again", k.path)
}

// parseKnown reads a file of pins. It refuses what would count as no pin.
func parseKnown(data []byte) (*knownFile, error) {
	f := &knownFile{}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, err
	}
	for name, pin := range f.Machines {
		if !auth.IsMachineName(name) || pin == nil {
			return nil, fmt.Errorf("%.40q is no machine", name)
		}
		if _, err := auth.ParseMachineKey(pin.Key); err != nil {
			return nil, err
		}
	}
	if f.Machines == nil {
		f.Machines = map[string]*knownKey{}
	}
	return f, nil
}

// change reads the pins, and writes them as do leaves them. No other command writes meanwhile.
func (k *Known) change(do func(*knownFile) error) error {
	unlock, err := auth.LockFile(filepath.Dir(k.path) + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := k.read()
	if err != nil {
		return err
	}
	if err := do(f); err != nil {
		return err
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(k.path, append(data, '\n')); err != nil {
		return fmt.Errorf("pin a machine's key: %w", err)
	}
	return nil
}
