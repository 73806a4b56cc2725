//go:build linux

package netlab

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestMove moves a host to another NAT, and gives its NAT another address. Others see the new address, and open
// connections are dead.
func TestMove(t *testing.T) {
	lab := New(t)
	server := lab.Public("server")
	for i, test := range []struct {
		name   string
		change func(*Host)
	}{
		{"another NAT", func(h *Host) { lab.Move(h, PortRestricted) }},
		{"another address of the NAT", lab.Readdress},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := lab.Behind(Symmetric, []string{"alice", "bob"}[i])
			ln, err := server.ListenTCP(0)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			to := netip.AddrPortFrom(server.Addr(), uint16(ln.Addr().(*net.TCPAddr).Port))
			before, seen := dial(t, host, ln, to)
			if seen != host.Public() {
				t.Fatalf("seen at %v, want %v", seen, host.Public())
			}
			former := host.Public()
			test.change(host)
			if host.Public() == former {
				t.Fatalf("the public address is %v as before", former)
			}
			after, seen := dial(t, host, ln, to)
			if seen != host.Public() {
				t.Fatalf("seen at %v after the change, want %v", seen, host.Public())
			}
			// The new connection works. On the former one nothing arrives, not even a reset.
			wantDelivery(t, after, true)
			wantDelivery(t, before, false)
		})
	}
}

// TestSupersede gives a host other addresses: its default route leaves from those, it is reached at both, and in the end
// at the new ones alone.
func TestSupersede(t *testing.T) {
	lab := New(t)
	client, host := lab.Public("client"), lab.Public("host")
	var ln net.Listener
	err := host.Do(func() (err error) { ln, err = net.Listen("tcp4", "0.0.0.0:0"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	routed := func() (from netip.Addr) {
		t.Helper()
		err := host.Do(func() error {
			conn, err := net.Dial("udp4", "1.1.1.1:9") // asks for the route, and sends nothing
			if err != nil {
				return err
			}
			from = conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			return conn.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		return from
	}
	reached := func(at netip.Addr) pair {
		t.Helper()
		conns, _ := dial(t, client, ln.(*net.TCPListener), netip.AddrPortFrom(at, port))
		return conns
	}
	former, former6 := host.Addr(), host.Addr6()
	before := reached(former)
	lab.Supersede(host)
	if got := routed(); got != host.Addr() || got == former {
		t.Errorf("the default route leaves from %v, want %v", got, host.Addr())
	}
	after := reached(host.Addr())
	wantDelivery(t, before, true)
	lab.Withdraw(host, former, former6)
	wantDelivery(t, before, false)
	wantDelivery(t, after, true)
	if got := routed(); got != host.Addr() {
		t.Errorf("in the end, the default route leaves from %v", got)
	}
}

// TestCutTCPPort cuts a port off: an open connection is reset, and a new one gets no answer.
func TestCutTCPPort(t *testing.T) {
	lab := New(t)
	server, client := lab.Public("server"), lab.Public("client")
	ln, err := server.ListenTCP(0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	to := netip.AddrPortFrom(server.Addr(), uint16(ln.Addr().(*net.TCPAddr).Port))
	open, _ := dial(t, client, ln, to)
	restore := server.CutTCPPort(to.Port())
	_ = open.near.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := open.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read from a connection that was cut: %v, want a reset", err)
	}
	if conn, err := client.DialTCP(to, 200*time.Millisecond); err == nil {
		conn.Close()
		t.Error("connected to a port that is cut off")
	}
	restore()
	pair, _ := dial(t, client, ln, to)
	wantDelivery(t, pair, true)
}

// A pair is the two ends of a connection.
type pair struct{ near, far net.Conn }

// dial connects, and returns the address from which the server sees the client.
func dial(t *testing.T, host *Host, ln *net.TCPListener, to netip.AddrPort) (pair, netip.Addr) {
	t.Helper()
	near, err := host.DialTCP(to, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return pair{near, far}, far.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
}

// wantDelivery sends a message, and checks whether it arrives.
func wantDelivery(t *testing.T, p pair, arrives bool) {
	t.Helper()
	if _, err := p.near.Write([]byte("hello")); err != nil && arrives {
		t.Fatal(err)
	}
	patience := 300 * time.Millisecond
	if arrives {
		patience = 10 * time.Second
	}
	_ = p.far.SetReadDeadline(time.Now().Add(patience))
	n, err := p.far.Read(make([]byte, 16))
	if arrives && err != nil {
		t.Errorf("the message did not arrive: %v", err)
	}
	if !arrives && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		t.Errorf("a dead connection brought %d bytes and %v, want silence", n, err)
	}
}
