package turnserver

import (
	"errors"
	"net"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
)

// serveStream serves one connection in a goroutine of its own, if there may be one more.
func (s *Server) serveStream(conn net.Conn, shard *shard) {
	t := newStream(s, shard, conn)
	if !s.enter(&t.clientConnection, func() { s.streams[t] = struct{}{} }) {
		_ = conn.Close()
		return
	}
	go t.serve()
}

// enter takes a place for a stream or an association, and counts the goroutine that will serve it. add notes it while
// Server.mu is held. If there is no place, enter counts that and reports false.
func (s *Server) enter(c *clientConnection, add func()) bool {
	ok, out := s.places.enter(c)
	if out != nil {
		s.counters.count(streamCrowdedOut)
		_ = out.conn.Close()
	}
	if !ok {
		s.counters.count(streamTooMany)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.places.leave(c)
		return false
	}
	add()
	s.readers.Add(1)
	return true
}

// stream is a client's connection over TCP or TLS, on which STUN messages and ChannelData follow each other (RFC 8656
// §3.1, RFC 8489 §6.2.2).
type stream struct {
	// Static after construction.
	srv   *Server
	shard *shard
	tuple wire.FiveTuple
	out   sendQueue
	tls   *tlsQueue // before out, on TLS

	clientConnection

	// Owned by serve.
	begun   bool      // a frame was served
	claimed *peerConn // the stream carries its data from now on, instead of frames
	answer  []byte    // to the claim
}

func newStream(s *Server, shard *shard, conn net.Conn) *stream {
	remote, local := wire.AddrPortOf(conn.RemoteAddr()), wire.AddrPortOf(conn.LocalAddr())
	t := &stream{
		srv: s, shard: shard, clientConnection: clientConnection{conn: conn, places: &s.places},
		tuple: wire.FiveTuple{Client: wire.EndpointOf(wire.WithoutZone(remote)), Local: wire.EndpointOf(wire.WithoutZone(local)), Protocol: wire.TCP},
	}
	t.out.backlog, t.out.user = &s.backlog, &t.account
	if secured, ok := conn.(*front.Conn); ok && secured.Secured() {
		t.tuple.Protocol = wire.TLS
		t.tls = new(tlsQueue)
		t.tls.init(secured, &t.out, s.buffers)
		conn = secured.Socket()
	}
	t.out.init(conn, s.readers.Go)
	t.limitSetup()
	return t
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (t *stream) close() {
	_ = t.conn.Close()
}

// serve reads the stream to its end.
func (t *stream) serve() {
	defer t.srv.readers.Done()
	defer t.finish()
	c := client{tuple: t.tuple, remote: wire.AddrPortOf(t.conn.RemoteAddr()), stream: t, conn: &t.clientConnection}
	in := newIntake(t)
	for alive := in.serveFed(&c); alive; {
		alive = in.serveNext(&c)
	}
	if t.claimed != nil {
		t.copyWithPeer(in.takeRest())
	}
}

// finish ends the stream's allocation and forgets the stream.
func (t *stream) finish() {
	t.endAllocation(t.shard, t.tuple)
	t.close()
	t.srv.places.leave(&t.clientConnection)
	t.srv.mu.Lock()
	defer t.srv.mu.Unlock()
	delete(t.srv.streams, t)
}

func (t *stream) countTimeout(err error) {
	if isTimeout(err) {
		t.srv.counters.count(streamNoAllocation)
	}
}
