package signal

import (
	"math"
	"runtime"
	"time"
)

const (
	// walkedAtOnce elements have their turn, or as many as make workAtOnce of them work, and then what has come meanwhile: where there is one
	// processor, the runtime looks for sockets that can be read only when nothing else can run. A walk of 20,000 takes ten milliseconds of a
	// processor, and to write their pings takes ten times as much.
	walkedAtOnce = 8 * sweptAtOnce
	workAtOnce   = 16
	walkPause    = 100 * time.Microsecond
)

// walked is a set that can be walked in parts: others may get the lock, and change it, in between. Guarded by Server.mu.
type walked[T placed] struct{ all []T }

// placed is an element of one walked set at most, which keeps its place there.
type placed interface {
	comparable
	walkedAt() *int
}

func (w *walked[T]) len() int { return len(w.all) }

func (w *walked[T]) has(e T) bool {
	at := *e.walkedAt()
	return at < len(w.all) && w.all[at] == e
}

// add adds an element that is not there.
func (w *walked[T]) add(e T) {
	*e.walkedAt() = len(w.all)
	w.all = append(w.all, e)
}

func (w *walked[T]) remove(e T) {
	if !w.has(e) {
		return
	}
	at, end := *e.walkedAt(), len(w.all)-1
	last := w.all[end]
	w.all[at] = last
	*last.walkedAt() = at
	w.all[end] = *new(T)
	w.all = w.all[:end]
}

// before calls do for at most so many elements, from the one before end downwards, and returns where to go on; 0: all
// were there. do may remove its element: the one that takes its place has had its turn.
func (w *walked[T]) before(end, most int, do func(T)) (next int) {
	end = min(end, len(w.all))
	next = max(end-most, 0)
	for i := end - 1; i >= next; i-- {
		if i < len(w.all) {
			do(w.all[i])
		}
	}
	return next
}

// walk calls do for all elements, a few at a time. One that comes meanwhile may be left out, and one may have its turn
// twice. do reports whether it has made work for others. The caller does not hold mu; do does.
func walk[T placed](srv *Server, set *walked[T], do func(T) (work bool)) {
	walked, worked := 0, 0
	counted := func(e T) {
		if walked++; do(e) {
			worked++
		}
	}
	for next := math.MaxInt; next > 0; {
		next = walkSome(srv, set, next, counted)
		if next == 0 || walked < walkedAtOnce && worked < workAtOnce || srv.isStopping() {
			runtime.Gosched()
			continue
		}
		time.Sleep(walkPause)
		walked, worked = 0, 0
	}
}

func (srv *Server) isStopping() bool {
	select {
	case <-srv.stop:
		return true
	default:
		return false
	}
}

func walkSome[T placed](srv *Server, set *walked[T], end int, do func(T)) (next int) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return set.before(end, sweptAtOnce, do)
}
