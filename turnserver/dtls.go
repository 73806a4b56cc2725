package turnserver

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/wire"
)

// dtlsListener serves the DTLS associations of one UDP socket.
//
// It answers a ClientHello with a cookie, and keeps nothing: only the owner of the address gets the cookie. A
// ClientHello that brings a good cookie begins an association, which pion/dtls serves from there on. A record carries
// one message, as a datagram does (RFC 8656 §3.1, RFC 7350).
type dtlsListener struct {
	// Static after construction.
	srv     *Server
	sock    *udpSocket
	patched cookieField

	// Owned by the socket's reader.
	cookies *wire.DTLSCookies

	// Guarded by mu.
	mu           sync.Mutex
	associations map[wire.FiveTuple]*association
}

func newDTLSListener(sock *udpSocket) (*dtlsListener, error) {
	field, err := findCookieField()
	if err != nil {
		return nil, err
	}
	return &dtlsListener{
		srv: sock.srv, sock: sock, patched: field, cookies: wire.NewDTLSCookies(), associations: make(map[wire.FiveTuple]*association),
	}, nil
}

func dtlsOptions(cfg *Config) []dtls.ServerOption {
	if cfg.GetCertificate == nil {
		return nil
	}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	return []dtls.ServerOption{
		dtls.WithGetCertificate(func(hello *dtls.ClientHelloInfo) (*tls.Certificate, error) {
			return cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: hello.ServerName})
		}),
		dtls.WithCipherSuites(
			dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, dtls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			dtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, dtls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		),
		dtls.WithSupportedProtocols(front.ProtocolTURN, front.ProtocolDiscovery),
		dtls.WithLoggerFactory(logs),
	}
}

// receive serves a datagram. The caller reuses c for the next.
func (l *dtlsListener) receive(c *client, pkt []byte) {
	tuple := c.tuple
	tuple.Protocol = wire.DTLS
	l.mu.Lock()
	a := l.associations[tuple]
	l.mu.Unlock()
	hello, isHello := wire.ParseClientHello(pkt)
	switch {
	case a != nil && (!isHello || hello.Random() == a.random):
		a.receive(pkt)
	case !isHello:
		l.srv.counters.count(dropNoAssociation)
	case hello.TooOld():
		l.srv.counters.count(dtlsFailed)
		l.sock.write(&l.srv.counters, c, l.cookies.VersionAlert(&hello))
	case hello.Message == wire.DTLSFirstMessage:
		l.srv.counters.verifies.Add(1)
		l.sock.write(&l.srv.counters, c, l.cookies.VerifyRequest(&hello, tuple, time.Duration(l.srv.now())))
	case hello.Message != wire.DTLSVerifiedMessage || !l.cookies.Holds(&hello, tuple, time.Duration(l.srv.now())):
		l.srv.counters.count(dropBadCookie)
	default:
		if a != nil { // the client begins anew, and has shown that the address is its own (RFC 6347 §4.2.8)
			_ = a.Close()
		}
		l.startAssociation(c, tuple, &hello)
	}
}

// startAssociation begins an association with a client whose cookie is good.
func (l *dtlsListener) startAssociation(c *client, tuple wire.FiveTuple, hello *wire.ClientHello) {
	s := l.srv
	if !s.front.Enter(c.remote.Addr()) {
		s.counters.count(streamTooManyFrom)
		return
	}
	a, err := newAssociation(l, c, tuple, hello)
	if err != nil { // of the configuration: all associations would fail
		s.counters.count(dtlsFailed)
		s.front.Leave(c.remote.Addr())
		return
	}
	if !s.enter(&a.clientConnection, func() { s.associations[a] = struct{}{} }) {
		s.front.Leave(c.remote.Addr())
		return
	}
	l.mu.Lock()
	l.associations[tuple] = a
	l.mu.Unlock()
	a.opening = s.verified.Enter(a)
	go a.serve()
}

