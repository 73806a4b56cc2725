package filetransfer

import (
	"context"
	"io/fs"
	"slices"
	"time"
)

// piece is a range of a file that is asked for.
type piece struct {
	f      *file
	offset int64
	length int64
}

// span is a range within a block.
type span struct{ offset, length int64 }

// lane is what a stream of blocks has under way: about what it brings in a second, so that a slow connection does not hold what others
// could bring, and its stream can soon give way to another one. Guarded by receiver.mu.
type lane struct {
	bytes  int64
	window int64 // bytes may be as many, or one range if that is longer
	most   int64 // what window may become
	came   int64 // since
	since  time.Time
}

const (
	leastWindow = 256 << 10
	laneEvery   = 100 * time.Millisecond // how often a window is changed
)

func newLane(most int64) lane { return lane{window: leastWindow, most: most} }

// longest returns how long a range may be.
func (l *lane) longest() int64 {
	return min(blockSize, l.window/2/pieceSize*pieceSize)
}

// room returns how many bytes more may be asked for.
func (l *lane) room() int64 {
	if l.bytes == 0 {
		return blockSize
	}
	return l.window - l.bytes
}

// asks counts a request.
func (l *lane) asks(n int64) {
	if l.bytes == 0 {
		l.came, l.since = 0, time.Now()
	}
	l.bytes += n
}

// brings counts the end of a request, and n bytes that came.
func (l *lane) brings(asked, came int64) {
	l.bytes -= asked
	l.came += came
	if d := time.Since(l.since); d >= laneEvery {
		second := int64(float64(l.came) / d.Seconds())
		l.window = min(max(second, l.window/2, leastWindow), l.most)
		l.came, l.since = 0, time.Now()
	}
}

// file is one whose bytes come. Its fields in the second group are guarded by receiver.mu.
type file struct {
	id       int
	entry    *Entry
	part     partFile // nil for Output
	name     string   // of the part file
	sink     *sink    // for Output
	follower *follower
	gone     chan struct{} // closed when the file is lost
	replaces fs.FileInfo   // what it may overwrite

	size     int64 // -1 while it is not known
	blocks   int64 // of these, those that are there; -1 likewise
	cursor   int64 // the first block that nobody has asked for
	have     bitset
	spans    map[int64][]span // what lacks of blocks that are there in part, and was not asked for
	lacking  map[int64]int64  // bytes that lack of these
	verified int64            // blocks
	prefix   int64            // blocks from the beginning that are verified
	noneFrom int64            // the first block that the sender does not have; -1 if none
	inflight int
	direct   bool           // came in one piece, whose hash is sum
	sum      [hashSize]byte // of the whole file, once it is known
	lost     bool
	stalled  bool        // the sender has nothing, and will say why
	theirs   chan string // the sender's SHA-256, at most one
}

func newFile(id int, e *Entry) *file {
	f := &file{id: id, entry: e, size: e.Size, blocks: -1, noneFrom: -1, gone: make(chan struct{}), theirs: make(chan string, 1)}
	if e.Size != unknownSize {
		f.blocks = blocksOf(e.Size)
	}
	return f
}

// bitset has a bit for each block.
type bitset []uint64

func (b bitset) has(i int64) bool {
	return i/64 < int64(len(b)) && b[i/64]&(1<<(i%64)) != 0
}

