package turnserver

import (
	"bytes"
	"testing"
)

// FuzzClientHello: the parts of a hello are the whole, and lie within the datagram; pion's parser reads what this one reads; without
// its cookie a hello is a hello again.
func FuzzClientHello(f *testing.F) {
	hello := clientHelloDTLS(f)
	f.Add(hello)
	f.Add(append(bytes.Clone(hello), hello...))
	f.Add(withCookie(f, hello, make([]byte, dtlsCookieSize), 1, 1))
	f.Add(withCookie(f, hello, make([]byte, 255), 3, dtlsSequenceMask))
	f.Add(hello[:len(hello)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseClientHello(b)
		if !ok {
			return
		}
		whole := append(bytes.Clone(h.record[:dtlsHello]), h.before...)
		whole = append(append(append(whole, byte(len(h.cookie))), h.cookie...), h.after...)
		if !bytes.Equal(whole, h.record) || !bytes.HasPrefix(b, h.record) || !bytes.HasPrefix(h.after, h.suites) {
			t.Fatalf("% x\nbecame % x", h.record, whole)
		}
		if h.sequence > dtlsSequenceMask || len(h.before) < 2+dtlsRandomSize+1 || len(h.random()) != dtlsRandomSize {
			t.Fatalf("sequence %x, before the cookie % x", h.sequence, h.before)
		}
		first, ok := parseClientHello(h.unverified())
		if !ok || first.message != 0 || first.sequence != 0 || len(first.cookie) != 0 ||
			!bytes.Equal(first.before, h.before) || !bytes.Equal(first.after, h.after) || !bytes.Equal(first.suites, h.suites) {
			t.Fatalf("without cookie % x", h.unverified())
		}
		cookies, tuple := newDTLSCookies(), fiveTuple{proto: protoDTLS}
		request := bytes.Clone(cookies.verifyRequest(&h, tuple, 0))
		if len(request) > len(whole) || !isHelloVerify(request) {
			t.Fatalf("a hello of %d bytes drew %d", len(whole), len(request))
		}
		back, ok := parseClientHello(withCookie(t, h.record, request[dtlsHello+3:], 1, 1))
		if !ok || !cookies.hold(&back, tuple, clock(dtlsCookieLifetime)) || cookies.hold(&back, tuple, clock(2*dtlsCookieLifetime)) {
			t.Fatal("the cookie does not hold as long as it should")
		}
	})
}

// FuzzAddToSequence: only the sequence numbers of records in clear move, and back again.
func FuzzAddToSequence(f *testing.F) {
	f.Add(clientHelloDTLS(f), uint64(1))
	f.Add([]byte{22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 20, 254, 253, 0, 0, 255, 255, 255, 255, 255, 255, 0, 0}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		n &= dtlsSequenceMask
		moved := bytes.Clone(b)
		addToSequence(moved, n)
		if len(moved) != len(b) {
			t.Fatal("the length changed")
		}
		addToSequence(moved, dtlsSequenceMask+1-n)
		if !bytes.Equal(moved, b) {
			t.Fatalf("% x\nthere and back % x", b, moved)
		}
	})
}
