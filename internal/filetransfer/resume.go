package filetransfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
)

// maxTorn is how many blocks that did not come as a whole are looked at in pieces: more than can be under way at once.
const maxTorn = 24

// resume finds out what is right in the part of a file, by the sender's judgement of its hashes.
func (a *attempt) resume(ctx context.Context, f *file) error {
	info, err := f.part.Stat()
	if err != nil {
		return errors.New(reason(err))
	}
	there := info.Size()
	if f.size != unknownSize && there > f.size {
		if err := f.part.Truncate(f.size); err != nil {
			return writeError(f.entry.Path, err)
		}
		there = f.size
	}
	if there == 0 || f.size == 0 {
		return nil
	}
	var torn []int64
	whole := there / blockSize
	if there == f.size {
		whole = f.blocks
	}
	err = a.compare(ctx, f, f.part, span{0, min(there, whole*blockSize)}, blockSize, func(at int64, same bool) {
		if same {
			a.r.resumed(f, at/blockSize)
		} else if len(torn) <= maxTorn {
			torn = append(torn, at/blockSize)
		}
	})
	if err != nil {
		return err
	}
	if whole*blockSize < there {
		torn = append(torn, whole)
	}
	if f.size == unknownSize || len(torn) > maxTorn {
		return nil
	}
	for _, index := range torn {
		if err := a.resumeTorn(ctx, f, index, there); err != nil {
			return err
		}
	}
	return nil
}

// resumeTorn finds out what is right in a block that did not come as a whole.
func (a *attempt) resumeTorn(ctx context.Context, f *file, index, there int64) error {
	begin, end := index*blockSize, f.blockEnd(index)
	look := min(there, end) - begin
	if begin+look < end {
		look -= look % pieceSize // what was cut cannot be the same
	}
	var lacks []span
	lack := func(at, n int64) {
		if k := len(lacks) - 1; k >= 0 && lacks[k].offset+lacks[k].length == at {
			lacks[k].length += n
			return
		}
		lacks = append(lacks, span{at, n})
	}
	err := a.compare(ctx, f, f.part, span{begin, look}, pieceSize, func(at int64, same bool) {
		if !same {
			lack(at, min(pieceSize, end-at))
		}
	})
	if err != nil {
		return err
	}
	if begin+look < end {
		lack(begin+look, end-begin-look)
	}
	a.r.tear(f, index, lacks, end-begin)
	return nil
}

// resumed counts a block that was there.
func (r *receiver) resumed(f *file, index int64) {
	r.now.Bytes.Add(f.blockEnd(index) - index*blockSize)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.have.set(index)
	f.verified++
	for f.have.has(f.prefix) {
		f.prefix++
	}
	r.now.Verified.Add(f.blockEnd(index) - index*blockSize)
}

// tear notes what lacks of a block.
func (r *receiver) tear(f *file, index int64, lacks []span, size int64) {
	lacking := int64(0)
	for _, s := range lacks {
		lacking += s.length
	}
	switch lacking {
	case 0:
		r.resumed(f, index)
		return
	case size:
		return
	}
	r.now.Bytes.Add(size - lacking)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.lack(index, lacks, lacking)
}

// compareTarget reports whether the sender's file is the same as the one that has its name here.
func (a *attempt) compareTarget(ctx context.Context, f *file) (bool, error) {
	there, err := a.r.dir.OpenFile(f.entry.Path, 0, 0)
	if err != nil {
		return false, nil // what cannot be read is not known to be the same
	}
	defer there.Close()
	all := true
	err = a.compare(ctx, f, there, span{0, f.size}, blockSize, func(_ int64, same bool) { all = all && same })
	return all, err
}

// compare hashes pieces of what is here, and tells for each whether the sender has the same.
func (a *attempt) compare(ctx context.Context, f *file, r io.ReaderAt, in span, piece int64, tell func(at int64, same bool)) error {
	hash := sha256.New()
	hashes := make([]byte, 0, maxHashes*hashSize)
	end := in.offset + in.length
	for at := in.offset; at < end; {
		first := at
		hashes = hashes[:0]
		for ; at < end && len(hashes) < cap(hashes); at += piece {
			hash.Reset()
			if err := hashRange(ctx, hash, r, at, min(piece, end-at)); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return errors.New(reason(err))
			}
			hashes = hash.Sum(hashes)
		}
		same, err := a.ask(ctx, f, haveLine{"have", int64(f.id), first, piece, hash64.EncodeToString(hashes)}, len(hashes)/hashSize)
		if err != nil {
			return err
		}
		for i := range len(same) {
			tell(first+int64(i)*piece, same[i] == '1')
		}
	}
	return nil
}

// ask sends a have, and waits for the sender's judgement.
func (a *attempt) ask(ctx context.Context, f *file, have haveLine, n int) (string, error) {
	if err := a.out.say(ctx, have); err != nil {
		return "", err
	}
	select {
	case m := <-a.same:
		if m.File == nil || *m.File != have.File || m.Offset != have.Offset || len(m.Same) != n {
			return "", violation("same is not the answer to have")
		}
		return m.Same, nil
	case <-f.gone:
		return "", errors.New("the sender has lost it")
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
