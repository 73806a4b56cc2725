package turnserver

import (
	"net"
	"time"
)

// recordQueue writes messages to TLS or DTLS, a record each. On DTLS a record is a message (RFC 7350 §4.1). On TLS,
// clients that read record by record, as coturn's do, find each message whole. Callers never block.
//
// A goroutine writes. It begins with the first message, and then waits for the next burst, until none has come for
// writerIdle. So a busy connection has one goroutine, not one a burst, and an idle connection has none.
type recordQueue struct {
	// Static after init.
	conn    net.Conn
	timeout time.Duration // for each writePiece; zero: writing never waits
	spawn   func(func())  // starts a goroutine that Close waits for
	wake    chan struct{} // tells the writer, which waits, that it is busy or that the queue has failed

	// Owned by the writer.
	deadline time.Time // of the next write

	queueState // busy: the writer has something to write

	// Guarded by mu.
	running bool     // there is a writer
	queue   messages // empty if nobody is busy
	spare   messages // empty, for the next exchange
}

const (
	// writerIdle is how long a writer waits for the next burst, and at most twice as long.
	writerIdle = time.Second
	// deadlineSlack is how much longer than timeout a write may take, so that not every burst sets a timer.
	deadlineSlack = time.Second
)

func (q *recordQueue) init(conn net.Conn, timeout time.Duration, spawn func(func())) {
	q.conn, q.timeout, q.spawn = conn, timeout, spawn
	q.wake = make(chan struct{}, 1)
	q.ended.L = &q.mu
}

// messages stand one behind the other.
type messages struct {
	bytes []byte
	ends  []int
}

// enqueue takes a copy of b, or reports false if there is no room for it.
func (q *recordQueue) enqueue(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.admitLocked(len(b)) {
		return false
	}
	q.queue.bytes = append(q.queue.bytes, b...)
	q.queue.ends = append(q.queue.ends, len(q.queue.bytes))
	if q.busy {
		return true
	}
	q.busy = true
	if q.running {
		q.wake <- struct{}{} // the writer waits, and there is room for one
		return true
	}
	q.running = true
	q.spawn(q.run)
	return true
}

// stop ends the writer once the connection is closed.
func (q *recordQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if waits := q.running && !q.busy && !q.failed; waits {
		q.wake <- struct{}{}
	}
	q.failLocked()
}

// run writes what comes until nothing has come for a while, or until the connection fails.
func (q *recordQueue) run() {
	idle := time.NewTimer(writerIdle)
	defer idle.Stop()
	quiet := false // since idle was set
	for q.drain() && q.awaitMore(idle, &quiet) {
	}
}

// awaitMore waits for the next burst, or reports false if the writer must end.
func (q *recordQueue) awaitMore(idle *time.Timer, quiet *bool) bool {
	for {
		select {
		case <-q.wake:
			*quiet = false
			return true
		case <-idle.C:
			if *quiet && q.retire() {
				return false
			}
			*quiet = true
			idle.Reset(writerIdle)
		}
	}
}

// retire ends the writer, unless wake has something for it.
func (q *recordQueue) retire() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy || q.failed {
		return false
	}
	q.running = false
	return true
}

// drain writes the queue until it is empty. If writing fails it closes the connection, and the reader sees that. It
// reports false if nothing can be written any more.
func (q *recordQueue) drain() bool {
	for {
		q.mu.Lock()
		if q.failed || len(q.queue.ends) == 0 {
			if !q.failed {
				q.busy = false
				q.ended.Broadcast()
			}
			q.mu.Unlock()
			return !q.failed
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
			q.queue = messages{}
			q.failLocked()
		} else if cap(out.bytes) <= freeBacklog {
			q.spare = messages{bytes: out.bytes[:0], ends: out.ends[:0]}
		}
		q.mu.Unlock()
	}
}

// write writes a record for each message.
func (q *recordQueue) write(m messages) error {
	start, left := 0, 0
	for i, end := range m.ends {
		if start == left { // the first of a piece
			q.limitWrite()
		}
		if _, err := q.conn.Write(m.bytes[start:end]); err != nil {
			return err
		}
		if start = end; end-left >= writePiece || i == len(m.ends)-1 {
			q.left(end - left)
			left = end
		}
	}
	return nil
}

// limitWrite gives the next write its time, and sets no timer if it has about that.
func (q *recordQueue) limitWrite() {
	if q.timeout == 0 {
		return
	}
	if now := time.Now(); q.deadline.Sub(now) < q.timeout {
		q.deadline = now.Add(q.timeout + deadlineSlack)
		_ = q.conn.SetWriteDeadline(q.deadline)
	}
}
