package turnserver

import (
	"errors"
	"slices"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

const (
	// batchEnd is where a buffer's room for frames ends.
	batchEnd = headroom + wire.MaxMessage
	// keptRest is how much memory for parts of frames a stream keeps, in bytes.
	keptRest = 2048
	// ownRoom is the least that a connection without a socket is read into.
	ownRoom = 64
)

// intake reads a stream's frames. It borrows a buffer once something has come, and gives it back when that is served.
// The beginning of a frame waits for the rest in a slice of its size. So a client pays in bytes for the memory that it
// holds.
//
// On TLS, the socket is read into one buffer and decrypted into another.
type intake struct {
	// Static after construction.
	t      *stream
	socket *udpio.LazyReader // nil: the connection is no socket, and reading it waits in rest
	conn   *front.Conn       // on socket

	rest   []byte  // the beginning of a frame
	lent   *buffer // to socket: frames, or TLS records
	inHand int     // bytes of rest at the front of lent
}

func newIntake(t *stream) *intake {
	in := &intake{t: t}
	if conn, ok := t.conn.(*front.Conn); ok {
		if in.socket = udpio.NewLazyReader(conn.Socket(), in.lend, in.takeBack); in.socket != nil {
			in.conn = conn
			conn.Starve()
		}
	}
	return in
}

// lend gives the socket a buffer to read into: behind the beginning of a frame, if the stream is in clear.
func (in *intake) lend() []byte {
	in.lent = in.t.srv.buffers.get()
	if in.t.tls != nil {
		return in.lent.bytes[:]
	}
	in.inHand = copy(in.lent.bytes[headroom:], in.rest)
	return in.lent.bytes[headroom+in.inHand : batchEnd]
}

func (in *intake) takeBack() {
	in.t.srv.buffers.put(in.lent)
	in.lent = nil
}

// serveNext waits for more, and serves the frames in it. It reports false if the stream is over, or has claimed a
// connection with a peer.
func (in *intake) serveNext(c *client) bool {
	if in.socket == nil {
		return in.serveUnbuffered(c)
	}
	n, err := in.socket.Read()
	if err != nil {
		in.t.countTimeout(err)
		return false
	}
	defer in.takeBack()
	if in.t.tls != nil {
		in.conn.Feed(in.lent.bytes[:n])
		return in.serveFed(c)
	}
	w := in.borrowWorker()
	defer in.giveBack(w)
	start, end := headroom, headroom+in.inHand+n
	alive := in.serveFrames(c, w, in.lent, &start, end)
	in.keep(in.lent.bytes[start:end])
	return alive
}

// serveFed serves what can be read without waiting for the socket: what came with the first frame, or is in the TLS
// records that the connection was fed.
func (in *intake) serveFed(c *client) bool {
	if in.socket == nil {
		return true
	}
	b := in.t.srv.buffers.get()
	defer in.t.srv.buffers.put(b)
	w := in.borrowWorker()
	defer in.giveBack(w)
	start, end := headroom, headroom+copy(b.bytes[headroom:], in.rest)
	for {
		if start > headroom && batchEnd-end < recordSize { // keep headroom, and room for the whole frame
			w.flush() // before the buffer is written to
			end = headroom + copy(b.bytes[headroom:], b.bytes[start:end])
			start = headroom
		}
		n, err := in.conn.Read(b.bytes[end:batchEnd])
		end += n
		alive := in.serveFrames(c, w, b, &start, end)
		if !alive || err != nil {
			in.keep(b.bytes[start:end])
			if in.t.claimed != nil {
				in.keepFed()
			}
			return alive && errors.Is(err, front.ErrStarved)
		}
	}
}

// serveUnbuffered does the work of serveNext where reading itself waits.
func (in *intake) serveUnbuffered(c *client) bool {
	in.rest = slices.Grow(in.rest, max(ownRoom, len(in.rest)))
	n, err := in.t.conn.Read(in.rest[len(in.rest):min(cap(in.rest), wire.MaxMessage)])
	if n == 0 && err != nil {
		in.t.countTimeout(err)
		return false
	}
	b := in.t.srv.buffers.get()
	defer in.t.srv.buffers.put(b)
	w := in.borrowWorker()
	defer in.giveBack(w)
	start, end := headroom, headroom+copy(b.bytes[headroom:], in.rest[:len(in.rest)+n])
	alive := in.serveFrames(c, w, b, &start, end)
	in.keep(b.bytes[start:end])
	return alive && err == nil
}

// serveFrames serves the whole frames in b.bytes[start:end], and advances start behind them. It reports false if the
// stream is over, or has claimed a connection with a peer.
func (in *intake) serveFrames(c *client, w *worker, b *buffer, start *int, end int) bool {
	t := in.t
	for *start < end {
		size, ok := wire.FrameSize(b.bytes[*start:end])
		// ChannelData is never first. HTTP would pass for it.
		if !ok || !t.begun && wire.IsChannelData(b.bytes[*start]) {
			t.srv.counters.count(streamBadFrame)
			return false
		}
		if size == 0 || size > end-*start {
			return true
		}
		w.handle(c, b.bytes[:], *start, *start+size)
		t.begun = true
		if *start += size; t.claimed != nil {
			return false
		}
	}
	return true
}

// keep keeps the beginning of a frame, in as much memory as it needs or has needed lately.
func (in *intake) keep(part []byte) {
	if cap(in.rest) > max(keptRest, 2*len(part)) {
		in.rest = nil
	}
	in.rest = append(in.rest[:0], part...)
}

// keepFed keeps what else the connection can read without the socket, before the buffer that it was fed goes back.
func (in *intake) keepFed() {
	for room := make([]byte, recordSize); ; {
		n, err := in.conn.Read(room)
		in.rest = append(in.rest, room[:n]...)
		if err != nil { // nothing more has come; or an error, which the next reader finds again
			return
		}
	}
}

// takeRest returns what came behind the claim of a connection with a peer. From then on, reading the connection waits
// for the socket.
func (in *intake) takeRest() []byte {
	if in.socket != nil {
		in.conn.StopStarving()
	}
	return in.rest
}

// borrowWorker returns a worker for the frames in hand.
func (in *intake) borrowWorker() *worker {
	w := in.t.srv.workers.get(in.t.shard, in.t.tuple.Protocol)
	w.adjoining = true
	return w
}

// giveBack flushes a worker, also after frames that came before a bad one or the end of the stream.
func (in *intake) giveBack(w *worker) {
	w.flush()
	in.t.srv.workers.put(w)
}
