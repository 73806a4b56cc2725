package turnserver

import (
	"net"
	"sync"
	"time"
)

// recordQueue writes messages to TLS or DTLS, a record each: on DTLS a record is a message (RFC 7350 §4.1), and on TLS clients
// that read record by record, as coturn's do, find each message whole. Callers never block; a goroutine that writes lives until
// the queue is empty.
type recordQueue struct {
	// Static after init.
	conn    net.Conn
	timeout time.Duration // for each writePiece; zero: writing never waits
	spawn   func(func())  // starts a goroutine that Close waits for

	// Guarded by mu.
	mu     sync.Mutex
	busy   bool // a goroutine writes
	failed bool
	queue  messages
	spare  messages  // empty, for the next exchange
	left   sync.Cond // that the queue is empty, or has failed
}

func (q *recordQueue) init(conn net.Conn, timeout time.Duration, spawn func(func())) {
	q.conn, q.timeout, q.spawn = conn, timeout, spawn
	q.left.L = &q.mu
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

// drain writes the queue until it is empty, or until writing fails: then the connection is over, and its reader sees that.
func (q *recordQueue) drain() {
	for {
		q.mu.Lock()
		if len(q.queue.ends) == 0 {
			q.busy = false
			q.left.Broadcast()
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
			q.left.Broadcast()
		} else if cap(out.bytes) <= keptQueue {
			q.spare = messages{bytes: out.bytes[:0], ends: out.ends[:0]}
		}
		q.mu.Unlock()
	}
}

// waitUntilWritten waits until all that was sent has left, or reports false if it cannot. From then on the caller alone writes.
func (q *recordQueue) waitUntilWritten() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.busy && !q.failed {
		q.left.Wait()
	}
	return !q.failed
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
