package auth

import (
	"bytes"
	"io"
	"os"
	"slices"
	"sync/atomic"
)

// SecretFile is the file of a secret, with the former ones beside it. RotateSecret
// may change it while a process runs.
type SecretFile struct {
	path    string
	current atomic.Pointer[material]

	// Owned by the goroutine that calls Reload.
	seen [2]os.FileInfo // The two files when they were read last.
}

// OpenSecretFile is LoadOrCreateSecret for a process that takes up a new secret
// while it runs.
func OpenSecretFile(path string, rand io.Reader) (*SecretFile, error) {
	f := &SecretFile{path: path}
	f.seen = f.look()
	s, err := LoadOrCreateSecret(path, rand)
	if err != nil {
		return nil, err
	}
	f.current.Store(s.material())
	return f, nil
}

// Secret is the secret that is in force, at any time.
func (f *SecretFile) Secret() Secret { return Secret{f.current.Load} }

// Reload takes up another secret, or other former ones, if the files have changed.
// isNew says that another one signs now. If the files cannot be read, all stays as it
// is. It is cheap if nothing has changed.
func (f *SecretFile) Reload() (isNew bool, err error) {
	there := f.look() // Before reading: a change in between is seen the next time.
	if sameFile(there[0], f.seen[0]) && sameFile(there[1], f.seen[1]) {
		return false, nil
	}
	s, err := LoadSecret(f.path)
	if err != nil {
		return false, err
	}
	f.seen = there
	now, before := s.material(), f.current.Load()
	isNew = !bytes.Equal(now.key, before.key)
	if isNew || !slices.EqualFunc(now.former, before.former, formerKey.equal) {
		f.current.Store(now)
	}
	return isNew, nil
}

func (k formerKey) equal(other formerKey) bool {
	return k.until.Equal(other.until) && bytes.Equal(k.secret.Bytes(), other.secret.Bytes())
}

// look returns what is there of the two files; nil: nothing.
func (f *SecretFile) look() (there [2]os.FileInfo) {
	for i, path := range []string{f.path, f.path + formerSuffix} {
		if info, err := os.Stat(path); err == nil {
			there[i] = info
		}
	}
	return there
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
