package rtclink

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

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

// fingerprintIn returns the fingerprint of a description, as a browser reads it.
func fingerprintIn(t *testing.T, sdp string) (sum [32]byte) {
	t.Helper()
	value, isSHA256 := strings.CutPrefix(attributeIn(sdp, "fingerprint"), "sha-256 ")
	raw, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
	if !isSHA256 || err != nil || len(raw) != len(sum) {
		t.Fatalf("the fingerprint of a description is %q, %v", value, err)
	}
	return [32]byte(raw)
}

// TestChannelBinding has both ends agree, by what they showed in the handshake, on what anybody can compute of the fingerprints
// of their descriptions: that is all a page sees.
func TestChannelBinding(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "bound")
	ours, theirs := make(chan string, 1), make(chan string, 1)
	a.post(func() { ours <- a.current.carrier.pc.CurrentLocalDescription().SDP })
	b.post(func() { theirs <- b.current.carrier.pc.CurrentLocalDescription().SDP })
	x, y := fingerprintIn(t, <-ours), fingerprintIn(t, <-theirs)
	if there.PeerCertificate() != y || here.PeerCertificate() != x {
		t.Errorf("the certificates are %x and %x, but the descriptions say %x and %x", there.PeerCertificate(), here.PeerCertificate(), y, x)
	}
	if bytes.Compare(x[:], y[:]) > 0 {
		x, y = y, x
	}
	want := sha256.Sum256(append(append([]byte("turnpike-binding\x00"), x[:]...), y[:]...))
	if got := bindingOf(t, there, here); got != string(want[:]) {
		t.Errorf("the binding is %x, want %x", got, want)
	}
	back, came := streams(t, b, a, "of the other side")
	if bindingOf(t, back, came) != string(want[:]) {
		t.Error("a second stream of the connection has another binding")
	}
}

// TestKnownBinding holds the binding of two fingerprints to a value that was computed elsewhere; pages have the same in their tests.
func TestKnownBinding(t *testing.T) {
	one, other := [32]byte(bytes.Repeat([]byte{0xab}, 32)), [32]byte(bytes.Repeat([]byte{0x01}, 32))
	const want = "f894aafd826d9cee5c86125547b0b9e0da92bb182bdb1f35b9a10b6915f1bafb"
	for _, got := range [][]byte{fingerprintBinding(one, other), fingerprintBinding(other, one)} {
		if hex.EncodeToString(got) != want {
			t.Errorf("the binding is %x, want %s", got, want)
		}
	}
}

// TestCertificateStays has one side begin anew. That side's certificate is another one, and the other's is the same on the new
// connection: so a peer can be known again after an interruption.
func TestCertificateStays(t *testing.T) {
	a, b := newPair(t)
	connect(t, a, b)
	connect(t, b, a)
	there, here := streams(t, a, b, "before")
	binding, ofA, ofB := bindingOf(t, there, here), here.PeerCertificate(), there.PeerCertificate()
	b.setFilter(func(wire.Payload) bool { return false })
	again := newEnd(t, link.Config{Offers: true, Polite: true})
	connect(t, a, again)
	connect(t, again, a)
	here, there = streams(t, again, a, "after") // a may still open streams on the former connection
	if bindingOf(t, there, here) == binding {
		t.Error("another connection has the same binding")
	}
	if there.PeerCertificate() == ofB {
		t.Error("the side that began anew has shown its former certificate")
	}
	if here.PeerCertificate() != ofA {
		t.Error("the side that stayed has shown another certificate")
	}
}
