// Package machine is the user's side of a machine: a key that was made here, by which commands sign in and by which peers know
// this machine again.
//
//	Join ── POST /api/v1/machines ──▶ the server keeps the public key, under a name
//	  │
//	CONFIGDIR/turnpike/machines/HOST_PORT.json   the key of one server: a ticket for it is worth nothing at another
//	  │ Load
//	Machine ── Ticket ──▶ signaling: a short JWT, signed here
//	  │
//	Exchange ── a stream ──▶ the peer's Exchange: each side signs the binding of the stream
//	  │ Proven
//	Known ── CONFIGDIR/turnpike/known/HOST_PORT.json: the keys of others, which the server has vouched for once
package machine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"example.org/turnpike/auth"
)

// ErrNotJoined wraps fs.ErrNotExist: this machine has joined no such server.
var ErrNotJoined = fmt.Errorf("this machine has not joined the server (%w)", fs.ErrNotExist)

// Machine is this machine, as one server knows it.
type Machine struct {
	Server string // scheme://host[:port]
	Name   string
	Room   string // that its tickets open
	Role   auth.Role

	// Now is the clock that tickets are signed by. Nil: time.Now.
	Now func() time.Time

	key ed25519.PrivateKey
}

// keyFile is the file of a machine.
type keyFile struct {
	Server string    `json:"server"`
	Name   string    `json:"name"`
	Room   string    `json:"room"`
	Role   auth.Role `json:"role"`
	Key    string    `json:"key"` // its seed, in base64url
}

const maxKeyFile = 16 << 10

// Load reads what Join has left in dir, the folder of the user's configuration. Its error is ErrNotJoined if there is nothing.
func Load(dir, server string) (*Machine, error) {
	return load(keyPath(dir, server), server)
}

func load(path, server string) (*Machine, error) {
	data, err := readFile(path, maxKeyFile, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotJoined
	}
	if err != nil {
		return nil, err
	}
	var f keyFile
	if json.Unmarshal(data, &f) != nil { // the decoder's own error could quote the key
		return nil, damaged(path)
	}
	seed, err := base64.RawURLEncoding.Strict().DecodeString(f.Key)
	if err != nil || len(seed) != ed25519.SeedSize || !auth.IsMachineName(f.Name) {
		return nil, damaged(path)
	}
	if !strings.EqualFold(f.Server, server) {
		return nil, fmt.Errorf("%s belongs to %q, and not to %s; put it back where it was, or remove it", path, f.Server, server)
	}
	return &Machine{Server: f.Server, Name: f.Name, Room: f.Room, Role: f.Role, key: ed25519.NewKeyFromSeed(seed)}, nil
}

func damaged(path string) error {
	return fmt.Errorf("%s is damaged; restore it, or remove it and run: turnpike join", path)
}

// save writes the machine's file whole, or not at all.
func (m *Machine) save(path string) error {
	data, err := json.MarshalIndent(keyFile{m.Server, m.Name, m.Room, m.Role, base64.RawURLEncoding.EncodeToString(m.key.Seed())}, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// Key is the public half of the machine's key.
func (m *Machine) Key() ed25519.PublicKey { return m.key.Public().(ed25519.PublicKey) }

// Ticket signs a ticket for the machine's server, good for ten minutes.
func (m *Machine) Ticket() (string, error) {
	return auth.SignMachineTicket(m.Name, m.key, timeBy(m.Now), rand.Reader)
}

func timeBy(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

// GetTicket is Ticket for a client.Config.
func (m *Machine) GetTicket(context.Context) (string, error) { return m.Ticket() }

// String names the machine, and hides its key.
func (m *Machine) String() string { return fmt.Sprintf("machine %s at %s", m.Name, m.Server) }

// GoString is String.
func (m *Machine) GoString() string { return m.String() }

// Format covers the verbs that do not ask String.
func (m *Machine) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// LogValue is String, for package slog.
func (m *Machine) LogValue() slog.Value { return slog.StringValue(m.String()) }

// keyPath and knownPath name the files of a server.
func keyPath(dir, server string) string { return serverFile(dir, "machines", server) }

func knownPath(dir, server string) string { return serverFile(dir, "known", server) }

// serverFile is a file of one server: of its host and port, in characters that every system takes in names.
func serverFile(dir, kind, server string) string {
	host, port := server, ""
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		host, port = u.Hostname(), u.Port()
		if port == "" {
			port = map[string]string{"http": "80"}[u.Scheme]
		}
	}
	if port == "" {
		port = "443"
	}
	fit := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}
	return filepath.Join(dir, "turnpike", kind, strings.Map(fit, strings.ToLower(host))+"_"+port+".json")
}

// readFile reads a file of at most so many bytes. A private one must be closed to everybody but its owner.
func readFile(path string, atMost int64, private bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 && runtime.GOOS != "windows" { // which has access lists instead
		return nil, fmt.Errorf("%s: mode %04o lets others read this machine's key; run: chmod 600 %s", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, atMost+1))
	if err == nil && int64(len(data)) > atMost {
		err = fmt.Errorf("%s is longer than %d bytes, so it is damaged; restore or remove it", path, atMost)
	}
	return data, err
}

// writeFile puts a file, which only its owner may read, into the place of another in one step.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp") // with mode 0600
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// isLoopback reports whether a host is this machine, to which a ticket may go unencrypted.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") { // names below it may be asked of a DNS server
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
