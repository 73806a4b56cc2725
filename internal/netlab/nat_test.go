//go:build linux

package netlab

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// patience bounds the wait for events that must happen. A test that passes never waits so long.
const patience = 5 * time.Second

// TestNAT holds that each kind maps and filters as its name says. Of three sockets
// outside, two are on one host and differ only in their port. The third is on another host.
func TestNAT(t *testing.T) {
	home := func(kind Kind) func(*Lab) *Host {
		return func(lab *Lab) *Host { return lab.Behind(kind, "alice") }
	}
	carried := func(carrier, home Kind) func(*Lab) *Host {
		return func(lab *Lab) *Host { return lab.Carrier("carrier", carrier, false).Behind(home, "alice") }
	}
	for name, test := range map[string]struct {
		behind     func(*Lab) *Host
		samePort   bool // endpoint-independent mapping
		otherPort  bool // lets in another port of an address that was sent to
		otherHost  bool // lets in an address that was never sent to
		keepsPorts bool // port preservation (RFC 4787 §4.2.1)
	}{
		"full cone":          {behind: home(FullCone), samePort: true, otherPort: true, otherHost: true, keepsPorts: true},
		"address-restricted": {behind: home(AddressRestricted), samePort: true, otherPort: true, keepsPorts: true},
		"port-restricted":    {behind: home(PortRestricted), samePort: true, keepsPorts: true},
		"symmetric":          {behind: home(Symmetric)},
		"CGNAT":              {behind: home(CGNAT)},

		// The stricter of two NATs decides, in each respect.
		"full cone behind a symmetric carrier":          {behind: carried(Symmetric, FullCone)},
		"full cone behind a full-cone carrier":          {behind: carried(FullCone, FullCone), samePort: true, otherPort: true, otherHost: true, keepsPorts: true},
		"full cone behind a port-restricted carrier":    {behind: carried(PortRestricted, FullCone), samePort: true, keepsPorts: true},
		"address-restricted behind a full-cone carrier": {behind: carried(FullCone, AddressRestricted), samePort: true, otherPort: true, keepsPorts: true},
		"symmetric behind a full-cone carrier":          {behind: carried(FullCone, Symmetric)},
	} {
		t.Run(name, func(t *testing.T) {
			lab := New(t)
			one, two := lab.Public("one"), lab.Public("two")
			alice := test.behind(lab)
			known, knownHost, stranger := listen(t, one), listen(t, one), listen(t, two)

			// Filtering. Alice has sent to the first socket only.
			inside := listen(t, alice)
			mapped := deliver(t, inside, known, "hello")
			if mapped.Addr() != alice.Public() {
				t.Fatalf("came from %v, want %v", mapped.Addr(), alice.Public())
			}
			write(t, knownHost, mapped, "other port")
			write(t, stranger, mapped, "other host")
			got := collect(t, inside, known, mapped)
			if slices.Contains(got, "other port") != test.otherPort {
				t.Errorf("another port of a known address was let in: %v, want %v", !test.otherPort, test.otherPort)
			}
			if slices.Contains(got, "other host") != test.otherHost {
				t.Errorf("an unknown address was let in: %v, want %v", !test.otherHost, test.otherHost)
			}

			// Every NAT keeps a port closed from which nobody inside has sent.
			unused := listen(t, alice)
			fresh := netip.AddrPortFrom(alice.Public(), local(unused).Port())
			write(t, stranger, fresh, "unasked")
			if got := collect(t, unused, known, netip.AddrPort{}); slices.Contains(got, "unasked") {
				t.Error("a port without a mapping let a packet in")
			}

			// Mapping. Two destinations could get the same random port by chance, six will not.
			ports := []uint16{mapped.Port(), deliver(t, inside, knownHost, "b").Port(), deliver(t, inside, stranger, "c").Port()}
			for range 3 {
				ports = append(ports, deliver(t, inside, listen(t, two), "d").Port())
			}
			if same := len(slices.Compact(slices.Clone(ports))) == 1; same != test.samePort {
				t.Errorf("public ports by destination: %v, want the same for all: %v", ports, test.samePort)
			}
			if keeps := ports[0] == local(inside).Port(); keeps != test.keepsPorts {
				t.Errorf("inside port %d, outside port %d, want them equal: %v", local(inside).Port(), ports[0], test.keepsPorts)
			}
		})
	}
}

// TestHolePunching shows what the kinds mean in practice. Each side sends to the
// address that the server has seen of the other; some pairs of kinds connect.
func TestHolePunching(t *testing.T) {
	for _, test := range []struct {
		a, b  Kind
		works bool
	}{
		{PortRestricted, PortRestricted, true},
		{FullCone, Symmetric, true},
		{AddressRestricted, Symmetric, true},
		{PortRestricted, Symmetric, false},
		{Symmetric, Symmetric, false},
		{FullCone, CGNAT, true},
		{PortRestricted, CGNAT, false},
		{CGNAT, CGNAT, false},
	} {
		t.Run(test.a.String()+" and "+test.b.String(), func(t *testing.T) {
			lab := New(t)
			server := listen(t, lab.Public("server"))
			a, b := listen(t, lab.Behind(test.a, "a")), listen(t, lab.Behind(test.b, "b"))
			atA, atB := deliver(t, a, server, "a"), deliver(t, b, server, "b")
			// The first packet may be lost, because it may come before b has punched its hole.
			write(t, a, atB, "from a")
			write(t, b, atA, "from b")
			write(t, a, atB, "from a")
			gotA, gotB := collect(t, a, server, atA), collect(t, b, server, atB)
			// One direction is enough: the side that gets a packet learns where to answer.
			if works := slices.Contains(gotA, "from b") || slices.Contains(gotB, "from a"); works != test.works {
				t.Errorf("a hole was punched: %v, want %v", works, test.works)
			}
		})
	}
}

