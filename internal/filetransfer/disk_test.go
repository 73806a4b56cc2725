package filetransfer

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// foldingFolder takes names that differ in case or Unicode form only for one, as Windows and macOS do.
type foldingFolder struct{ rootFolder }

func fold(name string) string { return cases.Fold().String(norm.NFD.String(name)) }

func (f foldingFolder) Lstat(name string) (fs.FileInfo, error) { return f.rootFolder.Lstat(fold(name)) }
func (f foldingFolder) OpenFile(name string, flag int, perm fs.FileMode) (partFile, error) {
	return f.rootFolder.OpenFile(fold(name), flag, perm)
}
func (f foldingFolder) ReadNames(name string) ([]string, error) {
	return f.rootFolder.ReadNames(fold(name))
}
func (f foldingFolder) Mkdir(name string, perm fs.FileMode) error {
	return f.rootFolder.Mkdir(fold(name), perm)
}
func (f foldingFolder) Chmod(name string, mode fs.FileMode) error {
	return f.rootFolder.Chmod(fold(name), mode)
}
func (f foldingFolder) Chtimes(name string, a, m time.Time) error {
	return f.rootFolder.Chtimes(fold(name), a, m)
}
func (f foldingFolder) Link(from, to string) error { return f.rootFolder.Link(fold(from), fold(to)) }
func (f foldingFolder) Rename(from, to string) error {
	return f.rootFolder.Rename(fold(from), fold(to))
}
func (f foldingFolder) Remove(name string) error     { return f.rootFolder.Remove(fold(name)) }
func (f foldingFolder) SyncFolder(name string) error { return f.rootFolder.SyncFolder(fold(name)) }

func openFolder(t *testing.T, dir string) rootFolder {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return rootFolder{root}
}

// TestNamesThatAreOne: where case and Unicode forms do not matter, the first of two files comes, and neither overwrites the other, whether
// something was there before or not.
func TestNamesThatAreOne(t *testing.T) {
	for _, before := range []bool{false, true} {
		from, to := t.TempDir(), t.TempDir()
		for i, name := range []string{"README", "readme", "Übung", "U\u0308bung", "d/x", "D/x", "other"} {
			write(t, filepath.Join(from, "top", name), randomBytes(uint64(i), 2*blockSize+i))
		}
		if before {
			write(t, filepath.Join(to, "top", "readme"), []byte("old"))
		}
		s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
		n := newNet()
		done := transferBy(t, s, n, func(ctx context.Context) (*Result, error) {
			yes := func(context.Context, Entry) (bool, error) { return true, nil }
			return receiveInto(ctx, n, ReceiverOptions{Overwrite: yes}, foldingFolder{openFolder(t, to)}, false)
		})
		if done.err != nil || done.sent != nil {
			t.Fatalf("receiver %v, sender %v", done.err, done.sent)
		}
		var left []string
		for _, l := range done.result.Left {
			left = append(left, l.Path)
		}
		if len(left) != 4 || done.result.Files != 4 {
			t.Errorf("left are %q, and %d files came", left, done.result.Files)
		}
		for name, path := range map[string]string{"readme": "README", fold("Übung"): "U\u0308bung", "d/x": "D/x"} {
			got, _ := os.ReadFile(filepath.Join(to, "top", name))
			first, _ := os.ReadFile(filepath.Join(from, "top", path))
			other := map[string]string{"README": "readme", "U\u0308bung": "Übung", "D/x": "d/x"}[path]
			second, _ := os.ReadFile(filepath.Join(from, "top", other))
			if !bytes.Equal(got, first) && !bytes.Equal(got, second) {
				t.Errorf("%s is neither of the two: %d bytes", name, len(got))
			}
		}
	}
}

// brokenFolder fails where a test says.
type brokenFolder struct {
	rootFolder
	room atomic.Int64 // bytes that can be written; then the disk is full
	sync error
	file func(name string) error // of writing
	open error                   // of making
}

type brokenFile struct {
	partFile
	f    *brokenFolder
	name string
}

func (b *brokenFolder) OpenFile(name string, flag int, perm fs.FileMode) (partFile, error) {
	if b.open != nil {
		return nil, &fs.PathError{Op: "openat", Path: name, Err: b.open}
	}
	p, err := b.rootFolder.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return brokenFile{p, b, name}, nil
}

func (b brokenFile) WriteAt(p []byte, at int64) (int, error) {
	if b.f.file != nil {
		if err := b.f.file(b.name); err != nil {
			return 0, &fs.PathError{Op: "write", Path: b.name, Err: err}
		}
	}
	if b.f.room.Add(-int64(len(p))) < 0 {
		return 0, &fs.PathError{Op: "write", Path: b.name, Err: syscall.ENOSPC}
	}
	return b.partFile.WriteAt(p, at)
}

func (b brokenFile) Sync() error {
	if b.f.sync != nil {
		return &fs.PathError{Op: "sync", Path: b.name, Err: b.f.sync}
	}
	return b.partFile.Sync()
}

