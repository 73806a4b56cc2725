package turnserver

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"example.org/turnpike/turnserver/udpio"
)

// lingerTime is how long the other side may stay silent once one side sends no more. A side that has gone altogether
// looks the same as one that only has no more to send.
const lingerTime = time.Minute

// stuckTime is how long a side may take to read copySize bytes, and stuckSlack how much longer, so that not every write
// sets a timer. A client that waits for its user is not the same as one that holds the server's memory for ever.
const (
	stuckTime  = 2 * time.Minute
	stuckSlack = 10 * time.Second
)

// copySize is how much is copied at once. As much waits in each direction for a side that does not read.
const copySize = 16 << 10

// copyWithPeer copies data between the stream and the peer whose connection it has claimed. It ends when neither side
// sends more, when one of them fails, or when the allocation ends. Data that one side does not read stay with the
// other: the server holds a buffer in each direction, and none while nothing comes (but over TLS one from the client, since
// it cannot tell whether something has come). behind is what the client sent
// behind its claim.
func (t *stream) copyWithPeer(behind []byte) {
	p := t.claimed
	defer p.end(noReason)
	if !t.waitUntilWritten() {
		return
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := t.conn.Write(t.answer); err != nil {
		return
	}
	_ = t.conn.SetDeadline(time.Time{}) // there is no allocation to wait for
	var other sync.WaitGroup
	other.Go(func() { p.copyTo(peerToClient, t.conn, p.conn, nil) })
	p.copyTo(clientToPeer, p.conn, t.conn, behind)
	other.Wait()
}

// waitUntilWritten waits until all queued messages have left, or reports false if they cannot.
func (t *stream) waitUntilWritten() bool {
	if t.tls != nil {
		return t.tls.waitUntilWritten()
	}
	return t.out.waitUntilWritten()
}

// recordSize is the most that a read from TLS returns.
const recordSize = 16 << 10

// copyTo passes on the data in before, then all data from one side to the other, and at last that no more will come. If
// it cannot, it ends the connection.
func (p *peerConn) copyTo(d direction, to, from net.Conn, before []byte) {
	wait := udpio.NewReadWaiter(from)
	var own []byte // the buffer to read into where the read itself waits
	if !wait.Waits() {
		own = make([]byte, recordSize)
	}
	err := p.write(d, to, before)
	for err == nil {
		if p.halfClosed.Load() {
			_ = from.SetReadDeadline(time.Now().Add(lingerTime))
		}
		if err = wait.Readable(); err == nil {
			err = p.copySome(d, to, from, own)
		}
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !errors.Is(err, io.EOF) || !ok || half.CloseWrite() != nil {
		p.end(noReason)
		return
	}
	p.halfClosed.Store(true)
	_ = to.SetReadDeadline(time.Now().Add(lingerTime)) // of the other direction's read, which may be waiting already
}

// copySome passes on the data that are there, up to a buffer.
func (p *peerConn) copySome(d direction, to, from net.Conn, buf []byte) error {
	if buf == nil {
		b := p.relay.srv.copies.Get().(*[copySize]byte)
		defer p.relay.srv.copies.Put(b)
		buf = b[:]
	}
	n, err := from.Read(buf)
	if failed := p.write(d, to, buf[:n]); failed != nil {
		return failed
	}
	return err
}

// write passes b on as soon as the limits allow, and counts it.
func (p *peerConn) write(d direction, to net.Conn, b []byte) error {
	s, a := p.relay.srv, p.relay.alloc
	if len(b) == 0 {
		return nil
	}
	if !s.bandwidth.waitFor(a, d, len(b), s.now, p.life.Done()) {
		return net.ErrClosed
	}
	if now := time.Now(); p.deadlines[d].Sub(now) < stuckTime {
		p.deadlines[d] = now.Add(stuckTime + stuckSlack)
		_ = to.SetWriteDeadline(p.deadlines[d])
	}
	if _, err := to.Write(b); err != nil {
		return err
	}
	a.traffic[d].count(len(b))
	w := s.workers.get(nil, 0) // for its counters
	w.counters.countRelayed(p.client.tuple.Protocol, d, len(b))
	s.workers.put(w)
	return nil
}
