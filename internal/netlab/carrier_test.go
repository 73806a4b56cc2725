//go:build linux

package netlab

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestHairpin holds that two customers of a carrier reach each other at their public addresses just if it hairpins, and
// then appear there by those. Their home NATs let in only what answers.
func TestHairpin(t *testing.T) {
	for _, kind := range []Kind{FullCone, PortRestricted} {
		for _, hairpins := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v, %v", kind, hairpins), func(t *testing.T) {
				lab := New(t)
				server := listen(t, lab.Public("server"))
				carrier := lab.Carrier("carrier", kind, hairpins)
				a, b := listen(t, carrier.Behind(PortRestricted, "a")), listen(t, carrier.Behind(PortRestricted, "b"))
				atA, atB := deliver(t, a, server, "a"), deliver(t, b, server, "b")
				if atA.Addr() != carrier.Public() || atB.Addr() != carrier.Public() {
					t.Fatalf("come from %v and %v, want %v", atA, atB, carrier.Public())
				}
				// The first packet is lost, because it comes before b has punched its hole.
				write(t, a, atB, "from a")
				write(t, b, atA, "from b")
				write(t, a, atB, "from a")
				gotA, gotB := collect(t, a, server, atA), collect(t, b, server, atB)
				if works := slices.Contains(gotA, "from b") && slices.Contains(gotB, "from a"); works != hairpins {
					t.Fatalf("reached each other: %v, want %v; a got %q, b got %q", works, hairpins, gotA, gotB)
				}
				if !hairpins {
					return
				}
				write(t, a, atB, "again")
				if text, from, err := read(b); err != nil || text != "again" || from != atA {
					t.Errorf("b got %q from %v (%v), want it from %v", text, from, err, atA)
				}
			})
		}
	}
}

// TestCarrierKeepsCustomersApart holds that two customers who use the same port get two, and that each gets what is his.
func TestCarrierKeepsCustomersApart(t *testing.T) {
	lab := New(t)
	server, stranger := listen(t, lab.Public("server")), listen(t, lab.Public("stranger"))
	carrier := lab.Carrier("carrier", FullCone, false)
	alice, bob := carrier.Behind(FullCone, "alice"), carrier.Behind(FullCone, "bob")
	a, b := listenOn(t, alice, 5000), listenOn(t, bob, 5000)
	atA, atB := deliver(t, a, server, "a"), deliver(t, b, server, "b")
	if atA == atB {
		t.Fatalf("both customers have %v", atA)
	}
	write(t, stranger, atA, "for a")
	write(t, stranger, atB, "for b")
	gotA, gotB := collect(t, a, server, atA), collect(t, b, server, atB)
	if !slices.Equal(gotA, []string{"for a"}) || !slices.Equal(gotB, []string{"for b"}) {
		t.Errorf("a got %q, b got %q", gotA, gotB)
	}
}

// TestIPv6Only holds that a host with IPv6 only reaches others by that, and nothing by IPv4.
func TestIPv6Only(t *testing.T) {
	lab := New(t)
	server, alice := lab.Public("server"), lab.Behind(IPv6Only, "alice")
	if alice.Addr().IsValid() || alice.Public().IsValid() || alice.Kind() != IPv6Only {
		t.Errorf("it has %v, in public %v, and is %v", alice.Addr(), alice.Public(), alice.Kind())
	}
	a, b := listenAt(t, alice, alice.Addr6()), listenAt(t, server, server.Addr6())
	if from := deliver(t, a, b, "hello"); from != local(a) {
		t.Errorf("came from %v, want %v", from, local(a))
	}
	ln, err := server.ListenTCP(0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if conn, err := alice.DialTCP(netip.MustParseAddrPort(ln.Addr().String()), time.Second); err == nil {
		conn.Close()
		t.Error("connected by IPv4")
	}
}