// TestDiskFull: both sides say so, nothing has a final name, and what came is there for the next time.
func TestDiskFull(t *testing.T) {
	from := t.TempDir()
	content := randomBytes(1, 20*blockSize)
	write(t, filepath.Join(from, "a"), content)
	for name, full := range map[string]func(*brokenFolder){
		"while writing": func(b *brokenFolder) { b.room.Store(12 * blockSize) },
		"at the end":    func(b *brokenFolder) { b.room.Store(1 << 40); b.sync = syscall.ENOSPC },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
			b := &brokenFolder{rootFolder: openFolder(t, dir)}
			full(b)
			n := newNet()
			done := transferBy(t, s, n, func(ctx context.Context) (*Result, error) {
				return receiveInto(ctx, n, ReceiverOptions{}, b, false)
			})
			if !errors.Is(done.err, syscall.ENOSPC) || !strings.Contains(done.err.Error(), "a: the disk is full") {
				t.Errorf("the receiver says %v", done.err)
			}
			var remote *RemoteError
			if !errors.As(done.sent, &remote) || remote.Code != codeDiskFull || !strings.Contains(remote.Text, "the disk is full") {
				t.Errorf("the sender says %v", done.sent)
			}
			only(t, dir, ".a.turnpike-part")
			n = newNet()
			if done = transfer(t, s, n, ReceiverOptions{Dir: dir}); done.err != nil || done.sent != nil {
				t.Fatalf("receiver %v, sender %v", done.err, done.sent)
			}
			if n.carried() > 12*blockSize {
				t.Errorf("%d bytes came again", n.carried())
			}
			only(t, dir, "a")
		})
	}
}

// TestBadFile: a file that cannot be written does not keep others from coming.
func TestBadFile(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for i, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(from, "top", name), randomBytes(uint64(i), 9*blockSize))
	}
	s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
	b := &brokenFolder{rootFolder: openFolder(t, to), file: func(name string) error {
		if strings.HasSuffix(name, ".b.turnpike-part") {
			return syscall.EIO
		}
		return nil
	}}
	b.room.Store(1 << 40)
	n := newNet()
	done := transferBy(t, s, n, func(ctx context.Context) (*Result, error) {
		return receiveInto(ctx, n, ReceiverOptions{}, b, false)
	})
	if done.err != nil || done.sent != nil || done.result.Files != 2 || len(done.result.Left) != 1 || done.result.Left[0].Why != syscall.EIO.Error() {
		t.Errorf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
	}
	if failed, _ := done.session.Left(); failed != 1 {
		t.Errorf("the sender knows of %d files that failed", failed)
	}
}

// TestTakenNames: folders, links and devices in the place of what comes stay as they are.
func TestTakenNames(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, []byte("mine"))
	for _, name := range []string{"folder", "link", "linkpart", "linkdir/x", "file/x", "good"} {
		write(t, filepath.Join(from, "top", name), []byte("new"))
	}
	write(t, filepath.Join(to, "top", "folder", "y"), nil)
	write(t, filepath.Join(to, "top", "file"), []byte("mine"))
	for name, target := range map[string]string{"link": outside, ".linkpart.turnpike-part": outside, "linkdir": filepath.Dir(outside)} {
		if err := os.Symlink(target, filepath.Join(to, "top", name)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
	done := transfer(t, s, newNet(), ReceiverOptions{Dir: to, Overwrite: func(_ context.Context, e Entry) (bool, error) {
		t.Errorf("asked about %s", e.Path)
		return true, nil
	}})
	if done.err != nil || done.sent != nil || done.result.Files != 1 || len(done.result.Left) != 7 {
		t.Errorf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
	}
	if got, _ := os.ReadFile(outside); string(got) != "mine" {
		t.Errorf("a link was followed: %q", got)
	}
	if list, _ := os.ReadDir(filepath.Dir(outside)); len(list) != 1 {
		t.Errorf("a link to a folder was followed: %v", list)
	}
}

// TestWindowsNames: what Windows cannot have is left out there, and the rest comes.
func TestWindowsNames(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"CON", "a:b", "trailing.", "good"} {
		write(t, filepath.Join(from, "top", name), []byte("x"))
	}
	s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
	n := newNet()
	done := transferBy(t, s, n, func(ctx context.Context) (*Result, error) {
		return receiveInto(ctx, n, ReceiverOptions{}, openFolder(t, to), true)
	})
	if done.err != nil || done.sent != nil || done.result.Files != 1 || len(done.result.Left) != 3 {
		t.Errorf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
	}
}

// TestReadOnly: a folder that cannot be written to is said once, on both sides.
func TestReadOnly(t *testing.T) {
	for _, refusal := range []error{syscall.EROFS, syscall.EACCES} {
		from, to := t.TempDir(), t.TempDir()
		for _, name := range []string{"a", "b"} {
			write(t, filepath.Join(from, name), []byte("x"))
		}
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a"), filepath.Join(from, "b"))
		b := &brokenFolder{rootFolder: openFolder(t, to), open: refusal}
		n := newNet()
		done := transferBy(t, s, n, func(ctx context.Context) (*Result, error) {
			return receiveInto(ctx, n, ReceiverOptions{}, b, false)
		})
		if !errors.Is(done.err, refusal) || done.err.Error() != "a: "+refusal.Error() {
			t.Errorf("the receiver says %v", done.err)
		}
		if done.sent == nil || done.sent.Error() != "the other side says: a: "+refusal.Error() {
			t.Errorf("the sender says %v", done.sent)
		}
		if list, _ := os.ReadDir(to); len(list) != 0 {
			t.Errorf("there is %v", list)
		}
	}
}
