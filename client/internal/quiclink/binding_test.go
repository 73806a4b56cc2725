package quiclink

import (
	"bytes"
	"testing"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// bindingOf returns the binding of a stream, which both ends must have alike.
func bindingOf(t *testing.T, x, y link.Stream) string {
	t.Helper()
	one, err := x.ChannelBinding()
	if err != nil {
		t.Fatal(err)
	}
	other, err := y.ChannelBinding()
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != 32 || !bytes.Equal(one, other) {
		t.Fatalf("the ends of a stream have the bindings %x and %x, want the same 32 bytes", one, other)
	}
	return string(one)
}

// TestChannelBinding has streams on several connections: each connection has a binding of its own, that both ends know. The
// certificates stay those of the links.
func TestChannelBinding(t *testing.T) {
	a, b := pairOf(t, nil)
	ours, theirs := a.Link.(*Link).own, b.Link.(*Link).own
	bindings := map[string]*conn{}
	for n := range 3 * bulkConns {
		if n == 2 { // the side that dials makes the other connections now
			awaitConns(t, a, bulkConns)
			awaitConns(t, b, bulkConns)
		}
		x, y := streamsOf(t, a, b, "bound")
		binding := bindingOf(t, x, y)
		carrier := x.(*stream).conn
		if former, known := bindings[binding]; known && former != carrier {
			t.Fatal("two connections have one binding")
		}
		bindings[binding] = carrier
		if x.PeerCertificate() != theirs || y.PeerCertificate() != ours {
			t.Fatalf("the certificates of a stream are %x and %x, want %x and %x", x.PeerCertificate(), y.PeerCertificate(), theirs, ours)
		}
	}
	if len(bindings) < bulkConns {
		t.Errorf("%d bindings were seen, want one for each of %d connections or more", len(bindings), bulkConns)
	}
}

// awaitConns waits until a side has so many connections.
func awaitConns(t *testing.T, s *side, want int) {
	t.Helper()
	l, ctx := s.Link.(*Link), within(t)
	for {
		l.mu.Lock()
		n, changed := len(l.conns), l.changed
		l.mu.Unlock()
		if n >= want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("there are %d connections, want %d", n, want)
		}
	}
}

// TestCertificateOfAnotherLink replaces one side's Link. Its streams have another certificate, and another binding.
func TestCertificateOfAnotherLink(t *testing.T) {
	a, b := pairOf(t, nil)
	x, y := streamsOf(t, a, b, "before")
	binding, certificate := bindingOf(t, x, y), y.PeerCertificate()
	_ = a.Close()
	known := make(chan struct{})
	c, d := pairOf(t, func(x, _ *link.Config) {
		x.Send = func(p wire.Payload) {
			<-known
			b.Receive(p)
		}
	})
	_ = d.Close()
	b.mu.Lock()
	b.other = c
	b.mu.Unlock()
	close(known)
	z, w := streamsOf(t, c, b, "after")
	if bindingOf(t, z, w) == binding {
		t.Error("the connection of another link has the binding of the one before")
	}
	if w.PeerCertificate() == certificate {
		t.Error("another link has shown the certificate of the one before")
	}
	if z.PeerCertificate() != x.PeerCertificate() {
		t.Error("the side that stayed has shown another certificate")
	}
}
