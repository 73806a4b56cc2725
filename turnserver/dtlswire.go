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

	"example.org/turnpike/turnserver/wire"
)

const (
	// maxDTLSDatagram is the most that pion/dtls reads at once.
	maxDTLSDatagram = 8192
	// maxRecord is the most that a record carries (RFC 6347 §4.1.1).
	maxRecord = 1 << 14
	// maxUnread bounds the bytes that wait to be read, if a client sends faster than the server reads.
	maxUnread = 64 << 10
)

// dtlsWire is the socket of one association, as pion/dtls sees it: the datagrams of one client. It also hides from pion
// that the client had its cookie before the association began; see WriteTo.
type dtlsWire struct {
	// Static after construction.
	listener *dtlsListener
	client   *client
	remote   net.Addr
	session  *dtls.Conn
	cookie   []byte // the client's
	skipped  uint64 // how far record sequence numbers are ahead of pion's

	// Guarded by mu.
	mu      sync.Mutex
	arrived sync.Cond // a datagram, or closed or expired was set
	unread  [][]byte
	size    int // of unread
	closed  bool
	expired bool
	agreed  bool // the handshake is over
	held    bool // ReadFrom waits until agreed
}

// newDTLSWire makes the wire of a client whose hello has a good cookie. From it pion reads the hello as it was without
// the cookie, then the hello.
func newDTLSWire(l *dtlsListener, c *client, hello *wire.ClientHello) *dtlsWire {
	w := &dtlsWire{listener: l, client: c, remote: net.UDPAddrFromAddrPort(c.remote), cookie: bytes.Clone(hello.Cookie)}
	w.arrived.L = &w.mu
	// The server's first record must have the sequence number of the hello that it answers (RFC 6347 §4.2.1). Pion's
	// has 1, since its HelloVerifyRequest had 0.
	sequence := max(hello.Sequence, 1)
	w.skipped = sequence - 1
	verified := bytes.Clone(hello.Record)
	binary.BigEndian.PutUint64(verified[3:], sequence)
	w.unread = [][]byte{hello.Unverified(), verified}
	w.size = len(w.unread[0]) + len(verified)
	return w
}

// push queues a datagram for ReadFrom, or reports false if too many bytes wait.
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

// WriteTo implements net.PacketConn. Pion has no way to judge a cookie without an association: it makes a random cookie
// for each association, and asks the client for it now. So WriteTo drops pion's request, and sets the cookie that pion
// expects to the one that the client already has. That one is in the hello that waits to be read. Pion calls WriteTo on
// the goroutine that owns its cookie.
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
	w.listener.sock.write(&w.listener.srv.counters, w.client, b)
	return len(b), nil
}

// handshakeDone lets pion read the datagrams after the handshake. Before, it would lose them: its handshake is over
// only a moment after it has sent the last flight.
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

// SetReadDeadline implements net.PacketConn for the two deadlines that pion sets: one in the past, and none.
func (w *dtlsWire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired = !t.IsZero()
	w.arrived.Broadcast()
	return nil
}

func (w *dtlsWire) SetWriteDeadline(time.Time) error { return nil } // writes never wait
func (w *dtlsWire) SetDeadline(t time.Time) error    { return w.SetReadDeadline(t) }
func (w *dtlsWire) LocalAddr() net.Addr              { return w.listener.sock.conn.LocalAddr() }

// cookieField is the place in a dtls.Conn of the cookie that it expects of its client.
type cookieField uintptr

// findCookieField fails if another version of pion/dtls has the cookie elsewhere. A test would show that.
func findCookieField() (cookieField, error) {
	state, ok := reflect.TypeFor[dtls.Conn]().FieldByName("state")
	if ok && state.Type == reflect.TypeFor[dtls.State]() {
		if cookie, ok := state.Type.FieldByName("cookie"); ok && cookie.Type == reflect.TypeFor[[]byte]() {
			return cookieField(state.Offset + cookie.Offset), nil
		}
	}
	return 0, errors.New("this version of pion/dtls keeps its cookie elsewhere")
}

// set makes conn expect cookie. request is conn's HelloVerifyRequest, which has the cookie that it expects now.
func (f cookieField) set(conn *dtls.Conn, request, cookie []byte) error {
	expected := (*[]byte)(unsafe.Add(unsafe.Pointer(conn), f))
	if len(*expected) == 0 || !bytes.HasSuffix(request, *expected) {
		return errors.New("pion/dtls does not keep its cookie in the expected place")
	}
	*expected = cookie
	return nil
}
