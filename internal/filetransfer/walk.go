package filetransfer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// SenderOptions say what is sent beside the files of the paths, and who hears of what is left out.
type SenderOptions struct {
	// Stdin is sent as one file of unknown length, if it is not nil, with the name StdinName.
	Stdin     io.Reader
	StdinName string
	// Receivers is how many receivers there may be. If it is more than one, Stdin is kept in a file in TempDir (os.TempDir), so that each may
	// take its time.
	Receivers int
	TempDir   string
	// Skipped is called for what is not sent, and why, while NewSender runs.
	Skipped func(path, why string)
}

// Sender has the files. Its methods may be called by several goroutines.
type Sender struct {
	session string
	entries []Entry
	locals  []string // where each entry is on this machine
	tops    []int    // of which entry each is a part, for files in folders that were named
	bytes   int64
	live    *live // the last entry, if it is standard input
	ctx     context.Context
	stop    context.CancelCauseFunc
	hashing chan struct{} // holds one for each file that a follower reads

	mu     sync.Mutex
	sums   map[int]*follower
	active int // followers that run
}

// NewSender walks the paths once, in their order. Links within folders, devices, and names that no receiver takes are left out; links that
// are named themselves are followed.
func NewSender(paths []string, o SenderOptions) (*Sender, error) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	s := &Sender{session: base64.RawURLEncoding.EncodeToString(id[:]), sums: map[int]*follower{}, hashing: make(chan struct{}, maxFollowers)}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	w := walker{s: s, skip: o.Skipped, names: map[string]string{}}
	if w.skip == nil {
		w.skip = func(string, string) {}
	}
	for _, p := range paths {
		if err := w.named(p); err != nil {
			return nil, err
		}
	}
	if o.Stdin != nil {
		if err := w.claim(o.StdinName, "standard input"); err != nil {
			return nil, err
		}
		if why := checkPath(o.StdinName); why != "" {
			return nil, fmt.Errorf("the name %q for standard input cannot be sent: %s", o.StdinName, why)
		}
		s.add(Entry{Path: o.StdinName, Size: unknownSize}, "", -1)
		var err error
		if s.live, err = newLive(s.ctx, o); err != nil {
			return nil, err
		}
	}
	if len(s.entries) == 0 {
		return nil, errors.New("there is nothing to send")
	}
	return s, nil
}

// Entries returns what is sent. The caller must not change it.
func (s *Sender) Entries() []Entry { return s.entries }

// Bytes returns how many bytes all files have whose sizes are known.
func (s *Sender) Bytes() int64 { return s.bytes }

// Close ends what goes on beside the sessions. Reading from Stdin ends only when it returns.
func (s *Sender) Close() error {
	s.stop(errors.New("the sender was closed"))
	s.mu.Lock()
	running := make([]*follower, 0, s.active)
	for _, f := range s.sums {
		running = append(running, f)
	}
	s.mu.Unlock()
	for _, f := range running {
		<-f.done
	}
	if s.live != nil {
		return s.live.close()
	}
	return nil
}

func (s *Sender) add(e Entry, local string, top int) int {
	s.entries = append(s.entries, e)
	s.locals = append(s.locals, local)
	s.tops = append(s.tops, top)
	if e.Size > 0 {
		s.bytes += e.Size
	}
	return len(s.entries) - 1
}

// walker makes the list.
type walker struct {
	s         *Sender
	skip      func(path, why string)
	names     map[string]string // of the first part of a path: which argument has it
	pathBytes int
}

// claim takes the name of an argument.
func (w *walker) claim(name, argument string) error {
	if other, taken := w.names[name]; taken {
		return fmt.Errorf("%s and %s would both arrive as %s; send one of them alone, or in a folder", other, argument, name)
	}
	w.names[name] = argument
	return nil
}

