package turnserver

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"turnpike/turnserver/wire"
)

// openTime is how long a connection may take to show what it carries: a PROXY header, the TLS handshake and the first frame,
// together, however slowly they come.
const openTime = 10 * time.Second

// StreamOptions say how the connections of a listener begin.
type StreamOptions struct {
	TLS    bool           // TLS comes first, with the certificate of Config.GetCertificate
	NoTURN bool           // connections that begin with STUN are closed
	Other  func(net.Conn) // takes over those that begin otherwise, and must not block; nil: they are closed
}

// ServeStreams accepts connections from ln until Close, which also closes ln. It may be called once Start has returned.
func (s *Server) ServeStreams(ln net.Listener, opts StreamOptions) error {
	l := s.newStreamListener(ln, opts)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = ln.Close()
		return net.ErrClosed
	}
	s.addStreamListener(l)
	s.readers.Add(1)
	s.mu.Unlock()
	l.accept()
	return nil
}

// streamListener accepts the connections of one listener.
type streamListener struct {
	// Static after construction.
	srv     *Server
	shard   *shard
	ln      net.Listener
	options StreamOptions
}

func (s *Server) newStreamListener(ln net.Listener, opts StreamOptions) *streamListener {
	return &streamListener{srv: s, shard: newShard(s), ln: ln, options: opts}
}

// addStreamListener makes the server own l. The caller holds mu.
func (s *Server) addStreamListener(l *streamListener) {
	s.tcp = append(s.tcp, l)
	s.shards = append(s.shards, l.shard)
}

// listenTCP opens a listener of tcp:// or tls://.
func (s *Server) listenTCP(l Listener) error {
	network := "tcp6"
	if l.Addr.Addr().Unmap().Is4() {
		network = "tcp4"
	}
	ln, err := net.Listen(network, l.Addr.String())
	if err != nil {
		return err
	}
	t := s.newStreamListener(ln, StreamOptions{TLS: l.Network == "tls"})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addStreamListener(t)
	s.addrs = append(s.addrs, Listener{Network: l.Network, Addr: wire.AddrPortOf(ln.Addr())})
	return nil
}

// accept takes connections until the listener is closed.
func (l *streamListener) accept() {
	defer l.srv.readers.Done()
	l.srv.acceptFrom(l.ln, l.begin)
}

// acceptFrom hands on what connects to a listener until that is closed. When the system runs out of descriptors it waits, longer
// each time.
func (s *Server) acceptFrom(ln net.Listener, begin func(net.Conn)) {
	const longest = time.Second
	for delay := time.Duration(0); ; {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			delay = min(max(5*time.Millisecond, 2*delay), longest)
			select {
			case <-time.After(delay):
				continue
			case <-s.done:
				return
			}
		}
		delay = 0
		begin(conn)
	}
}

// begin hands a connection on: at once where it can be nothing but a stream of STUN, else to a goroutine that finds out.
func (l *streamListener) begin(conn net.Conn) {
	s := l.srv
	c := &clientConn{Conn: conn, sock: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr(), proto: wire.TCP}
	from := wire.AddrPortOf(c.remote).Addr()
	switch {
	case s.cfg.ProxyProtocol && !s.trusts(from):
		s.counters.drop(streamStranger)
	case !s.cfg.ProxyProtocol && !c.count(s, from):
		s.counters.drop(streamTooManyFrom)
	case !s.cfg.ProxyProtocol && !l.options.TLS && l.options.Other == nil:
		s.serveStream(c, l.shard)
		return
	case s.startReader():
		go l.open(c, s.opening.add(conn))
		return
	}
	_ = c.Close()
}

// trusts reports whether ip is a trusted proxy's.
func (s *Server) trusts(ip netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(wire.Canonical(ip)) {
			return true
		}
	}
	return false
}

// open reads a connection until it is known what it carries, and hands it on or closes it.
func (l *streamListener) open(c *clientConn, place *list.Element) {
	s := l.srv
	defer s.readers.Done()
	_ = c.sock.SetDeadline(time.Now().Add(s.openTime))
	kind, why := l.openUp(c)
	if !s.opening.done(place) { // closed by somebody else, whatever openUp made of that
		why = streamCrowdedOut
	}
	_ = c.sock.SetDeadline(time.Time{})
	switch {
	case s.isClosed():
		_ = c.Close()
	case why != goesOn:
		s.counters.drop(why)
		_ = c.Close()
	case kind == carriesSTUN:
		s.serveStream(c, l.shard)
	default:
		l.options.Other(otherConn{c})
	}
}

