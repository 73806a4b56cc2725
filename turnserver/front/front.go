// Package front stands before the streams: it accepts connections, finds out what each carries, and hands it on to STUN
// or to its other owner, which is HTTP.
//
//	front.go          accept a connection; limit those of one address (limits.go)
//	proxyprotocol.go  a load balancer's PROXY header says who the client is
//	tls.go            TLS, with the application protocols that the listener speaks
//	conn.go           read as much of the first frame as tells STUN from all else, and leave it to be read again
//
// A connection that has not shown yet what it carries is an opening. Openings are bounded in time (OpenTime) and in
// number (Openings). A connection that can be nothing but STUN in clear is handed on at once.
package front

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// OpenTime is how long a connection may take to show what it carries: a PROXY header, the TLS handshake and the first
// frame, together, however slowly they come.
const OpenTime = 10 * time.Second

// Reason says why a connection was closed.
type Reason uint8

const (
	none        Reason = iota // it was not
	Stranger                  // it is not from a trusted proxy, where all come from those
	ProxyHeader               // a trusted proxy sent no PROXY header, or a bad one
	TooManyFrom               // its address has as many connections as it may
	CrowdedOut                // it was closed before it showed what it carries, to make room for another
	Silent                    // its first frame, or the PROXY header before it, did not come in time
	Left                      // the client left before that
	STUNOff                   // it carries STUN, on a listener that does not take it
	Reserved                  // the client asked for a protocol that nobody here speaks
	NotTLS                    // the TLS handshake failed: what came was not TLS
	TLSTimeout                // the handshake was not done in time
	TLSByClient               // the client ended the handshake
	TLSFailed                 // there is no common version, cipher suite or protocol, or a message was broken
	ReasonCount               // is no reason
)

// Config is common to all listeners of a Front.
type Config struct {
	// GetCertificate returns the certificate for each TLS handshake.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// ProxyProtocol makes a PROXY header mandatory at the beginning of every connection, and lets only TrustedProxies
	// connect. Without it, connections from TrustedProxies are not counted by address, as they carry many clients.
	ProxyProtocol  bool
	TrustedProxies []netip.Prefix

	ConnectionsPerAddress int // at a time, from an IPv4 address or an IPv6 /64; a /56 and a /48 may have 4 and 16 times as many
	Openings              int // at a time

	Count        func(Reason) // told of each connection that the Front closes
	AcceptFailed func(error)  // told of each connection that it could not accept; nil: nobody is
}

// Options say what a listener's connections carry. At least one of STUN and Other is set.
type Options struct {
	TLS   bool           // TLS comes first
	STUN  func(*Conn)    // takes over connections that begin with STUN, or all if Other is nil; nil: they are closed
	Other func(net.Conn) // takes over all other connections, and must not block; nil: there are none
}

// Front accepts connections.
type Front struct {
	// Static after New.
	cfg       Config
	tls       tlsConfigs
	addresses *addressLimit
	opening   *Openings

	running sync.WaitGroup // a goroutine each, of Serve and of each opening; start adds to it
	done    chan struct{}  // closed by Close

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
}

// New makes a Front that listens nowhere yet.
func New(cfg Config) *Front {
	if cfg.AcceptFailed == nil {
		cfg.AcceptFailed = func(error) {}
	}
	return &Front{
		cfg: cfg, tls: newTLSConfigs(cfg.GetCertificate), done: make(chan struct{}),
		addresses: newAddressLimit(cfg.ConnectionsPerAddress), opening: NewOpenings(cfg.Openings),
	}
}

// Listener accepts the connections of one net.Listener.
type Listener struct {
	// Static after construction.
	front   *Front
	ln      net.Listener
	options Options
}

// Add gives ln to the Front, which closes it in the end. After Close it does so at once, and returns net.ErrClosed.
func (f *Front) Add(ln net.Listener, opts Options) (*Listener, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = ln.Close()
		return nil, net.ErrClosed
	}
	f.listeners = append(f.listeners, ln)
	return &Listener{front: f, ln: ln, options: opts}, nil
}

// Serve accepts connections until the listener is closed.
func (l *Listener) Serve() {
	if !l.front.start() {
		return
	}
	defer l.front.running.Done()
	AcceptAll(l.ln, l.front.done, l.receive, l.front.cfg.AcceptFailed)
}

