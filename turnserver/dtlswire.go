package turnserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/pion/dtls/v3"

	"turnpike/turnserver/wire"
)

const (
	// maxDTLSDatagram is the most that pion/dtls reads at once.
	maxDTLSDatagram = 8192
	// maxRecord is the most that a record carries (RFC 6347 §4.1.1).
	maxRecord = 1 << 14
	// maxUnread bounds what waits to be read, of a client that sends faster than it is served.
	maxUnread = 64 << 10
)

// dtlsWire is what pion/dtls takes for a socket: the datagrams of one association. It also hides that the client has got its cookie
// before there was an association, see WriteTo.
type dtlsWire struct {
	// Static after construction.
	listener *dtlsListener
	client   *client
	remote   net.Addr
	session  *dtls.Conn
	cookie   []byte // the client's
	skipped  uint64 // record sequence numbers that the first answers are ahead of pion's

	// Guarded by mu.
	mu      sync.Mutex
	arrived sync.Cond // or closed, or expired
	unread  [][]byte
	size    int // of unread
	closed  bool
	expired bool
	agreed  bool // the handshake is over
	held    bool // nothing is to be read until it is
}

// newDTLSWire makes the wire of a client whose hello has a good cookie. On it come the hello as it was without the cookie,
// then the hello.
func newDTLSWire(l *dtlsListener, c *client, hello *wire.ClientHello) *dtlsWire {
	w := &dtlsWire{listener: l, client: c, remote: net.UDPAddrFromAddrPort(c.remote), cookie: bytes.Clone(hello.Cookie)}
	w.arrived.L = &w.mu
	// The server's first record has the sequence number of the hello that it answers (RFC 6347 §4.2.1), where pion's has 1, after
	// the HelloVerifyRequest that had 0.
	sequence := max(hello.Sequence, 1)
	w.skipped = sequence - 1
	verified := bytes.Clone(hello.Record)
	binary.BigEndian.PutUint64(verified[3:], sequence)
	w.unread = [][]byte{hello.Unverified(), verified}
	w.size = len(w.unread[0]) + len(verified)
	return w
}

// push takes a datagram in, or reports false if too many wait.
func (w *dtlsWire) push(pkt []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return true
	}
	if w.size+len(pkt) > maxUnread {
		return false
	}
	w.unread = append(w.unread, bytes.Clone(pkt))
	w.size += len(pkt)
	w.arrived.Signal()
	return true
}

// ReadFrom implements net.PacketConn.
func (w *dtlsWire) ReadFrom(b []byte) (int, net.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.unread) == 0 || w.held) && !w.closed && !w.expired {
		w.arrived.Wait()
	}
	switch {
	case w.closed:
		return 0, nil, net.ErrClosed
	case w.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
	pkt := w.unread[0]
	w.unread[0] = nil
	w.unread = w.unread[1:]
	w.size -= len(pkt)
	return copy(b, pkt), w.remote, nil
}

// WriteTo implements net.PacketConn. pion makes a cookie of its own, at random, for each association, and would ask for it now:
// a cookie that can be judged without an association is not foreseen there. So its request goes nowhere, and the cookie that
// it expects is set to the one that the client has, and sends in the hello which waits to be read. pion calls this from
// the goroutine that owns what is changed.
func (w *dtlsWire) WriteTo(b []byte, _ net.Addr) (int, error) {
	if wire.IsHelloVerify(b) {
		return len(b), w.listener.patched.set(w.session, b, w.cookie)
	}
	w.mu.Lock()
	agreed := w.agreed
	w.mu.Unlock()
	if !agreed || w.skipped > 0 {
		b = bytes.Clone(b)
		if last := wire.AddToSequence(b, w.skipped); last && !agreed {
			w.mu.Lock()
			w.held = !w.agreed
			w.mu.Unlock()
		}
	}
	w.listener.sock.send(w.client, b)
	return len(b), nil
}

// handshakeDone lets what comes after the handshake be read. Before, pion would lose it: to it the handshake is not over when it
// has sent its last flight, but only a moment later.
func (w *dtlsWire) handshakeDone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.agreed, w.held = true, false
	w.arrived.Broadcast()
}

// Close implements net.PacketConn.
func (w *dtlsWire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.unread, w.size = true, nil, 0
	w.arrived.Broadcast()
	return nil
}

// SetReadDeadline implements net.PacketConn for the two kinds that pion sets: long past, and none.
func (w *dtlsWire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = !t.IsZero()
	w.arrived.Broadcast()
	return nil
}

func (w *dtlsWire) SetWriteDeadline(time.Time) error { return nil } // writing waits for nothing
func (w *dtlsWire) SetDeadline(t time.Time) error    { return w.SetReadDeadline(t) }
func (w *dtlsWire) LocalAddr() net.Addr              { return w.listener.sock.conn.LocalAddr() }

// cookieField is where in a dtls.Conn the cookie stands that is expected of its client.
type cookieField uintptr

// findCookieField fails if pion/dtls is no longer as it was, which a test then tells.
func findCookieField() (cookieField, error) {
	state, ok := reflect.TypeFor[dtls.Conn]().FieldByName("state")
	if ok && state.Type == reflect.TypeFor[dtls.State]() {
		if cookie, ok := state.Type.FieldByName("cookie"); ok && cookie.Type == reflect.TypeFor[[]byte]() {
			return cookieField(state.Offset + cookie.Offset), nil
		}
	}
	return 0, errors.New("this version of pion/dtls keeps its cookie elsewhere")
}

// set makes conn expect cookie, where request is the HelloVerifyRequest that tells what it expects now.
func (f cookieField) set(conn *dtls.Conn, request, cookie []byte) error {
	expected := (*[]byte)(unsafe.Add(unsafe.Pointer(conn), f))
	if len(*expected) == 0 || !bytes.HasSuffix(request, *expected) {
		return errors.New("the cookie is not where it is looked for")
	}
	*expected = cookie
	return nil
}
