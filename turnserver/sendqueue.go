package turnserver

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"example.org/turnpike/turnserver/udpio"
)

const (
	// writeTimeout ends a stream whose client does not read writePiece bytes in that time: slow clients lose data, dead
	// ones the stream.
	writeTimeout = 30 * time.Second
	writePiece   = 16 << 10
)

const (
	// maxQueued bounds what waits for a client that reads slowly: a second of a fast video call.
	maxQueued = 256 << 10
	// freeBacklog is how many bytes may wait for each client without a share of the backlog. So a client that reads
	// gets its data whatever others leave unread. It is also the most memory that a queue keeps for the next burst.
	freeBacklog = 16 << 10
)

// backlog bounds the bytes that wait for all clients on streams and associations that read slowly, and those of each
// user. It is asked only for what is beyond freeBacklog.
type backlog struct {
	// Static after construction.
	ofNode, ofUser int64

	waiting atomic.Int64
}

// take takes n bytes for a user's client, or reports false if there are too many. a is nil while the client has no
// allocation. Such a client has no share, or strangers who read no answers could take the whole.
func (b *backlog) take(a *account, n int) bool {
	if a == nil {
		return false
	}
	if b.waiting.Add(int64(n)) > b.ofNode {
		b.waiting.Add(-int64(n))
		return false
	}
	if a.waiting.Add(int64(n)) > b.ofUser {
		b.giveBack(a, n)
		return false
	}
	return true
}

// giveBack gives back what take took.
func (b *backlog) giveBack(a *account, n int) {
	b.waiting.Add(-int64(n))
	a.waiting.Add(-int64(n))
}

// queueState says how a queue's writer is doing, and how many bytes wait.
type queueState struct {
	// Static after init.
	backlog *backlog // nil: only maxQueued bounds the queue
	user    *atomic.Pointer[account]

	mu      sync.Mutex
	busy    bool // a goroutine writes; others only append
	failed  bool
	waiting int       // bytes that were taken and have not left
	charged int       // of these, those that have a share of the backlog
	payer   *account  // whose share it is
	ended   sync.Cond // the writer has written all, or has failed
}

// waitUntilWritten waits until all that was sent has left, or reports false if it cannot. From then on the caller alone
// writes to the connection.
func (q *queueState) waitUntilWritten() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.busy && !q.failed {
		q.ended.Wait()
	}
	return !q.failed
}

// admitLocked takes n more bytes in, or reports false if there is no room for them. The caller holds mu.
func (q *queueState) admitLocked(n int) bool {
	if q.failed || q.waiting+n > maxQueued {
		return false
	}
	if more := q.waiting + n - freeBacklog - q.charged; more > 0 && q.backlog != nil {
		if q.charged == 0 {
			q.payer = q.user.Load()
		}
		if !q.backlog.take(q.payer, more) {
			return false
		}
		q.charged += more
	}
	q.waiting += n
	return true
}

// leftLocked notes that n bytes have left, or never will. The caller holds mu.
func (q *queueState) leftLocked(n int) {
	q.waiting -= n
	if less := q.charged - max(0, q.waiting-freeBacklog); less > 0 {
		q.backlog.giveBack(q.payer, less)
		q.charged -= less
	}
}

func (q *queueState) left(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.failed {
		q.leftLocked(n)
	}
}

// failLocked lets nothing wait any more. The caller holds mu.
func (q *queueState) failLocked() {
	q.leftLocked(q.waiting)
	q.failed = true
	q.ended.Broadcast()
}

// sendQueue writes messages to a stream, whole and in order, and never blocks its callers. While the socket takes
// everything, the caller writes and nothing is copied. The rest waits here for a goroutine, which lives until the queue
// is empty.
type sendQueue struct {
	// Static after init.
	conn  net.Conn
	raw   syscall.RawConn // nil if the connection is not a plain socket
	spawn func(func())    // starts a goroutine that Close waits for
	try   func(fd uintptr) bool

	// Owned by the goroutine that set busy.
	tryData []byte
	tryN    int

	queueState
	queue []byte // guarded by mu
}

func (q *sendQueue) init(conn net.Conn, spawn func(func())) {
	q.conn, q.spawn = conn, spawn
	q.ended.L = &q.mu
	if sc, ok := conn.(syscall.Conn); ok {
		q.raw, _ = sc.SyscallConn()
	}
	q.try = func(fd uintptr) bool {
		q.tryN = udpio.WriteNonblocking(fd, q.tryData)
		return true // never wait here
	}
}

// enqueue writes or copies b, or reports false if there is no room for it. The caller may then reuse b.
func (q *sendQueue) enqueue(b []byte) bool {
	q.mu.Lock()
	if !q.admitLocked(len(b)) {
		q.mu.Unlock()
		return false
	}
	q.sendLocked(b)
	return true
}

// sendLocked writes or copies b, which was taken in. The caller holds mu, which sendLocked releases.
func (q *sendQueue) sendLocked(b []byte) {
	if q.busy {
		q.queue = append(q.queue, b...)
		q.mu.Unlock()
		return
	}
	q.busy = true
	q.mu.Unlock()

	rest := b[q.writeNow(b):]
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.failed {
		q.leftLocked(len(b) - len(rest))
	}
	if len(rest) == 0 && len(q.queue) == 0 {
		q.busy = false
		q.ended.Broadcast()
		return
	}
	// Messages that others appended meanwhile come after the rest of b.
	q.queue = append(append(make([]byte, 0, len(rest)+len(q.queue)), rest...), q.queue...)
	q.spawn(q.drain)
}

// writeNow writes as much as the socket takes at once, and returns how many bytes that was.
func (q *sendQueue) writeNow(b []byte) int {
	if q.raw == nil {
		return 0
	}
	q.tryData, q.tryN = b, 0
	err := q.raw.Write(q.try)
	q.tryData = nil
	if err != nil {
		return 0
	}
	return q.tryN
}

// drain writes the queue until it is empty.
func (q *sendQueue) drain() {
	for {
		q.mu.Lock()
		b := q.queue
		q.queue = nil
		if len(b) == 0 {
			_ = q.conn.SetWriteDeadline(time.Time{}) // a later writeNow must not find that it has passed
			q.busy = false
			q.ended.Broadcast()
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()

		for piece := range slices.Chunk(b, writePiece) {
			_ = q.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := q.conn.Write(piece); err != nil {
				q.fail()
				return
			}
			q.left(len(piece))
		}
	}
}

// fail closes the stream. Its reader sees that, and ends the allocation.
func (q *sendQueue) fail() {
	q.mu.Lock()
	q.queue = nil
	q.failLocked()
	q.mu.Unlock()
	_ = q.conn.Close()
}