// Close closes the listeners, and the connections that have not shown yet what they carry. It is idempotent.
func (f *Front) Close() error {
	f.mu.Lock()
	first, listeners := !f.closed, f.listeners
	f.closed = true
	f.mu.Unlock()
	if !first {
		return nil
	}
	close(f.done)
	var err error
	for _, ln := range listeners {
		if e := ln.Close(); !errors.Is(e, net.ErrClosed) { // the caller of Add may have closed it
			err = errors.Join(err, e)
		}
	}
	f.opening.Close()
	return err
}

// Wait returns once nothing runs any more after Close.
func (f *Front) Wait() { f.running.Wait() }

// start counts a goroutine that Wait waits for, or reports false after Close.
func (f *Front) start() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.running.Add(1)
	return true
}

// isClosed reports whether Close has begun.
func (f *Front) isClosed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// Enter takes a place among the connections of an address, for a connection that the Front has not accepted. It reports
// false if the address has as many as it may. Those of trusted proxies are not counted.
func (f *Front) Enter(ip netip.Addr) bool { return f.trusts(ip) || f.addresses.enter(ip) }

// Leave gives back the place that Enter took.
func (f *Front) Leave(ip netip.Addr) {
	if !f.trusts(ip) {
		f.addresses.leave(ip)
	}
}

// trusts reports whether ip is a trusted proxy's.
func (f *Front) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range f.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// AcceptAll hands on each connection that a listener accepts, until the listener or done is closed. When the system
// runs out of descriptors it tells failed and waits, longer each time.
func AcceptAll(ln net.Listener, done <-chan struct{}, receive func(net.Conn), failed func(error)) {
	const longest = time.Second
	for delay := time.Duration(0); ; {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failed(err)
			delay = min(max(5*time.Millisecond, 2*delay), longest)
			select {
			case <-time.After(delay):
				continue
			case <-done:
				return
			}
		}
		delay = 0
		receive(conn)
	}
}

// receive hands a connection on at once if it can be nothing but a stream of STUN. Else a goroutine finds out what it
// is.
func (l *Listener) receive(conn net.Conn) {
	f := l.front
	c := &Conn{Conn: conn, sock: conn, remote: conn.RemoteAddr(), local: conn.LocalAddr()}
	from := ipOf(c.remote)
	switch {
	case f.cfg.ProxyProtocol && !f.trusts(from):
		f.cfg.Count(Stranger)
	case !f.cfg.ProxyProtocol && !c.enter(f, from):
		f.cfg.Count(TooManyFrom)
	case !f.cfg.ProxyProtocol && !l.options.TLS && l.options.Other == nil:
		l.options.STUN(c)
		return
	case f.start():
		go l.open(c, f.opening.Enter(conn))
		return
	}
	_ = c.Close()
}

// open reads a connection until it is known what it carries, and hands it on or closes it.
func (l *Listener) open(c *Conn, place *list.Element) {
	f := l.front
	defer f.running.Done()
	_ = c.sock.SetDeadline(time.Now().Add(OpenTime))
	kind, why := l.find(c)
	if !f.opening.Leave(place) { // the openings have closed it, whatever find made of that
		why = CrowdedOut
	}
	_ = c.sock.SetDeadline(time.Time{})
	switch {
	case f.isClosed():
		_ = c.Close()
	case why != none:
		f.cfg.Count(why)
		_ = c.Close()
	case kind == carriesSTUN:
		l.options.STUN(c)
	default:
		l.options.Other(otherConn{c})
	}
}

// find reads what stands before the content of a connection, and returns what the content is, or why the connection
// must be closed.
func (l *Listener) find(c *Conn) (content, Reason) {
	if l.front.cfg.ProxyProtocol {
		if why := l.front.readProxyHeader(c); why != none {
			return 0, why
		}
	}
	protocol := ""
	if l.options.TLS {
		var why Reason
		if protocol, why = l.handshake(c); why != none {
			return 0, why
		}
	}
	switch {
	case protocol == protocolACME:
		return 0, Reserved
	case protocol != "" && protocol != protocolHTTP, l.options.Other == nil:
		return carriesSTUN, none // anything else is a bad frame, for STUN to find
	}
	kind, err := c.peek()
	switch {
	case isTimeout(err):
		return 0, Silent
	case err != nil:
		return 0, Left
	case kind == carriesSTUN && l.options.STUN == nil:
		return 0, STUNOff
	}
	return kind, none
}

// ipOf takes the IP address out of an address of package net.
func ipOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
