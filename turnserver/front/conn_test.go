package front

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/pion/stun/v3"
)

// methods are those of HTTP, and some that are not.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PRI", "A", "@", "O"}

// TestContentOf: what HTTP begins with is never taken for STUN, though much of it would pass for ChannelData; STUN is
// never taken for HTTP; and what is known early stays so.
func TestContentOf(t *testing.T) {
	message := func(typ stun.MessageType, attrs ...stun.Setter) []byte {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID, typ}, attrs...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	stunFirst := [][]byte{
		binding(t),
		message(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewSoftware("client")),
		message(stun.NewType(stun.MethodSend, stun.ClassIndication), stun.NewSoftware("early")),
	}
	for _, b := range stunFirst {
		for n := range b {
			if kind, known := contentOf(b[:n]); kind != carriesSTUN || known != (n >= peekSize) {
				t.Errorf("% x: %v, %v", b[:n], kind, known)
			}
		}
	}
	for _, m := range methods {
		if _, known := contentOf(nil); known {
			t.Error("nothing tells something")
		}
		if kind, known := contentOf([]byte(m + " / HTTP/1.1\r\n")[:1]); kind != carriesOther || !known {
			t.Errorf("%s: %v, %v", m, kind, known)
		}
	}
	for _, b := range [][]byte{
		{0, 1, 0, 0, 0, 0, 0, 0},                   // RFC 3489, without a cookie
		{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x43},       // nearly
		{0x16, 3, 1, 2, 0, 1, 0, 1},                // TLS
		{0x40, 0, 0, 4, 0x21, 0x12, 0xA4, 0x42},    // ChannelData with the cookie for data
		{0x80, 0, 0, 4, 0x21, 0x12, 0xA4, 0x42},    // RTP
		[]byte("\r\n\r\n\x00\r\nQ"),                // a PROXY header where none is wanted
		{0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20}, // spaces
	} {
		if kind, known := contentOf(b); kind != carriesOther || !known {
			t.Errorf("% x: %v, %v", b, kind, known)
		}
	}
}

// scriptedConn gives a few bytes, then any number of others.
type scriptedConn struct {
	net.Conn
	first []byte
}

func (c *scriptedConn) Read(b []byte) (int, error) {
	if len(c.first) == 0 {
		return copy(b, bytes.Repeat([]byte{0xFF}, len(b))), nil
	}
	n := copy(b, c.first)
	c.first = c.first[n:]
	return n, nil
}

func FuzzContentOf(f *testing.F) {
	for _, m := range methods {
		f.Add([]byte(m + " / HTTP/1.1\r\n"))
	}
	f.Add(binding(f))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, known := contentOf(b)
		for n := range b {
			if early, sure := contentOf(b[:n]); sure && (early != kind || !known) {
				t.Fatalf("% x: %v, of all %v, %v", b[:n], early, kind, known)
			}
		}
		if !known && len(b) >= peekSize {
			t.Fatalf("% x tells nothing", b)
		}
		if known && kind == carriesSTUN != (len(b) >= peekSize && b[0] < 0x40 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xA4, 0x42})) {
			t.Fatalf("% x: %v", b, kind)
		}
		c := &Conn{Conn: &scriptedConn{first: bytes.Clone(b)}}
		if peeked, err := c.peek(); err != nil || known && peeked != kind {
			t.Fatalf("% x: peeked %v, %v", b, peeked, err)
		}
		again := make([]byte, len(b))
		if _, err := io.ReadFull(c, again); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("% x was read again as % x, %v", b, again, err)
		}
	})
}

// TestHandOver: what a connection carries decides who gets it, with all that was read of it, whole or byte by byte.
func TestHandOver(t *testing.T) {
	page := []byte("GET / HTTP/1.1\r\n\r\n")
	f := newTestFront(t, nil)
	for _, row := range []struct {
		carries carries
		say     []byte
		owner   string // empty: the connection is closed
		why     Reason
	}{
		{carries{stun: true}, binding(t), "STUN", none},
		{carries{stun: true}, page, "STUN", none},
		{carries{stun: true, other: true}, binding(t), "STUN", none},
		{carries{stun: true, other: true}, page, "other", none},
		{carries{other: true}, page, "other", none},
		{carries{other: true}, binding(t), "", STUNOff},
		{carries{stun: true, other: true}, binding(t)[:3], "", Left},
	} {
		addr := f.listen(row.carries)
		for _, whole := range []bool{true, false} {
			c, before := dial(t, addr), f.countOf(row.why)
			for n := 0; n < len(row.say); n++ {
				piece := row.say[n : n+1]
				if whole {
					piece, n = row.say, len(row.say)
				}
				if _, err := c.Write(piece); err != nil {
					break // it was closed
				}
			}
			switch {
			case row.owner != "":
				if got, want := c.answer(), row.owner+" for "+c.LocalAddr().String(); got != want {
					t.Errorf("%+v, % x: answered %q, want %q", row.carries, row.say, got, want)
				}
			case row.why == Left:
				_ = c.Close()
				f.waitCounted(row.why, before+1)
			default:
				c.wantClosed()
				f.waitCounted(row.why, before+1)
			}
			_ = c.Close()
		}
	}
	f.wantClosed(4)
	f.wantNothingLeft()
}
