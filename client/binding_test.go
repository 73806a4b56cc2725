package client_test

import (
	"bytes"
	"testing"

	"example.org/turnpike/client"
)

// bindingOf returns the binding of a stream, which both ends must have alike.
func bindingOf(t *testing.T, out, in *client.Conn) []byte {
	t.Helper()
	one, err := out.ChannelBinding()
	if err != nil {
		t.Fatal(err)
	}
	other, err := in.ChannelBinding()
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != 32 || !bytes.Equal(one, other) {
		t.Fatalf("the ends of a stream have the bindings %x and %x, want the same 32 bytes", one, other)
	}
	return one
}

// TestPeerCertificate: streams of a link have one certificate, in both directions, and those of the next link another one.
func TestPeerCertificate(t *testing.T) {
	inTheBubble(t, nil, func(t *testing.T, w *world) {
		p := w.pair()
		defer p.close()
		binding := bindingOf(t, p.out, p.in)
		ofBob, ofAnn := p.out.PeerCertificate(), p.in.PeerCertificate()
		if ofBob == ofAnn {
			t.Error("both sides have one certificate")
		}
		out, err := p.toAnn.Open(t.Context(), "back")
		if err != nil {
			t.Fatal(err)
		}
		in, err := p.toBob.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bindingOf(t, out, in), binding) || out.PeerCertificate() != ofAnn || in.PeerCertificate() != ofBob {
			t.Error("a stream of the other side has another binding, or shows other certificates")
		}
		w.links.Break()
		if out, err = p.toBob.Open(t.Context(), "again"); err != nil {
			t.Fatal(err)
		}
		if in, err = p.other.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(bindingOf(t, out, in), binding) || out.PeerCertificate() == ofBob || in.PeerCertificate() == ofAnn {
			t.Error("another link has the binding or the certificates of the one before")
		}
	})
}
