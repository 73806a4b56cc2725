package turnserver

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// setupTime is how long a stream may go without an allocation. It runs from the connection's beginning, so that sending
// slowly does not stretch it, and again from the end of an allocation.
const setupTime = 30 * time.Second

// maxRequest bounds STUN messages that are not Send indications. No request needs as much.
const maxRequest = 4096

// tcpListener accepts the streams of one listener.
type tcpListener struct {
	srv   *Server
	shard *shard
	ln    net.Listener
}

func (s *Server) listenTCP(l Listener) error {
	network := "tcp6"
	if l.Addr.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	ln, err := net.Listen(network, l.Addr.String())
	if err != nil {
		return err
	}
	t := tcpListener{srv: s, shard: newShard(s), ln: ln}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = append(s.tcp, t)
	s.shards = append(s.shards, t.shard)
	s.addrs = append(s.addrs, Listener{Network: "tcp", Addr: addrPortOf(ln.Addr())})
	return nil
}

// accept takes connections until the listener is closed. When the system runs out of descriptors it waits, longer each time.
func (l tcpListener) accept() {
	defer l.srv.readers.Done()
	const longest = time.Second
	for delay := time.Duration(0); ; {
		conn, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			delay = min(max(5*time.Millisecond, 2*delay), longest)
			select {
			case <-time.After(delay):
				continue
			case <-l.srv.done:
				return
			}
		}
		delay = 0
		l.srv.serveStream(conn, l.shard)
	}
}

// serveStream serves one connection in a goroutine of its own, if there may be one more.
func (s *Server) serveStream(conn net.Conn, shard *shard) {
	t := newStream(s, shard, conn)
	s.mu.Lock()
	ok := !s.closed && len(s.streams) < s.cfg.Limits.Streams
	if ok {
		s.streams[t] = struct{}{}
		s.readers.Add(1)
	}
	s.mu.Unlock()
	if !ok {
		s.counters.drop(streamTooMany)
		_ = conn.Close()
		return
	}
	go t.serve()
}

// stream is a client's TCP connection, on which STUN messages and ChannelData follow each other (RFC 8656 §3.1, RFC 8489 §6.2.2).
type stream struct {
	// Static after construction.
	srv   *Server
	shard *shard
	conn  net.Conn
	tuple fiveTuple
	out   sendQueue

	// Owned by serve.
	begun bool // a frame was served

	// Guarded by mu.
	mu          sync.Mutex
	allocations int // 1 or 0, but for the moment in which one expires while the next is made
}

func newStream(s *Server, shard *shard, conn net.Conn) *stream {
	remote, local := addrPortOf(conn.RemoteAddr()), addrPortOf(conn.LocalAddr())
	t := &stream{
		srv: s, shard: shard, conn: conn,
		tuple: fiveTuple{client: endpointOf(withoutZone(remote)), local: endpointOf(withoutZone(local)), proto: protoTCP},
	}
	t.out.init(conn, s.readers.Go)
	_ = conn.SetReadDeadline(time.Now().Add(setupTime))
	return t
}

func withoutZone(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().WithZone(""), ap.Port())
}

// send queues b, or drops it if the client does not keep up.
func (t *stream) send(b []byte) bool { return t.out.send(b) }

func (t *stream) close() {
	_ = t.conn.Close()
}

// allocationMade lifts the deadline: the stream now lives as long as its allocation.
func (t *stream) allocationMade() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.allocations++
	_ = t.conn.SetReadDeadline(time.Time{}) // sets a timer and waits for nothing; under mu, so that the last word holds
}

// allocationEnded gives the client setupTime to make another.
func (t *stream) allocationEnded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.allocations--; t.allocations == 0 {
		_ = t.conn.SetReadDeadline(time.Now().Add(setupTime))
	}
}

// serve reads the stream to its end. An idle one holds no buffer: the first bytes of a frame are read into a small array.
func (t *stream) serve() {
	defer t.srv.readers.Done()
	defer t.finish()
	c := client{tuple: t.tuple, remote: addrPortOf(t.conn.RemoteAddr()), stream: t}
	for {
		var first [channelHeaderSize]byte
		if _, err := io.ReadFull(t.conn, first[:]); err != nil {
			t.countTimeout(err)
			return
		}
		if !t.serveBatch(&c, first) {
			return
		}
	}
}

// finish ends what the stream carried. Its allocation dies with it (RFC 8656 §3.1).
func (t *stream) finish() {
	if a := t.shard.find(t.tuple); a != nil {
		a.end()
	}
	t.close()
	t.srv.mu.Lock()
	defer t.srv.mu.Unlock()
	delete(t.srv.streams, t)
}

func (t *stream) countTimeout(err error) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.srv.counters.drop(streamNoAllocation)
	}
}

// serveBatch serves frames from a borrowed buffer until what was read ends with a frame, and reports false if the stream is over.
func (t *stream) serveBatch(c *client, first [channelHeaderSize]byte) bool {
	b := t.srv.buffers.get()
	defer t.srv.buffers.put(b)
	w := t.srv.workers.get(t.shard)
	w.adjoining = true
	defer t.srv.workers.put(w)
	defer w.flush() // what came before the end of the stream, or a bad frame

	limit := headroom + maxMessage
	start, end := headroom, headroom+copy(b.bytes[headroom:], first[:])
	for start < end {
		size, ok := frameSize(b.bytes[start:end])
		// ChannelData is never first; HTTP would pass for it.
		if !ok || !t.begun && isChannelData(b.bytes[start]) {
			t.srv.counters.drop(streamBadFrame)
			return false
		}
		if size > 0 && size <= end-start {
			w.handle(c, b.bytes[:], start, start+size)
			t.begun = true
			start += size
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

// frameSize returns how long the frame at the front of b is, padding included, 0 if more bytes are needed to tell, and false
// if it is no frame that a client may send. No frame is longer than maxMessage.
func frameSize(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if !isChannelData(b[0]) && b[0]&0xC0 != 0 {
		return 0, false
	}
	if len(b) < channelHeaderSize {
		return 0, true
	}
	// In int: with padding, a 16-bit length can pass 65535.
	length := int(binary.BigEndian.Uint16(b[2:]))
	if isChannelData(b[0]) {
		return channelHeaderSize + pad4(length), true
	}
	size := stunHeaderSize + length
	if length%4 != 0 {
		return 0, false
	}
	if binary.BigEndian.Uint16(b) != typeSendIndication && size > maxRequest {
		return 0, false
	}
	if len(b) < 8 {
		return 0, true
	}
	return size, binary.BigEndian.Uint32(b[4:]) == magicCookie
}