// association is one client's DTLS association.
type association struct {
	// Static after construction.
	listener *dtlsListener
	outside  client // sender of its datagrams
	inside   client // sender of its messages
	random   [wire.DTLSRandomSize]byte
	session  *dtls.Conn
	wire     *dtlsWire // below session
	opening  *list.Element
	out      recordQueue

	clientConnection
}

func newAssociation(l *dtlsListener, c *client, tuple wire.FiveTuple, hello *wire.ClientHello) (*association, error) {
	a := &association{listener: l, outside: *c, random: hello.Random()}
	a.wire = newDTLSWire(l, &a.outside, hello)
	session, err := dtls.ServerWithOptions(a.wire, a.wire.remote, l.srv.dtls...)
	if err != nil {
		return nil, err
	}
	a.session, a.wire.session, a.conn, a.places = session, session, session, &l.srv.places
	a.out.init(session, l.srv.readers.Go)
	a.out.backlog, a.out.user = &l.srv.backlog, &a.account
	a.inside = client{tuple: tuple, remote: c.remote, sock: a, conn: &a.clientConnection}
	return a, nil
}

// receive takes a datagram from the association's client.
func (a *association) receive(pkt []byte) {
	switch {
	case len(pkt) > maxDTLSDatagram:
		a.listener.srv.counters.count(dropTooLarge)
	case !a.wire.push(pkt):
		a.listener.srv.counters.count(dropSlowServer)
	}
}

// serve does the handshake, and serves messages until either side ends the association.
func (a *association) serve() {
	s := a.listener.srv
	defer s.readers.Done()
	defer a.finish()
	if !a.handshake() {
		return
	}
	b := make([]byte, headroom+maxDTLSDatagram+tailroom)
	for {
		n, err := a.session.Read(b[headroom : headroom+maxDTLSDatagram])
		if err != nil {
			if isTimeout(err) {
				s.counters.count(streamNoAllocation)
			}
			return
		}
		w := s.workers.get(a.listener.sock.shard, wire.DTLS)
		w.handle(&a.inside, b, headroom, headroom+n)
		w.flush()
		s.workers.put(w)
	}
}

// handshake reports whether client and server agreed in time.
func (a *association) handshake() bool {
	s := a.listener.srv
	ctx, cancel := context.WithTimeout(context.Background(), s.openTime)
	err := a.session.HandshakeContext(ctx)
	cancel()
	a.wire.handshakeDone()
	crowdedOut := !s.verified.Leave(a.opening)
	switch {
	case s.isClosed():
	case crowdedOut:
		s.counters.count(dtlsCrowdedOut)
	case errors.Is(err, context.DeadlineExceeded):
		s.counters.count(dtlsTimeout)
	case err != nil:
		s.counters.count(dtlsFailed)
	default:
		a.limitSetup()
		return true
	}
	return false
}

// Close ends the association. It ends the allocation first, before anybody else can use the five-tuple.
func (a *association) Close() error {
	a.endAllocation(a.listener.sock.shard, a.inside.tuple)
	return a.session.Close()
}

// finish forgets the association.
func (a *association) finish() {
	_ = a.Close()
	a.out.stop()
	l, s := a.listener, a.listener.srv
	l.mu.Lock()
	if l.associations[a.inside.tuple] == a {
		delete(l.associations, a.inside.tuple)
	}
	l.mu.Unlock()
	s.mu.Lock()
	delete(s.associations, a)
	s.mu.Unlock()
	s.places.leave(&a.clientConnection)
	s.front.Leave(a.outside.remote.Addr())
}

// sendTo implements clientSocket.
func (a *association) sendTo(w *worker, _ *client, b []byte, size int) {
	switch {
	case len(b) > maxRecord:
		w.counters.count(dropTooLarge)
	case !a.out.enqueue(b):
		w.counters.count(dropSlowClient)
	default:
		w.counters.countSent(wire.DTLS, size)
	}
}
