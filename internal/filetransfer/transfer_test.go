package filetransfer

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// outcome is what both sides of a transfer have said.
type outcome struct {
	result  *Result
	sent    error
	err     error
	session *Session
}

// transfer runs a transfer between a sender and a receiver to its end.
func transfer(t testing.TB, s *Sender, n *memNet, o ReceiverOptions) outcome {
	t.Helper()
	return transferBy(t, s, n, func(ctx context.Context) (*Result, error) { return Receive(ctx, n, o) })
}

func transferBy(t testing.TB, s *Sender, n *memNet, receive func(context.Context) (*Result, error)) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session := s.Session()
	sent := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	defer stop()
	go func() { sent <- session.Serve(serving, n) }()
	result, err := receive(ctx)
	if err != nil {
		time.AfterFunc(2*time.Second, stop) // the sender waits for the receiver to come back
	}
	return outcome{result, <-sent, err, session}
}

func newSender(t testing.TB, o SenderOptions, paths ...string) *Sender {
	t.Helper()
	s, err := NewSender(paths, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sameTree fails unless both folders have the same files and folders, with bytes, modes and times.
func sameTree(t testing.TB, want, got string) {
	t.Helper()
	list := func(root string) map[string]fs.FileInfo {
		all := map[string]fs.FileInfo{}
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if p == root {
				return err
			}
			rel, _ := filepath.Rel(root, p)
			info, err := d.Info()
			all[rel] = info
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	wants, gots := list(want), list(got)
	for name := range gots {
		if wants[name] == nil {
			t.Errorf("%s is there and should not be", name)
		}
	}
	for name, w := range wants {
		g := gots[name]
		if g == nil {
			t.Errorf("%s is not there", name)
			continue
		}
		if w.Mode() != g.Mode() || !w.ModTime().Equal(g.ModTime()) {
			t.Errorf("%s has %v %v, and should have %v %v", name, g.Mode(), g.ModTime(), w.Mode(), w.ModTime())
		}
		if w.Mode().IsRegular() {
			a, err1 := os.ReadFile(filepath.Join(want, name))
			b, err2 := os.ReadFile(filepath.Join(got, name))
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Errorf("%s is not the same: %d bytes, %d bytes, %v %v", name, len(a), len(b), err1, err2)
			}
		}
	}
}

func TestOneFile(t *testing.T) {
	for _, size := range []int{0, 1, 1000, blockSize - 1, blockSize, blockSize + 1, 5*blockSize + 12345} {
		from, to := t.TempDir(), t.TempDir()
		content := randomBytes(uint64(size), size)
		write(t, filepath.Join(from, "cat.jpg"), content)
		s := newSender(t, SenderOptions{}, filepath.Join(from, "cat.jpg"))
		done := transfer(t, s, newNet(), ReceiverOptions{Dir: to})
		if done.err != nil || done.sent != nil {
			t.Fatalf("%d bytes: receiver %v, sender %v", size, done.err, done.sent)
		}
		sameTree(t, from, to)
		if done.result.SHA256 != sumOf(content) || done.result.Files != 1 || done.result.Bytes != int64(size) {
			t.Errorf("%d bytes: the result is %+v", size, done.result)
		}
	}
}

func TestTree(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	top := filepath.Join(from, "photos")
	write(t, filepath.Join(top, "a.jpg"), randomBytes(1, 3*blockSize+5))
	write(t, filepath.Join(top, "deep", "er", "b.txt"), []byte("hello"))
	write(t, filepath.Join(top, "deep", "empty.txt"), nil)
	for i := range 300 {
		write(t, filepath.Join(top, "many", string(rune('a'+i%26)), string(rune('a'+i/26))), randomBytes(uint64(i), i*13))
	}
	if err := os.MkdirAll(filepath.Join(top, "nothing", "in it"), 0o750); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	for name, mode := range map[string]fs.FileMode{"a.jpg": 0o444, "deep/er/b.txt": 0o700, "deep": 0o500} {
		if err := os.Chmod(filepath.Join(top, name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(top, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	s := newSender(t, SenderOptions{}, top)
	done := transfer(t, s, newNet(), ReceiverOptions{Dir: to})
	if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
		t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
	}
	sameTree(t, from, to)
	_ = os.Chmod(filepath.Join(to, "photos/deep"), 0o700)
	_ = os.Chmod(filepath.Join(top, "deep"), 0o700)
}

// TestNewStreams: streams of blocks give way to others in the first seconds, when more connections are there. No name comes twice.
func TestNewStreams(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), randomBytes(1, 80*blockSize))
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
		n := newNet()
		n.slow = 50 * time.Millisecond
		done := transfer(t, s, n, ReceiverOptions{Dir: t.TempDir()})
		if done.err != nil || done.sent != nil || n.carried() > 81*blockSize {
			t.Fatalf("receiver %v, sender %v, %d bytes", done.err, done.sent, n.carried())
		}
		seen := map[string]bool{}
		for _, name := range n.names {
			if seen[name] {
				t.Errorf("%s was opened twice", name)
			}
			seen[name] = true
		}
		if want := 1 + defaultStreams*(1+len(streamLives)); len(seen) != want {
			t.Errorf("%d streams were opened, and should be %d: %v", len(seen), want, n.names)
		}
	})
}
