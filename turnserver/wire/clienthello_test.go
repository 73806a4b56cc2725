package wire

import (
	"bytes"
	"testing"

	"example.org/turnpike/turnserver/wire/wiretest"
)

// FuzzClientHello: the parts of a hello make up the whole, and lie within the datagram. Without its cookie a hello is
// still one. With the cookie that it was answered, it is good for as long as it should be.
func FuzzClientHello(f *testing.F) {
	hello := wiretest.ClientHello(f, "turn.example.org")
	f.Add(hello)
	f.Add(append(bytes.Clone(hello), hello...))
	f.Add(wiretest.WithCookie(hello, make([]byte, DTLSCookieSize), 1, 1))
	f.Add(wiretest.WithCookie(hello, make([]byte, 255), 3, dtlsSequenceMask))
	f.Add(hello[:len(hello)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := ParseClientHello(b)
		if !ok {
			return
		}
		whole := append(bytes.Clone(h.Record[:DTLSHelloHeaders]), h.before...)
		whole = append(append(append(whole, byte(len(h.Cookie))), h.Cookie...), h.after...)
		if !bytes.Equal(whole, h.Record) || !bytes.HasPrefix(b, h.Record) || !bytes.HasPrefix(h.after, h.suites) {
			t.Fatalf("% x\nbecame % x", h.Record, whole)
		}
		if h.Sequence > dtlsSequenceMask || len(h.before) < 2+DTLSRandomSize+1 || len(h.Random()) != DTLSRandomSize {
			t.Fatalf("sequence %x, before the cookie % x", h.Sequence, h.before)
		}
		first, ok := ParseClientHello(h.Unverified())
		if !ok || first.Message != 0 || first.Sequence != 0 || len(first.Cookie) != 0 ||
			!bytes.Equal(first.before, h.before) || !bytes.Equal(first.after, h.after) || !bytes.Equal(first.suites, h.suites) {
			t.Fatalf("without cookie % x", h.Unverified())
		}
		cookies, tuple := NewDTLSCookies(), FiveTuple{Protocol: DTLS}
		request := bytes.Clone(cookies.VerifyRequest(&h, tuple, 0))
		if len(request) > len(whole) || !IsHelloVerify(request) {
			t.Fatalf("a hello of %d bytes drew %d", len(whole), len(request))
		}
		back, ok := ParseClientHello(wiretest.WithCookie(h.Record, request[DTLSHelloHeaders+3:], 1, 1))
		if !ok || !cookies.Holds(&back, tuple, DTLSCookieLifetime) || cookies.Holds(&back, tuple, 2*DTLSCookieLifetime) {
			t.Fatal("the cookie does not hold as long as it should")
		}
	})
}

// FuzzAddToSequence: only the sequence numbers of records in clear move, and back again.
func FuzzAddToSequence(f *testing.F) {
	f.Add(wiretest.ClientHello(f, "turn.example.org"), uint64(1))
	f.Add([]byte{22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 20, 254, 253, 0, 0, 255, 255, 255, 255, 255, 255, 0, 0}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		n &= dtlsSequenceMask
		moved := bytes.Clone(b)
		AddToSequence(moved, n)
		if len(moved) != len(b) {
			t.Fatal("the length changed")
		}
		AddToSequence(moved, dtlsSequenceMask+1-n)
		if !bytes.Equal(moved, b) {
			t.Fatalf("% x\nthere and back % x", b, moved)
		}
	})
}

// TestBadHellos: the parser refuses a hello with lengths that do not fit each other.
func TestBadHellos(t *testing.T) {
	good := wiretest.ClientHello(t, "turn.example.org")
	h, ok := ParseClientHello(good)
	if !ok {
		t.Fatal("a good hello is none")
	}
	cookie := len(h.Record) - len(h.after) - 1
	for name, change := range map[string]func(b []byte){
		"another content":       func(b []byte) { b[0] = 23 },
		"another major version": func(b []byte) { b[1] = 3 },
		"epoch 1":               func(b []byte) { b[4] = 1 },
		"a longer record":       func(b []byte) { b[12]++ },
		"a shorter record":      func(b []byte) { b[12]-- },
		"another message":       func(b []byte) { b[DTLSRecordHeader] = 2 },
		"a longer message":      func(b []byte) { b[16]++ },
		"the second fragment":   func(b []byte) { b[21] = 1 },
		"the first fragment":    func(b []byte) { b[24]-- },
		"a session of 33":       func(b []byte) { b[DTLSHelloHeaders+2+DTLSRandomSize] = 33 },
		"a session of 255":      func(b []byte) { b[DTLSHelloHeaders+2+DTLSRandomSize] = 255 },
		"a cookie of 255":       func(b []byte) { b[cookie] = 255 },
		"no suites":             func(b []byte) { b[cookie+1], b[cookie+2] = 0, 0 },
		"half a suite":          func(b []byte) { b[cookie+2]-- },
		"suites of 65535":       func(b []byte) { b[cookie+1], b[cookie+2] = 255, 255 },
		"no compression":        func(b []byte) { b[cookie+len(h.suites)-1] = 0 },
		"compressions of 255":   func(b []byte) { b[cookie+len(h.suites)-1] = 255 },
		"longer extensions":     func(b []byte) { b[cookie+len(h.suites)+2]++ },
	} {
		b := bytes.Clone(good)
		change(b)
		if _, ok := ParseClientHello(b); ok {
			t.Errorf("%s: is a hello", name)
		}
	}
	for n := range good {
		if _, ok := ParseClientHello(good[:n]); ok {
			t.Errorf("%d bytes of %d are a hello", n, len(good))
		}
	}
}
