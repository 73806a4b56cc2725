package filetransfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultStreams = 4
	maxActive      = 64      // files that are open at once
	maxRequests    = 64      // on one stream
	streamWindow   = 4 << 20 // bytes that are asked for on one stream
	narrowWindow   = 2 << 20 // likewise, of what must stay in order
	maxBarren      = 8       // attempts in a row that bring nothing
	helloTimeout   = 30 * time.Second
	byeTimeout     = 5 * time.Second
)

// ReceiverOptions say where files go, and ask a person.
type ReceiverOptions struct {
	// Dir is the folder that everything goes into. It must be there.
	Dir string
	// Output takes a single file instead of Dir. It gets only bytes that were verified, but learns of a wrong SHA-256 of the whole file when
	// it has them all. Once ctx has ended, Receive no longer waits for a Write that lasts.
	Output io.Writer
	// Accept judges what would come, before anything is written. ErrDeclined says no. A sender that was started again is judged again.
	// Without it, all is accepted.
	Accept func(context.Context, *Plan) error
	// Overwrite is asked for each file whose name another file has. Without it, the answer is no.
	Overwrite func(context.Context, Entry) (bool, error)
	// Left is called for each file or folder that will not be complete, by several goroutines. It must return soon.
	Left func(Left)
	// Progress is counted in while Receive runs, if it is not nil.
	Progress *Progress
	// Streams is how many streams of blocks are used at once: 4 if it is 0.
	Streams int
}

// Plan is what would come.
type Plan struct {
	Entries []Entry // the caller must not change them
	Files   int
	Folders int
	Bytes   int64
	Unknown bool // Bytes leaves out a file whose length is not known
	Exists  int  // files whose names are taken; Overwrite is asked for each
	Begun   int  // files of which a part is there already
}

// Left is a file or folder that does not come, and why.
type Left struct {
	Path    string
	Why     string
	Skipped bool // Overwrite said no
}

// Result is what has come.
type Result struct {
	Files   int   // under their final names, with those that were complete before
	Already int   // of these, complete before
	Bytes   int64 // that all of these have
	Left    []Left
	SHA256  [32]byte // of the file, if there was just one and it has come
}

// receiver is the state that outlives breaks.
type receiver struct {
	o       ReceiverOptions
	dir     folder // nil with Output
	windows bool   // names are judged as Windows does
	now     *Progress
	ctx     context.Context // of followers

	// Owned by the goroutine of Receive between attempts, unchanged in them.
	session  string
	plan     *Plan
	paths    map[string]int32 // of all entries
	exists   map[int]fs.FileInfo
	agreed   map[int]bool // what the user said about overwriting
	accepted bool

	// Owned by the goroutine that prepares.
	next int

	number atomic.Int64 // of the last stream of blocks

	mu        sync.Mutex
	changed   *sync.Cond
	status    []status
	waiting   int     // entries that are not settled
	active    []*file // bytes are lacking
	back      []piece // were asked for on streams that broke
	whole     []*file // all bytes are there
	finishing map[int]*file
	open      int                 // files in active and whole, and those that are being finished
	allRead   bool                // all entries were prepared
	parts     map[int]fs.FileInfo // of files that are open
	made      map[int]bool        // folders
	dirty     map[string]struct{} // folders that have new names
	result    Result
	gained    bool // this attempt has brought something
	ended     bool // end was said
}

type status uint8

const (
	statusWaiting status = iota
	statusActive
	statusDone
	statusLeft
)

// Receive takes what the sender has. It goes on over breaks for as long as peer opens streams. Files that were begun stay for the next
// time. A nil error says that everything but what Result.Left names is safe.
func Receive(ctx context.Context, peer Opener, o ReceiverOptions) (*Result, error) {
	if o.Output != nil {
		return receiveInto(ctx, peer, o, nil, false)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return &Result{}, err
	}
	defer root.Close()
	return receiveInto(ctx, peer, o, rootFolder{root}, runtime.GOOS == "windows")
}

