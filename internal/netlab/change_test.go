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

// TestMove moves a host to another NAT, and gives its NAT another address: others see it there, and what was open is dead.
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
			before, seen := dialed(t, host, ln, to)
			if seen != host.Public() {
				t.Fatalf("seen at %v, want %v", seen, host.Public())
			}
			former := host.Public()
			test.change(host)
			if host.Public() == former {
				t.Fatalf("the public address is %v as before", former)
			}
			after, seen := dialed(t, host, ln, to)
			if seen != host.Public() {
				t.Fatalf("seen at %v after the change, want %v", seen, host.Public())
			}
			// What the former connection says does not arrive, and no reset tells of it; what the new one says does.
			exchange(t, after, true)
			exchange(t, before, false)
		})
	}
}

// TestHang cuts a port off: who is connected notices, who comes waits.
func TestHang(t *testing.T) {
	lab := New(t)
	server, client := lab.Public("server"), lab.Public("client")
	ln, err := server.ListenTCP(0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	to := netip.AddrPortFrom(server.Addr(), uint16(ln.Addr().(*net.TCPAddr).Port))
	open, _ := dialed(t, client, ln, to)
	restore := server.Hang(to.Port())
	_ = open.near.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := open.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read from a connection that was cut: %v, want a reset", err)
	}
	if conn, err := client.DialTCP(to, 200*time.Millisecond); err == nil {
		conn.Close()
		t.Error("connected to a port that hangs")
	}
	restore()
	pair, _ := dialed(t, client, ln, to)
	exchange(t, pair, true)
}

// A pair is both ends of a connection.
type pair struct{ near, far net.Conn }

// dialed connects, and tells from where the server sees it.
func dialed(t *testing.T, host *Host, ln *net.TCPListener, to netip.AddrPort) (pair, netip.Addr) {
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

// exchange says something, and judges whether it arrives.
func exchange(t *testing.T, p pair, arrives bool) {
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
		t.Errorf("what was said did not arrive: %v", err)
	}
	if !arrives && (n > 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
		t.Errorf("a dead connection brought %d bytes and %v, want silence", n, err)
	}
}