func TestFirewalls(t *testing.T) {
	for _, test := range []struct {
		kind        Kind
		to443, to80 bool
	}{
		{UDPBlocked, true, true},
		{Only443, true, false},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			lab := New(t)
			server, alice := lab.Public("server"), lab.Behind(test.kind, "alice")
			for port, want := range map[uint16]bool{443: test.to443, 80: test.to80} {
				if err := connect(t, alice, server, port, want); (err == nil) != want {
					t.Errorf("TCP to port %d: %v, want it to pass: %v", port, err, want)
				}
			}
			// Once a later packet from another host has arrived, alice's cannot arrive any more.
			target, inside, other := listen(t, server), listen(t, alice), listen(t, lab.Public("other"))
			write(t, inside, local(target), "blocked")
			if from := deliver(t, other, target, "passes"); from != local(other) {
				t.Errorf("a UDP packet got out, from %v", from)
			}
		})
	}
}

func TestPublic(t *testing.T) {
	lab := New(t)
	one, two := lab.Public("one"), lab.Behind(Public, "two")
	a, b := listen(t, one), listen(t, two)
	if from := deliver(t, a, b, "hello"); from != local(a) {
		t.Errorf("came from %v, want %v", from, local(a))
	}
	for _, h := range []*Host{one, two} {
		if h.Addr() != h.Public() || !h.Addr6().Is6() {
			t.Errorf("%s: addr %v, public %v, IPv6 %v", h.name, h.Addr(), h.Public(), h.Addr6())
		}
	}
	// IPv6 works as soon as the host exists.
	err := one.Do(func() error {
		ln, err := net.ListenTCP("tcp6", net.TCPAddrFromAddrPort(netip.AddrPortFrom(one.Addr6(), 443)))
		if err == nil {
			t.Cleanup(func() { ln.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := two.DialTCP(netip.AddrPortFrom(one.Addr6(), 443), patience)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestAddAddresses holds that a second address receives, and that the host still sends from the first.
func TestAddAddresses(t *testing.T) {
	lab := New(t)
	one, two := lab.Public("one"), lab.Public("two")
	v4, v6 := lab.AddAddresses(one)
	for _, ip := range []netip.Addr{v4, v6} {
		var second *net.UDPConn
		err := one.Do(func() (err error) {
			second, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { second.Close() })
		var asking net.Conn
		err = two.Do(func() (err error) {
			asking, err = net.Dial("udp", second.LocalAddr().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { asking.Close() })
		if _, err := asking.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if text, from, err := read(second); err != nil || text != "hello" || from.String() != asking.LocalAddr().String() {
			t.Errorf("%v heard %q from %v: %v", ip, text, from, err)
		}
	}
	target := listen(t, two)
	var first net.Conn
	err := one.Do(func() (err error) {
		first, err = net.Dial("udp4", local(target).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if got := first.LocalAddr().(*net.UDPAddr).AddrPort().Addr(); got != one.Addr() {
		t.Errorf("sends from %v, want %v", got, one.Addr())
	}
}

// connect tries a TCP connection and one echo over it.
func connect(t *testing.T, from, to *Host, port uint16, want bool) error {
	t.Helper()
	ln, err := to.ListenTCP(port)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := ln.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	defer func() { ln.Close(); <-served }()
	timeout := patience
	if !want {
		timeout = 300 * time.Millisecond // Nothing answers a dropped SYN.
	}
	conn, err := from.DialTCP(netip.AddrPortFrom(to.Addr(), port), timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

func listen(t *testing.T, h *Host) *net.UDPConn {
	t.Helper()
	return listenOn(t, h, 0)
}

func listenOn(t *testing.T, h *Host, port uint16) *net.UDPConn {
	t.Helper()
	conn, err := h.ListenUDP(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func local(c *net.UDPConn) netip.AddrPort {
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func write(t *testing.T, from *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

func read(c *net.UDPConn) (string, netip.AddrPort, error) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	return string(buf[:n]), from, err
}

// deliver sends text to a public socket and returns the address from which it appeared to come.
func deliver(t *testing.T, from, to *net.UDPConn, text string) netip.AddrPort {
	t.Helper()
	write(t, from, local(to), text)
	got, source, err := read(to)
	if err != nil || got != text {
		t.Fatalf("got %q, %v, want %q", got, err, text)
	}
	return source
}

// collect makes three round trips with a socket that may send in, and returns the
// other packets that arrive inside. A packet that was sent before has then arrived,
// or never will.
func collect(t *testing.T, inside, known *net.UDPConn, mapped netip.AddrPort) []string {
	t.Helper()
	var got []string
	for range 3 {
		source := deliver(t, inside, known, "ping")
		if mapped.IsValid() && source != mapped {
			t.Fatalf("the mapping moved from %v to %v", mapped, source)
		}
		write(t, known, source, "pong")
		for {
			text, _, err := read(inside)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					t.Fatal(err)
				}
				t.Fatalf("no answer from the known socket: %v", err)
			}
			if text == "pong" {
				break
			}
			got = append(got, text)
		}
	}
	return got
}