// content is what a connection carries.
type content uint8

const (
	carriesOther content = iota
	carriesSTUN
)

// openUp reads what stands before the content of a connection, and tells what that is, or why the connection must be closed.
func (l *streamListener) openUp(c *clientConn) (content, reason) {
	if l.srv.cfg.ProxyProtocol {
		if why := l.readProxyHeader(c); why != goesOn {
			return 0, why
		}
	}
	protocol := ""
	if l.options.TLS {
		var why reason
		if protocol, why = l.handshake(c); why != goesOn {
			return 0, why
		}
	}
	switch {
	case protocol == alpnACME:
		return 0, streamReserved
	case protocol != "" && protocol != alpnHTTP, l.options.Other == nil:
		return carriesSTUN, goesOn // what else comes is a bad frame
	}
	kind, err := c.peek()
	switch {
	case isTimeout(err):
		return 0, streamSilent
	case err != nil:
		return 0, streamLeft
	case kind == carriesSTUN && l.options.NoTURN:
		return 0, streamTURNOff
	}
	return kind, goesOn
}

// clientConn is an accepted connection, with the addresses that a PROXY header tells, TLS, and bytes that were read to find out
// what it carries.
type clientConn struct {
	net.Conn // sock, or TLS on it

	sock          net.Conn
	remote, local net.Addr
	proto         wire.Protocol
	ahead         []byte // to be read first
	released      sync.Once
	release       func() // gives back its place among the connections of its address; nil if it has none
}

// count takes a place among the connections of an address, which Close gives back, or reports false if they are all taken.
func (c *clientConn) count(s *Server, from netip.Addr) bool {
	if s.trusts(from) {
		return true // whose connections are those of many
	}
	if !s.addresses.take(from) {
		return false
	}
	c.release = func() { s.addresses.give(from) }
	return true
}

func (c *clientConn) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// Close closes the socket without TLS's farewell, which could wait for a client that does not read.
func (c *clientConn) Close() error {
	c.released.Do(func() {
		if c.release != nil {
			c.release()
		}
	})
	return c.sock.Close()
}

// CloseSocket is for those who have another descriptor of the socket: the place among the connections of the address is kept until Close.
func (c *clientConn) CloseSocket() error { return c.sock.Close() }

func (c *clientConn) RemoteAddr() net.Addr { return c.remote }
func (c *clientConn) LocalAddr() net.Addr  { return c.local }

// SyscallConn gives the socket to those that write to it as it is, which TLS does not allow.
func (c *clientConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite tells the client that no more will come, and goes on reading.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// protocolOf tells over what a stream comes.
func protocolOf(conn net.Conn) wire.Protocol {
	if c, ok := conn.(*clientConn); ok {
		return c.proto
	}
	return wire.TCP
}

// otherConn is a connection that is handed over. It ends as its kind does: TLS with a farewell.
type otherConn struct{ *clientConn }

func (c otherConn) Close() error {
	err := c.Conn.Close()
	_ = c.clientConn.Close()
	return err
}

// peekSize is how many bytes tell STUN from all else: type, length and magic cookie.
const peekSize = 8

// peek reads just enough of the first frame to tell whether it is STUN, and leaves it to be read again.
func (c *clientConn) peek() (content, error) {
	first := make([]byte, peekSize)
	n := 0
	for {
		got, err := c.Read(first[n:])
		n += got
		if kind, known := contentOf(first[:n]); known {
			c.ahead = append(first[:n:n], c.ahead...)
			return kind, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// contentOf tells from its first bytes what a connection carries, and reports false if there are too few. STUN begins with two
// zero bits and has the magic cookie (RFC 8489 §5). ChannelData is never first: a client must have asked for a channel
// before. So GET, HEAD and OPTIONS, whose first bytes are those of channel numbers, are not taken for it.
func contentOf(first []byte) (kind content, known bool) {
	cookie := [...]byte{wire.MagicCookie >> 24, wire.MagicCookie >> 16 & 0xFF, wire.MagicCookie >> 8 & 0xFF, wire.MagicCookie & 0xFF}
	for i, b := range first[:min(len(first), peekSize)] {
		if i == 0 && b&0xC0 != 0 || i >= 4 && b != cookie[i-4] {
			return carriesOther, true
		}
	}
	return carriesSTUN, len(first) >= peekSize
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
