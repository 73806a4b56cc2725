package filetransfer

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
)

// readPlan reads the list of what would come. Its paths lead nowhere but into the folder.
func readPlan(ctx context.Context, in lineReader) (*Plan, map[string]int32, error) {
	p, paths, pathBytes := &Plan{}, map[string]int32{}, 0
	for {
		m, err := in.next()
		switch {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case err != nil:
			return nil, nil, err
		case m.Type == "error":
			return nil, nil, m.remoteError()
		case m.Type == "plan":
			if m.Entries != int64(len(p.Entries)) || m.Bytes != p.Bytes || len(p.Entries) == 0 {
				return nil, nil, violation("the plan does not say what its entries say")
			}
			return p, paths, nil
		case m.Type != "entry":
			continue
		}
		if pathBytes += len(m.Path); len(p.Entries) == maxEntries || pathBytes > maxPathBytes {
			return nil, nil, violation("there are more than %d files and folders, or their names are too long", maxEntries)
		}
		if err := p.add(m, paths); err != nil {
			return nil, nil, err
		}
	}
}

// add judges an entry, and adds it.
func (p *Plan) add(m *message, paths map[string]int32) error {
	shown := oneLine(m.Path)
	if why := checkPath(m.Path); why != "" {
		return violation("the name %q is refused: %s", shown, why)
	}
	if _, twice := paths[m.Path]; twice {
		return violation("the name %q comes twice", shown)
	}
	if dir := path.Dir(m.Path); dir != "." {
		if i, there := paths[dir]; !there || !p.Entries[i].Folder {
			return violation("%q is in no folder that came before it", shown)
		}
	}
	e := Entry{Path: m.Path, Folder: m.Folder, ModTime: m.MTime}
	if m.Mode != nil {
		e.Mode, e.hasMode = fs.FileMode(*m.Mode)&fs.ModePerm, true
	}
	switch {
	case m.Folder:
		p.Folders++
	case m.Size == nil:
		e.Size = unknownSize
		p.Files++
		p.Unknown = true
	default:
		e.Size = *m.Size
		p.Files++
		if p.Bytes += e.Size; p.Bytes > maxSize {
			return violation("all sizes together are out of range")
		}
	}
	paths[m.Path] = int32(len(p.Entries))
	p.Entries = append(p.Entries, e)
	return nil
}

// renew begins with another list.
func (r *receiver) renew(session string, p *Plan, paths map[string]int32) {
	r.forget()
	r.session, r.plan, r.paths, r.accepted, r.next = session, p, paths, false, 0
	r.exists, r.agreed = map[int]fs.FileInfo{}, map[int]bool{}
	r.now.Total.Store(p.Bytes)
	r.now.Bytes.Store(0)
	r.now.Verified.Store(0)
	r.now.Files.Store(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.waiting, r.allRead, r.ended = make([]status, len(p.Entries)), len(p.Entries), false, false
	r.parts, r.made, r.dirty, r.result = map[int]fs.FileInfo{}, map[int]bool{}, map[string]struct{}{}, Result{}
}

// errManyFiles says that Output is for one file.
var errManyFiles = errors.New("there are folders or several files, and the output takes a single file; name a folder for them")

// decide looks at what is there, and asks a person.
func (r *receiver) decide(ctx context.Context) error {
	if r.dir == nil {
		if len(r.plan.Entries) != 1 || r.plan.Folders > 0 {
			return errManyFiles
		}
	} else {
		r.look()
	}
	if r.o.Accept != nil {
		if err := r.o.Accept(ctx, r.plan); err != nil {
			return &userError{err}
		}
	}
	if r.o.Overwrite != nil {
		ids := make([]int, 0, len(r.exists))
		for id := range r.exists {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			e := &r.plan.Entries[id]
			if e.Folder || !r.exists[id].Mode().IsRegular() || looksComplete(e, r.exists[id]) {
				continue
			}
			yes, err := r.o.Overwrite(ctx, *e)
			if err != nil {
				return &userError{err}
			}
			r.agreed[id] = yes
		}
	}
	r.accepted = true
	return nil
}

// look finds the names that are taken already.
func (r *receiver) look() {
	for id := range r.plan.Entries {
		e := &r.plan.Entries[id]
		if dir := path.Dir(e.Path); dir != "." && r.exists[int(r.paths[dir])] == nil {
			continue
		}
		if info, err := r.dir.Lstat(e.Path); err == nil {
			r.exists[id] = info
			if !e.Folder && info.Mode().IsRegular() && !looksComplete(e, info) {
				r.plan.Exists++
			}
			continue
		}
		if !e.Folder {
			if info, err := r.dir.Lstat(partName(e.Path)); err == nil && info.Mode().IsRegular() {
				r.plan.Begun++
			}
		}
	}
}
