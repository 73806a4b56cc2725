package turnserver

import (
	"bytes"
	"errors"
	"io"
	"net"

	"turnpike/turnserver/front"
	"turnpike/turnserver/wire"
)

// serveStream serves one connection in a goroutine of its own, if there may be one more.
func (s *Server) serveStream(conn net.Conn, shard *shard) {
	t := newStream(s, shard, conn)
	s.mu.Lock()
	ok := s.mayConnect()
	if ok {
		s.streams[t] = struct{}{}
		s.readers.Add(1)
	}
	s.mu.Unlock()
	if !ok {
		s.counters.count(streamTooMany)
		_ = conn.Close()
		return
	}
	go t.serve()
}

// mayConnect reports whether there may be one more stream or association. The caller holds mu.
func (s *Server) mayConnect() bool {
	return !s.closed && len(s.streams)+len(s.associations) < s.cfg.Limits.Streams
}

// stream is a client's connection over TCP or TLS, on which STUN messages and ChannelData follow each other (RFC 8656
// §3.1, RFC 8489 §6.2.2).
type stream struct {
	// Static after construction.
	srv   *Server
	shard *shard
	tuple wire.FiveTuple
	out   sendQueue
	tls   *recordQueue // instead of out, on TLS

	clientConnection

	// Owned by serve.
	begun   bool      // a frame was served
	claimed *peerConn // the stream carries its data from now on, instead of frames
	answer  []byte    // to the claim
	behind  []byte    // what came behind the claim
}

func newStream(s *Server, shard *shard, conn net.Conn) *stream {
	remote, local := wire.AddrPortOf(conn.RemoteAddr()), wire.AddrPortOf(conn.LocalAddr())
	t := &stream{
		srv: s, shard: shard, clientConnection: clientConnection{conn: conn},
		tuple: wire.FiveTuple{Client: wire.EndpointOf(wire.WithoutZone(remote)), Local: wire.EndpointOf(wire.WithoutZone(local)), Protocol: transportOf(conn)},
	}
	t.out.init(conn, s.readers.Go)
	if t.tuple.Protocol == wire.TLS {
		t.tls = new(recordQueue)
		t.tls.init(conn, writeTimeout, s.readers.Go)
	}
	t.limitSetup()
	return t
}

// transportOf tells TLS from TCP.
func transportOf(conn net.Conn) wire.Protocol {
	if c, ok := conn.(*front.Conn); ok && c.Secured() {
		return wire.TLS
	}
	return wire.TCP
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// enqueue queues b, or reports false if the client does not keep up.
func (t *stream) enqueue(b []byte) bool {
	if t.tls != nil {
		return t.tls.enqueue(b)
	}
	return t.out.enqueue(b)
}

func (t *stream) close() {
	_ = t.conn.Close()
}

// serve reads the stream to its end. An idle stream holds no buffer: the first bytes of a frame are read into a small
// array.
func (t *stream) serve() {
	defer t.srv.readers.Done()
	defer t.finish()
	c := client{tuple: t.tuple, remote: wire.AddrPortOf(t.conn.RemoteAddr()), stream: t, conn: &t.clientConnection}
	for {
		var first [wire.ChannelHeaderSize]byte
		if _, err := io.ReadFull(t.conn, first[:]); err != nil {
			t.countTimeout(err)
			return
		}
		if !t.serveBatch(&c, first) {
			if t.claimed != nil {
				t.copyWithPeer()
			}
			return
		}
	}
}

// finish ends the stream's allocation and forgets the stream.
func (t *stream) finish() {
	t.endAllocation(t.shard, t.tuple)
	t.close()
	t.srv.mu.Lock()
	defer t.srv.mu.Unlock()
	delete(t.srv.streams, t)
}

func (t *stream) countTimeout(err error) {
	if isTimeout(err) {
		t.srv.counters.count(streamNoAllocation)
	}
}

// serveBatch serves frames from a borrowed buffer until no part of a frame is left in it. It reports false if the
// stream is over.
func (t *stream) serveBatch(c *client, first [wire.ChannelHeaderSize]byte) bool {
	b := t.srv.buffers.get()
	defer t.srv.buffers.put(b)
	w := t.srv.workers.get(t.shard, t.tuple.Protocol)
	w.adjoining = true
	defer t.srv.workers.put(w)
	defer w.flush() // frames that came before a bad frame or the end of the stream

	limit := headroom + wire.MaxMessage
	start, end := headroom, headroom+copy(b.bytes[headroom:], first[:])
	for start < end {
		size, ok := wire.FrameSize(b.bytes[start:end])
		// ChannelData is never first. HTTP would pass for it.
		if !ok || !t.begun && wire.IsChannelData(b.bytes[start]) {
			t.srv.counters.count(streamBadFrame)
			return false
		}
		if size > 0 && size <= end-start {
			w.handle(c, b.bytes[:], start, start+size)
			t.begun = true
			start += size
			if t.claimed != nil {
				t.behind = bytes.Clone(b.bytes[start:end])
				return false
			}
			continue
		}
		w.flush()             // before the buffer is written to
		if start > headroom { // keep headroom, and room for the whole frame
			end = headroom + copy(b.bytes[headroom:], b.bytes[start:end])
			start = headroom
		}
		n, err := t.conn.Read(b.bytes[end:limit])
		if end += n; err != nil {
			t.countTimeout(err)
			return false
		}
	}
	w.flush()
	return true
}