func (b *bitset) set(i int64) {
	for int64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// blockEnd returns where a block ends.
func (f *file) blockEnd(index int64) int64 {
	end := (index + 1) * blockSize
	if f.size != unknownSize {
		end = min(end, f.size)
	}
	return end
}

// pick returns the next range to ask for, not longer than room and longest. What must stay in order is asked for in whole blocks, not far
// ahead of what is there.
func (f *file) pick(room, longest int64) (piece, bool) {
	inOrder := f.sink != nil || f.entry.Size == unknownSize
	if inOrder {
		longest = blockSize
	}
	if f.stalled {
		return piece{}, false
	}
	for index, spans := range f.spans {
		n := min(spans[0].length, longest)
		if n > room {
			return piece{}, false
		}
		return f.cut(index, n), true
	}
	for f.have.has(f.cursor) || f.lacking[f.cursor] > 0 {
		f.cursor++
	}
	switch {
	case f.blocks >= 0 && f.cursor >= f.blocks, f.noneFrom >= 0 && f.cursor >= f.noneFrom:
		return piece{}, false
	case inOrder && f.cursor >= f.prefix+liveWindow:
		return piece{}, false
	}
	index, begin := f.cursor, f.cursor*blockSize
	length := f.blockEnd(index) - begin
	n := min(length, longest)
	if n > room {
		return piece{}, false
	}
	f.cursor++
	if n == length {
		return piece{f, begin, n}, true
	}
	f.lack(index, []span{{begin, length}}, length)
	return f.cut(index, n), true
}

// lack notes what of a block must be asked for, and how many bytes of it will then have come.
func (f *file) lack(index int64, spans []span, lacking int64) {
	if f.spans == nil {
		f.spans, f.lacking = map[int64][]span{}, map[int64]int64{}
	}
	f.spans[index], f.lacking[index] = spans, lacking
}

// cut takes n bytes from what must be asked for of a block.
func (f *file) cut(index, n int64) piece {
	spans := f.spans[index]
	p := piece{f, spans[0].offset, n}
	if spans[0].length > n {
		spans[0] = span{p.offset + n, spans[0].length - n}
	} else if spans = spans[1:]; len(spans) > 0 {
		f.spans[index] = spans
	} else {
		delete(f.spans, index)
	}
	return p
}

// awaitWork waits until there is a file whose bytes lack. It returns false when there will be none, or ctx has ended.
func (r *receiver) awaitWork(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ctx.Err() == nil && len(r.active) == 0 && !r.allRead {
		r.changed.Wait()
	}
	return ctx.Err() == nil && len(r.active) > 0
}

// begin makes a lane that of another stream, of which nothing is known.
func (r *receiver) begin(l *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*l = newLane(l.most)
}

// take waits for the next range for a stream. It returns false when there will be none, or ctx has ended.
func (r *receiver) take(ctx context.Context, l *lane) (piece, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ctx.Err() == nil {
		if p, ok := r.pick(l); ok {
			p.f.inflight++
			l.asks(p.length)
			return p, true
		}
		if r.allRead && len(r.active) == 0 {
			return piece{}, false
		}
		r.changed.Wait()
	}
	return piece{}, false
}

func (r *receiver) pick(l *lane) (piece, bool) {
	room, longest := l.room(), l.longest()
	for i, p := range r.back {
		if p.length <= room && !p.f.stalled {
			r.back = slices.Delete(r.back, i, i+1)
			return p, true
		}
	}
	for _, f := range r.active {
		if p, ok := f.pick(room, longest); ok {
			return p, true
		}
	}
	return piece{}, false
}

// untake ends a request. With again, its range is asked for once more.
func (r *receiver) untake(l *lane, p piece, again bool) {
	r.mu.Lock()
	f := p.f
	f.inflight--
	came := p.length
	if again {
		came = 0
	}
	l.brings(p.length, came)
	idle := f.lost && f.inflight == 0
	if idle {
		r.open--
	}
	if again && !f.lost {
		r.back = append(r.back, p)
	}
	r.changed.Broadcast()
	r.mu.Unlock()
	if idle {
		r.release(f)
	}
}

// got counts a range that was verified and written, n bytes of it. The caller calls untake, too.
func (r *receiver) got(p piece, n int64, sum [hashSize]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := p.f
	if f.lost {
		return nil
	}
	r.gained = true
	index := p.offset / blockSize
	if f.entry.Size == unknownSize {
		if err := f.learn(index, n); err != nil {
			return err
		}
	}
	if f.direct = p.offset == 0 && f.size == n; f.direct {
		f.sum = sum
	}
	if f.lacking[index] > 0 {
		if f.lacking[index] -= n; f.lacking[index] > 0 {
			return nil
		}
		delete(f.lacking, index)
	}
	r.verify(f, index)
	return nil
}

// learn finds out where a file without a size ends, and holds the sender to it.
func (f *file) learn(index, n int64) error {
	switch {
	case f.noneFrom >= 0 && index >= f.noneFrom, f.blocks >= 0 && index >= f.blocks, f.have.has(index):
		return violation("there are bytes behind the end of a file")
	case n == blockSize:
		return nil
	case f.blocks >= 0 || f.verifiedFrom(index):
		return violation("a file has two ends")
	}
	f.size, f.blocks = index*blockSize+n, index+1
	return nil
}

// verifiedFrom reports whether any block from an index is verified.
func (f *file) verifiedFrom(index int64) bool {
	for i := index; i < int64(len(f.have))*64; i++ {
		if f.have.has(i) {
			return true
		}
	}
	return false
}

// verify counts a block that is there. The caller holds mu.
func (r *receiver) verify(f *file, index int64) {
	f.have.set(index)
	f.verified++
	r.now.Verified.Add(f.blockEnd(index) - index*blockSize)
	for f.have.has(f.prefix) {
		f.prefix++
	}
	r.advance(f)
}

// advance lets a file be hashed as far as it is there, and finished when it is whole. The caller holds mu.
func (r *receiver) advance(f *file) {
	ended := f.blocks >= 0 && f.verified == f.blocks
	if f.follower != nil {
		limit := f.prefix * blockSize
		if f.size != unknownSize {
			limit = min(limit, f.size)
		}
		f.follower.allow(limit, ended)
	}
	if ended {
		r.becomeWhole(f)
	}
	r.changed.Broadcast()
}

// becomeWhole moves a file to those whose bytes are all there. The caller holds mu.
func (r *receiver) becomeWhole(f *file) {
	for i, other := range r.active {
		if other == f {
			r.active = slices.Delete(r.active, i, i+1)
			break
		}
	}
	r.whole = append(r.whole, f)
	r.changed.Broadcast()
}

// none counts an answer that brings nothing.
func (r *receiver) none(p piece) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, index := p.f, p.offset/blockSize
	switch {
	case f.lost:
	case f.entry.Size != unknownSize:
		f.stalled = true
		r.back = append(r.back, p) // if it goes on against all odds
	case f.blocks >= 0 && index < f.blocks, f.verifiedFrom(index):
		return violation("a file has no bytes before its end")
	case f.noneFrom < 0 || index < f.noneFrom:
		f.noneFrom = index
	}
	return nil
}

// activate begins with a file that was prepared.
func (r *receiver) activate(f *file) {
	r.mu.Lock()
	left := r.status[f.id] > statusActive // the sender has lost it meanwhile
	if !left {
		r.addActive(f)
	}
	r.mu.Unlock()
	if left {
		r.release(f)
	}
}

func (r *receiver) addActive(f *file) {
	r.open++
	r.status[f.id] = statusActive
	r.active = append(r.active, f)
	r.advance(f)
}
