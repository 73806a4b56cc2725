package turnserver

import (
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"turnpike/turnserver/udpio"
)

const (
	// maxQueued bounds what waits for a client that reads slowly: a second of a fast video call.
	maxQueued = 256 << 10
	// writeTimeout ends a stream whose client does not read writePiece bytes in that time: slow clients lose data, dead
	// ones the stream.
	writeTimeout = 30 * time.Second
	writePiece   = 16 << 10
)

// queueState says how a queue's writer is doing.
type queueState struct {
	mu     sync.Mutex
	busy   bool // a goroutine writes; others only append
	failed bool
	ended  sync.Cond // the writer has written all, or has failed
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
	switch {
	case q.failed || len(q.queue)+len(b) > maxQueued:
		q.mu.Unlock()
		return false
	case q.busy:
		q.queue = append(q.queue, b...)
		q.mu.Unlock()
		return true
	}
	q.busy = true
	q.mu.Unlock()

	rest := b[q.writeNow(b):]
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(rest) == 0 && len(q.queue) == 0 {
		q.busy = false
		return true
	}
	// Messages that others appended meanwhile come after the rest of b.
	q.queue = append(append(make([]byte, 0, len(rest)+len(q.queue)), rest...), q.queue...)
	q.spawn(q.drain)
	return true
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
		}
	}
}

// fail closes the stream. Its reader sees that, and ends the allocation.
func (q *sendQueue) fail() {
	q.mu.Lock()
	q.failed, q.queue = true, nil
	q.ended.Broadcast()
	q.mu.Unlock()
	_ = q.conn.Close()
}

// recordQueue writes messages to TLS or DTLS, a record each. On DTLS a record is a message (RFC 7350 §4.1). On TLS,
// clients that read record by record, as coturn's do, find each message whole. Callers never block; a goroutine writes,
// and lives until the queue is empty.
type recordQueue struct {
	// Static after init.
	conn    net.Conn
	timeout time.Duration // for each writePiece; zero: writing never waits
	spawn   func(func())  // starts a goroutine that Close waits for

	queueState

	// Guarded by mu.
	queue messages
	spare messages // empty, for the next exchange
}

func (q *recordQueue) init(conn net.Conn, timeout time.Duration, spawn func(func())) {
	q.conn, q.timeout, q.spawn = conn, timeout, spawn
	q.ended.L = &q.mu
}

// messages stand one behind the other.
type messages struct {
	bytes []byte
	ends  []int
}

// keptQueue is how much of a buffer is kept for the next burst.
const keptQueue = 16 << 10

// enqueue takes a copy of b, or reports false if there is no room for it.
func (q *recordQueue) enqueue(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed || len(q.queue.bytes)+len(b) > maxQueued {
		return false
	}
	q.queue.bytes = append(q.queue.bytes, b...)
	q.queue.ends = append(q.queue.ends, len(q.queue.bytes))
	if !q.busy {
		q.busy = true
		q.spawn(q.drain)
	}
	return true
}

// drain writes the queue until it is empty. If writing fails it closes the connection, and the reader sees that.
func (q *recordQueue) drain() {
	for {
		q.mu.Lock()
		if len(q.queue.ends) == 0 {
			q.busy = false
			q.ended.Broadcast()
			q.mu.Unlock()
			return
		}
		out := q.queue
		q.queue, q.spare = q.spare, messages{}
		q.mu.Unlock()

		err := q.write(out)
		if err != nil {
			_ = q.conn.Close()
		}
		q.mu.Lock()
		if err != nil {
			q.failed, q.queue = true, messages{}
			q.ended.Broadcast()
		} else if cap(out.bytes) <= keptQueue {
			q.spare = messages{bytes: out.bytes[:0], ends: out.ends[:0]}
		}
		q.mu.Unlock()
	}
}

func (q *recordQueue) write(m messages) error {
	start, limited := 0, -writePiece
	for _, end := range m.ends {
		if q.timeout > 0 && start-limited >= writePiece {
			_ = q.conn.SetWriteDeadline(time.Now().Add(q.timeout))
			limited = start
		}
		if _, err := q.conn.Write(m.bytes[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}
