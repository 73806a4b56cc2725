package turnserver

import (
	"errors"
	"net"
	"time"

	"example.org/turnpike/turnserver/front"
)

// tlsQueue encrypts messages, a record each, so that clients that read record by record, as coturn's do, find each
// message whole. It encrypts on the goroutine that sends, and a sendQueue takes the records of a batch in one piece. So
// TLS costs what TCP does, and the encryption.
type tlsQueue struct {
	// Static after init.
	conn    *front.Conn // which encrypts
	out     *sendQueue  // to the socket below
	buffers *bufferPool

	// Guarded by out.mu.
	sealing bool     // a goroutine encrypts; others only append to pending
	pending messages // not encrypted yet
	lent    *buffer  // has the records, if they are not too long for it; nil: there are none
	records []byte   // not yet given to out
	sealed  int      // that the messages in records were admitted with
}

func (q *tlsQueue) init(conn *front.Conn, out *sendQueue, buffers *bufferPool) {
	q.conn, q.out, q.buffers = conn, out, buffers
	conn.Divert(q.take)
}

// enqueue takes as many messages of a run as there is room for, and returns their number. The caller may then reuse
// their memory.
func (q *tlsQueue) enqueue(run []streamMessage) (taken int) {
	q.out.mu.Lock()
	for taken < len(run) && q.out.admitLocked(sealedSize(run[taken].data)) {
		taken++
	}
	if taken == 0 || q.sealing {
		for _, m := range run[:taken] {
			q.pending.append(m.data)
		}
		q.out.mu.Unlock()
		return taken
	}
	q.sealing = true
	q.out.mu.Unlock()
	for _, m := range run[:taken] {
		q.seal(m.data)
	}
	q.finishSealing()
	return taken
}

// seal encrypts a message. Only the goroutine that set sealing calls it. The record comes to take.
func (q *tlsQueue) seal(b []byte) {
	q.out.mu.Lock()
	q.sealed += sealedSize(b)
	q.out.mu.Unlock()
	if _, err := q.conn.Write(b); err != nil {
		q.out.fail()
	}
}

// finishSealing encrypts what others have sent meanwhile, and writes all records.
func (q *tlsQueue) finishSealing() {
	for {
		q.out.mu.Lock()
		rest := q.pending
		q.pending = messages{}
		if len(rest.ends) == 0 {
			q.sealing = false
			q.flushLocked()
			return
		}
		q.out.mu.Unlock()
		start := 0
		for _, end := range rest.ends {
			q.seal(rest.bytes[start:end])
			start = end
		}
	}
}

// sealedSize is the most that a message takes once it is encrypted. Short ones take many times their own size, and nobody is
// at fault if such wait.
func sealedSize(b []byte) int {
	const most = 5 + 16 + 20 + 16 // the longest of TLS 1.2 to a record: its head, and of AES-CBC-SHA the vector, the sum and the padding
	return len(b) + (1+len(b)/recordSize)*most
}

// mostSealed bounds what waits with what TLS itself has to say, which nobody counts: a client may ask for new keys without end, and read nothing.
const mostSealed = 2 * maxQueued

// errSealedTooMuch ends a connection whose client reads nothing of what it makes TLS say.
var errSealedTooMuch = errors.New("the client does not read what it asks TLS for")

// take takes records from TLS: those of seal, or what TLS itself has to say while it reads.
func (q *tlsQueue) take(records []byte) (int, error) {
	q.out.mu.Lock()
	if q.out.waiting+len(q.records)+len(records) > mostSealed {
		q.out.mu.Unlock()
		q.out.fail()
		return 0, errSealedTooMuch
	}
	if q.lent == nil {
		q.lent = q.buffers.get()
		q.records = q.lent.bytes[:0]
	}
	q.records = append(q.records, records...)
	if q.sealing {
		q.out.mu.Unlock()
	} else {
		q.flushLocked()
	}
	return len(records), nil
}

// flushLocked gives the records to out. The caller holds mu, which flushLocked releases.
func (q *tlsQueue) flushLocked() {
	b, lent := q.records, q.lent
	q.records, q.lent = nil, nil
	if q.out.failed || len(b) == 0 {
		q.out.ended.Broadcast()
		q.out.mu.Unlock()
	} else {
		q.out.waiting += len(b) - q.sealed
		q.sealed = 0
		q.out.sendLocked(b)
	}
	if lent != nil {
		q.buffers.put(lent)
	}
}

// waitUntilWritten waits until all that was sent has left, or reports false if it cannot. From then on what the caller
// writes goes to the socket at once.
func (q *tlsQueue) waitUntilWritten() bool {
	q.out.mu.Lock()
	defer q.out.mu.Unlock()
	for (q.sealing || q.out.busy) && !q.out.failed {
		q.out.ended.Wait()
	}
	q.conn.Divert(nil)
	return !q.out.failed
}

// recordQueue writes messages to DTLS, a record each (RFC 7350 §4.1). Callers never block: pion/dtls has locks that
// others may hold.
//
// A goroutine writes. It begins with the first message, and then waits for the next burst, until none has come for
// writerIdle. So a busy association has one goroutine, not one a burst, and an idle one has none.
type recordQueue struct {
	// Static after init.
	conn  net.Conn
	spawn func(func())  // starts a goroutine that Close waits for
	wake  chan struct{} // tells the writer, which waits, that it is busy or that the queue has failed

	queueState // busy: the writer has something to write

	// Guarded by mu.
	running bool     // there is a writer
	queue   messages // empty if nobody is busy
	spare   messages // empty, for the next exchange
}

// writerIdle is how long a writer waits for the next burst, and at most twice as long.
const writerIdle = time.Second

func (q *recordQueue) init(conn net.Conn, spawn func(func())) {
	q.conn, q.spawn = conn, spawn
	q.wake = make(chan struct{}, 1)
	q.ended.L = &q.mu
}

// messages stand one behind the other.
type messages struct {
	bytes []byte
	ends  []int
}

func (m *messages) append(b []byte) {
	m.bytes = append(m.bytes, b...)
	m.ends = append(m.ends, len(m.bytes))
}

// enqueue takes a copy of b, or reports false if there is no room for it.
func (q *recordQueue) enqueue(b []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.admitLocked(len(b)) {
		return false
	}
	q.queue.append(b)
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
		if alive := !q.failed; !alive || len(q.queue.ends) == 0 {
			if alive {
				q.busy = false
				q.ended.Broadcast()
			}
			q.mu.Unlock()
			return alive
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