// named adds a file or folder that the caller has named.
func (w *walker) named(p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	full, err := filepath.Abs(p)
	if err != nil {
		return err
	}
	name := sendName(filepath.Base(full))
	why := checkPath(name)
	if filepath.Dir(full) == full {
		why = "it has no name"
	}
	if why != "" {
		return fmt.Errorf("%s cannot be sent: %s", p, why)
	}
	switch {
	case info.IsDir():
		if err := w.claim(name, p); err != nil {
			return err
		}
		return w.folder(full, name, info)
	case info.Mode().IsRegular():
		if err := w.claim(name, p); err != nil {
			return err
		}
		return w.file(name, full, -1, info)
	}
	return fmt.Errorf("%s is neither a file nor a folder; send what it brings as standard input", p)
}

// folder adds a folder that was named, and all in it.
func (w *walker) folder(full, name string, info fs.FileInfo) error {
	root, err := os.OpenRoot(full)
	if err != nil {
		return err
	}
	defer root.Close()
	top := w.s.add(newEntry(name, info), full, -1)
	if err := w.room(name); err != nil {
		return err
	}
	return w.inside(root, ".", name, top)
}

// inside adds what is in a folder below root, sorted by name. What cannot be read is left out.
func (w *walker) inside(root *os.Root, dir, at string, top int) error {
	list, err := readDir(root, dir)
	if err != nil {
		w.skip(at, reason(err))
		return nil
	}
	for _, d := range list {
		local, name := path.Join(dir, d.Name()), at+"/"+sendName(d.Name())
		if why := checkPath(name); why != "" {
			if !isPart(d.Name()) {
				w.skip(name, why)
			}
			continue
		}
		info, err := root.Lstat(local)
		switch {
		case err != nil:
			w.skip(name, reason(err))
		case info.IsDir():
			if err = w.room(name); err == nil {
				w.s.add(newEntry(name, info), local, top)
				err = w.inside(root, local, name, top)
			}
			if err != nil {
				return err
			}
		case info.Mode().IsRegular():
			if err := w.file(name, local, top, info); err != nil {
				return err
			}
		default:
			w.skip(name, kindOf(info.Mode()))
		}
	}
	return nil
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(maxEntries + 1)
	if err == io.EOF {
		err = nil
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

func (w *walker) file(name, local string, top int, info fs.FileInfo) error {
	if info.Size() > maxSize {
		w.skip(name, "it is too large")
		return nil
	}
	if err := w.room(name); err != nil {
		return err
	}
	w.s.add(newEntry(name, info), local, top)
	return nil
}

// room makes sure that the list does not grow beyond what a receiver takes.
func (w *walker) room(name string) error {
	w.pathBytes += len(name)
	if len(w.s.entries) >= maxEntries || w.pathBytes > maxPathBytes {
		return fmt.Errorf("more than %d files and folders cannot be sent at once; pack them, as in: tar c FOLDER | turnpike send -", maxEntries)
	}
	return nil
}

// newEntry describes a file or folder.
func newEntry(name string, info fs.FileInfo) Entry {
	e := Entry{Path: name, Folder: info.IsDir(), Mode: info.Mode().Perm(), ModTime: info.ModTime().UTC(), hasMode: true}
	if !e.Folder {
		e.Size = info.Size()
	}
	return e
}

// sendName returns a name as it is sent. Apple's file systems may split characters into parts, which others would keep.
func sendName(name string) string {
	if runtime.GOOS == "darwin" {
		return norm.NFC.String(name)
	}
	return name
}

// reason returns an error without the path of this machine.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return err.Error()
}

// kindOf says why something that is no file or folder is not sent.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "it is a link"
	case mode&(fs.ModeDevice|fs.ModeCharDevice) != 0:
		return "it is a device"
	case mode&fs.ModeNamedPipe != 0:
		return "it is a named pipe"
	case mode&fs.ModeSocket != 0:
		return "it is a socket"
	}
	return "it is neither a file nor a folder"
}