func receiveInto(ctx context.Context, peer Opener, o ReceiverOptions, dir folder, windows bool) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &receiver{o: o, ctx: ctx, dir: dir, windows: windows, now: o.Progress}
	r.changed = sync.NewCond(&r.mu)
	if r.now == nil {
		r.now = new(Progress)
	}
	if r.o.Streams <= 0 || r.o.Streams > maxStreams {
		r.o.Streams = defaultStreams
	}
	defer r.forget()
	defer cancel()
	err := r.run(ctx, peer)
	if asked, ok := errors.AsType[*userError](err); ok {
		err = asked.err
	}
	return &r.result, err
}

// run makes attempts.
func (r *receiver) run(ctx context.Context, peer Opener) error {
	barren := 0
	for {
		err := r.attempt(ctx, peer)
		if err == nil || r.ended {
			return r.bye(ctx, peer, err)
		}
		if _, again := errors.AsType[*brokenError](err); !again {
			return err
		}
		if r.gained {
			barren, r.gained = 0, false
		} else if barren++; barren == maxBarren {
			return fmt.Errorf("%d attempts in a row brought nothing: %w", maxBarren, err)
		}
		wait := time.NewTimer(min(100*time.Millisecond<<barren, 5*time.Second))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		}
	}
}

// bye ends a transfer of which all is safe. If the sender may not know, it is told once more, but not waited for.
func (r *receiver) bye(ctx context.Context, peer Opener, err error) error {
	ctx, cancel := context.WithTimeout(ctx, byeTimeout)
	defer cancel()
	for range 2 {
		if isBroken(err) {
			err = r.attempt(ctx, peer)
		}
	}
	return nil
}

// forget closes what is open and gives up the plan.
func (r *receiver) forget() {
	r.mu.Lock()
	files := append(slices.Clone(r.active), r.whole...)
	r.active, r.whole, r.back, r.open, r.finishing = nil, nil, nil, 0, map[int]*file{}
	r.mu.Unlock()
	for _, f := range files {
		r.release(f)
	}
}

// wake is for those who wait until something has changed.
func (r *receiver) wake() {
	r.mu.Lock()
	r.changed.Broadcast()
	r.mu.Unlock()
}

// settle ends an entry.
func (r *receiver) settle(id int, s status) {
	if r.status[id] <= statusActive {
		r.status[id] = s
		r.waiting--
		r.gained = true
	}
	r.changed.Broadcast()
}

// complete settles a file that is safe.
func (r *receiver) complete(id int, size int64, already bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status[id] > statusActive {
		return // the sender has lost it in the last moment
	}
	r.settle(id, statusDone)
	if r.plan.Entries[id].Folder {
		return
	}
	r.result.Files++
	r.result.Bytes += size
	if already {
		r.result.Already++
	}
	r.now.Files.Add(1)
}

// leave settles an entry that will not be complete, and reports whether it was not settled before.
func (r *receiver) leave(id int, why string, skipped bool) bool {
	r.mu.Lock()
	if r.status[id] > statusActive {
		r.mu.Unlock()
		return false
	}
	r.settle(id, statusLeft)
	l := Left{Path: r.plan.Entries[id].Path, Why: why, Skipped: skipped}
	r.result.Left = append(r.result.Left, l)
	idle := r.drop(id)
	r.mu.Unlock()
	if idle != nil {
		r.release(idle)
	}
	if r.o.Left != nil {
		r.o.Left(l)
	}
	return true
}

// drop takes a file that is left from the lists, and returns it if nobody uses it. The caller holds mu.
func (r *receiver) drop(id int) *file {
	for _, list := range []*[]*file{&r.active, &r.whole} {
		for i, f := range *list {
			if f.id == id {
				*list = slices.Delete(*list, i, i+1)
				r.back = slices.DeleteFunc(r.back, func(p piece) bool { return p.f == f })
				f.lost = true
				close(f.gone)
				if f.inflight == 0 {
					r.open--
					return f
				}
				return nil
			}
		}
	}
	if f := r.finishing[id]; f != nil && !f.lost {
		f.lost = true
		close(f.gone) // the goroutine that finishes it ends its use
	}
	return nil
}
