package filetransfer

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"runtime"
	"slices"
	"time"
)

// finishAll brings files whose bytes are all there under their final names.
func (a *attempt) finishAll(ctx context.Context) error {
	for {
		f := a.r.takeWhole(ctx)
		if f == nil {
			return nil
		}
		err := a.finish(ctx, f)
		if isBroken(err) || err != nil && err == context.Cause(ctx) {
			a.r.putBack(f)
			return err
		}
		a.r.release(f)
		a.r.finished(f)
		if err == nil {
			err = a.done(ctx, f.id)
		} else {
			err = a.lose(ctx, f.id, err)
		}
		if err != nil {
			return err
		}
	}
}

// takeWhole waits for a file whose bytes are all there.
func (r *receiver) takeWhole(ctx context.Context) *file {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ctx.Err() == nil {
		if len(r.whole) > 0 {
			f := r.whole[0]
			r.whole = slices.Delete(r.whole, 0, 1)
			r.finishing[f.id] = f
			return f
		}
		if r.allRead && r.open == 0 {
			return nil
		}
		r.changed.Wait()
	}
	return nil
}

// putBack leaves a file for the next attempt.
func (r *receiver) putBack(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.finishing, f.id)
	r.whole = append(r.whole, f)
}

func (r *receiver) finished(f *file) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.finishing, f.id)
	r.open--
	r.changed.Broadcast()
}

// finish compares the SHA-256 of a whole file, and gives it its name.
func (a *attempt) finish(ctx context.Context, f *file) error {
	if err := a.checkSum(ctx, f); err != nil {
		return err
	}
	if f.part != nil {
		if err := a.r.seal(f); err != nil {
			return err
		}
	}
	a.r.complete(f.id, f.size, false)
	a.r.single(f.sum)
	return nil
}

// single keeps the SHA-256 of the only file.
func (r *receiver) single(sum [hashSize]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.plan.Entries) == 1 {
		r.result.SHA256 = sum
	}
}

var (
	errWrongSum = errors.New("its SHA-256 is not the sender's; receive it again")
	errLost     = errors.New("the sender has lost it")
)

// checkSum compares the SHA-256 of a whole file with the sender's.
func (a *attempt) checkSum(ctx context.Context, f *file) error {
	if f.size == 0 {
		f.sum = sumOf(nil)
		return nil
	}
	if f.direct {
		return nil // the hash of its only range is that of the file
	}
	if err := a.out.say(ctx, fileLine{Type: "sum", File: int64(f.id)}); err != nil {
		return err
	}
	var theirs string
	select {
	case theirs = <-f.theirs:
	case <-f.gone:
		return errLost
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ours, err := a.r.ourSum(ctx, f)
	switch {
	case err != nil:
		return err
	case theirs != "" && theirs != hash64.EncodeToString(ours[:]):
		return errWrongSum
	}
	f.sum = ours
	return nil
}

func (r *receiver) ourSum(ctx context.Context, f *file) (sum [hashSize]byte, err error) {
	switch {
	case f.sink != nil:
		f.sink.all.Sum(sum[:0])
		return sum, nil
	case f.follower != nil:
		return f.follower.wait(ctx)
	}
	b := make([]byte, f.size) // a block at most
	if err := readFull(f.part, b, 0); err != nil {
		return sum, errors.New(reason(err))
	}
	return sumOf(b), nil
}

// theirSum takes the sender's SHA-256 of a file that is being finished.
func (r *receiver) theirSum(id int64, sum string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.finishing[int(id)]; f != nil {
		select {
		case f.theirs <- sum:
		default:
		}
	}
}

// seal writes a file through to the disk, with its mode and time, and renames it.
func (r *receiver) seal(f *file) error {
	e := f.entry
	info, err := f.part.Stat()
	if err == nil && info.Size() != f.size {
		err = f.part.Truncate(f.size)
	}
	if err == nil && e.hasMode {
		err = r.dir.Chmod(f.name, info.Mode().Perm()&(e.Mode|0o400))
	}
	if err == nil && canSet(e.ModTime) {
		err = r.dir.Chtimes(f.name, time.Time{}, e.ModTime)
	}
	if err == nil {
		err = f.part.Sync()
	}
	if err != nil {
		return writeError(e.Path, err)
	}
	_ = f.part.Close() // Windows renames nothing that is open
	select {
	case <-f.gone:
		return errLost
	default:
	}
	if err := r.place(f); err != nil {
		return err
	}
	r.note(-1, e.Path)
	return nil
}

// place gives a file its name. It replaces only what the user was asked about.
func (r *receiver) place(f *file) error {
	p := f.entry.Path
	if f.replaces == nil && runtime.GOOS != "windows" { // which does not remove the other name of a file that may only be read
		err := r.dir.Link(f.name, p)
		if err == nil {
			if err := r.dir.Remove(f.name); err != nil {
				return writeError(p, err)
			}
			return nil
		}
		if errors.Is(err, fs.ErrExist) {
			return errAlike
		}
	}
	info, err := r.dir.Lstat(p)
	switch asked := f.replaces; {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return errors.New(reason(err))
	case f.replaces == nil:
		return errAlike
	case !os.SameFile(info, asked) || info.Size() != asked.Size() || !info.ModTime().Equal(asked.ModTime()):
		return errors.New("what has this name here has changed since you were asked")
	}
	if err := r.dir.Rename(f.name, p); err != nil {
		return writeError(p, err)
	}
	return nil
}

// canSet reports whether a file can get a time. Systems are told of nanoseconds since 1970, of which 64 bits have no others.
func canSet(t time.Time) bool {
	return t.After(time.Unix(0, math.MinInt64)) && t.Before(time.Unix(0, math.MaxInt64))
}

// finishFolders gives folders their modes and times, the deepest first, and writes new names through to the disk.
func (r *receiver) finishFolders() error {
	for _, dir := range slices.Sorted(maps.Keys(r.dirty)) {
		if err := r.dir.SyncFolder(dir); err != nil {
			return &diskError{dir, err}
		}
	}
	for id := len(r.plan.Entries) - 1; id >= 0; id-- {
		e := &r.plan.Entries[id]
		if !e.Folder || r.status[id] != statusDone || !r.made[id] && !r.isOurs(e) {
			continue
		}
		if err := r.finishFolder(e); err != nil {
			return writeError(e.Path, err)
		}
	}
	return nil
}

// isOurs reports whether a folder that was there has nothing but what this transfer brings: an earlier one has begun with it.
func (r *receiver) isOurs(e *Entry) bool {
	names, err := r.dir.ReadNames(e.Path)
	for _, name := range names {
		if _, ours := r.paths[path.Join(e.Path, name)]; !ours && !isPart(name) {
			return false
		}
	}
	return err == nil
}

func (r *receiver) finishFolder(e *Entry) error {
	if e.hasMode {
		info, err := r.dir.Lstat(e.Path)
		if err != nil {
			return err
		}
		if err := r.dir.Chmod(e.Path, info.Mode().Perm()&(e.Mode|0o500)); err != nil {
			return err
		}
	}
	if canSet(e.ModTime) {
		return r.dir.Chtimes(e.Path, time.Time{}, e.ModTime)
	}
	return nil
}
