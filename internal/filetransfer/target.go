package filetransfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"syscall"
	"time"
)

// folder is what a receiver needs of the folder that files go into: an os.Root, which nothing leaves.
type folder interface {
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (partFile, error)
	ReadNames(name string) ([]string, error)
	Mkdir(name string, perm fs.FileMode) error
	Chmod(name string, mode fs.FileMode) error
	Chtimes(name string, atime, mtime time.Time) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	SyncFolder(name string) error
}

// partFile is a file that is being received.
type partFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	Sync() error
}

type rootFolder struct{ *os.Root }

func (r rootFolder) OpenFile(name string, flag int, perm fs.FileMode) (partFile, error) {
	f, err := r.Root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // never a nil file in the interface
	}
	return f, nil
}

func (r rootFolder) ReadNames(name string) ([]string, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// SyncFolder writes the names in a folder through to the disk, where a system can do that.
func (r rootFolder) SyncFolder(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := r.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// diskError ends a transfer: nothing can be written any more.
type diskError struct {
	path string
	err  error
}

func (e *diskError) Error() string {
	if isDiskFull(e.err) {
		return fmt.Sprintf("%s: the disk is full; what came stays for the next time", e.path)
	}
	return fmt.Sprintf("%s: %s", e.path, reason(e.err))
}

func (e *diskError) Unwrap() error { return e.err }

// isFatal reports whether no other file will fare better.
func isFatal(err error) bool { return isDiskFull(err) || errors.Is(err, syscall.EROFS) }

// writeError is an error of writing: of the transfer, or of this file.
func writeError(p string, err error) error {
	if isFatal(err) || errors.Is(err, fs.ErrPermission) && path.Dir(p) == "." {
		return &diskError{p, err}
	}
	return errors.New(reason(err))
}

// prepareFolder makes a folder, or uses the one that is there.
func (r *receiver) prepareFolder(id int) error {
	e := &r.plan.Entries[id]
	if err := r.mayHave(e); err != nil {
		return err
	}
	info, err := r.dir.Lstat(e.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.dir.Mkdir(e.Path, e.permissions(0o777)|0o700); err != nil {
			return writeError(e.Path, err)
		}
		r.note(id, e.Path)
	case err != nil:
		return errors.New(reason(err))
	case !info.IsDir():
		return errTaken
	case r.exists[id] == nil:
		return errAlike
	}
	r.complete(id, 0, false)
	return nil
}

var (
	errTaken = errors.New("something else has this name here")
	errAlike = errors.New("another one has this name here by now; names that differ only in case or form may be one")
	errInIt  = errors.New("its folder cannot be there")
)

// permissions are the bits that a new file or folder asks for, before the umask.
func (e *Entry) permissions(usual fs.FileMode) fs.FileMode {
	if e.hasMode {
		return e.Mode.Perm()
	}
	return usual
}

// note remembers that a folder was made, or has a new name in it.
func (r *receiver) note(made int, p string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if made >= 0 {
		r.made[made] = true
	}
	r.dirty[path.Dir(p)] = struct{}{}
}

// mayHave judges the name of an entry, and whether its folder is there.
func (r *receiver) mayHave(e *Entry) error {
	if r.windows {
		if why := windowsRefuses(e.Path); why != "" {
			return errors.New(why)
		}
	}
	if dir := path.Dir(e.Path); dir != "." {
		r.mu.Lock()
		there := r.status[r.paths[dir]] == statusDone
		r.mu.Unlock()
		if !there {
			return errInIt
		}
	}
	return nil
}

// prepareFile opens the part of a file, and finds out what is right in it. It settles a file that is there already.
func (a *attempt) prepareFile(ctx context.Context, id int) error {
	r := a.r
	e := &r.plan.Entries[id]
	f := newFile(id, e)
	if r.dir == nil {
		f.sink = newSink(r, f)
		r.activate(f)
		return nil
	}
	if err := r.mayHave(e); err != nil {
		return err
	}
	settled, err := a.checkTarget(ctx, id, f)
	if err != nil || settled {
		return err
	}
	if err := r.openPart(f); err != nil {
		return err
	}
	if err := a.resume(ctx, f); err != nil {
		r.release(f)
		return err
	}
	if f.blocks > 1 || f.blocks < 0 {
		f.follower = follow(r.ctx, func() (io.ReaderAt, func() error, error) {
			return f.part, func() error { return nil }, nil
		}, nil)
	}
	r.activate(f)
	return nil
}

// checkTarget looks at what has the name of a file. It settles one that is complete already, or must stay as it is.
func (a *attempt) checkTarget(ctx context.Context, id int, f *file) (settled bool, err error) {
	r, e := a.r, f.entry
	info, err := r.dir.Lstat(e.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, errors.New(reason(err))
	case !info.Mode().IsRegular():
		return false, errTaken
	case r.exists[id] == nil:
		return false, errAlike
	}
	if looksComplete(e, info) {
		same, err := a.compareTarget(ctx, f)
		if err != nil {
			return false, err
		}
		if same {
			if err := r.sumOfTarget(ctx, e); err != nil {
				return false, err
			}
			r.complete(id, e.Size, true)
			r.now.Verified.Add(e.Size)
			r.now.Bytes.Add(e.Size)
			return true, a.done(ctx, id)
		}
	}
	yes, known := r.agreed[id]
	if !known && r.o.Overwrite != nil {
		if yes, err = r.o.Overwrite(ctx, *e); err != nil {
			return false, &userError{err}
		}
	}
	if !yes {
		return true, a.leave(ctx, id, "it exists", true)
	}
	f.replaces = info
	if known { // it must still be what the user was asked about
		f.replaces = r.exists[id]
	}
	return false, nil
}

// sumOfTarget finds out the SHA-256 of the only file, which was there already.
func (r *receiver) sumOfTarget(ctx context.Context, e *Entry) error {
	if len(r.plan.Entries) > 1 {
		return nil
	}
	there, err := r.dir.OpenFile(e.Path, os.O_RDONLY, 0)
	if err != nil {
		return errors.New(reason(err))
	}
	defer there.Close()
	hash := sha256.New()
	if err := hashRange(ctx, hash, there, 0, e.Size); err != nil {
		return err
	}
	r.single([hashSize]byte(hash.Sum(nil)))
	return nil
}

// looksComplete reports whether what is there may be the file itself, from a transfer before. Some file systems have times of two seconds.
func looksComplete(e *Entry, there fs.FileInfo) bool {
	return there.Mode().IsRegular() && there.Size() == e.Size && !e.ModTime.IsZero() && there.ModTime().Sub(e.ModTime).Abs() <= 2*time.Second
}

// openPart opens the part file, which may be there.
func (r *receiver) openPart(f *file) error {
	f.name = partName(f.entry.Path)
	flags := os.O_RDWR
	info, err := r.dir.Lstat(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		flags |= os.O_CREATE | os.O_EXCL
	case err != nil:
		return errors.New(reason(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file; remove it", f.name)
	}
	part, err := r.dir.OpenFile(f.name, flags, f.entry.permissions(0o666)|0o600)
	if err != nil {
		return writeError(f.entry.Path, err)
	}
	f.part = part
	if err := r.ownPart(f, info); err != nil {
		_ = part.Close()
		return err
	}
	return nil
}

// ownPart makes sure that a part file is what Lstat has seen, and that no other file of this transfer uses it, because names mean the same here.
func (r *receiver) ownPart(f *file, seen fs.FileInfo) error {
	info, err := f.part.Stat()
	switch {
	case err != nil:
		return errors.New(reason(err))
	case seen != nil && !os.SameFile(seen, info):
		return fmt.Errorf("%s was replaced while it was opened", f.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, part := range r.parts {
		if os.SameFile(part, info) {
			return errAlike
		}
	}
	r.parts[f.id] = info
	return nil
}

// release ends using a file, whose part stays if it was not renamed.
func (r *receiver) release(f *file) {
	if f.part == nil {
		return
	}
	if f.follower != nil {
		f.follower.stop()
		<-f.follower.done
	}
	_ = f.part.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, f.id)
}
