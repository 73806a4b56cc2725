//go:build linux

package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is a network namespace with one interface, eth0. Once the test has it, only [Lab.Move], [Lab.Readdress] and
// [Lab.Supersede] change its fields.
type Host struct {
	lab     *Lab
	name    string
	netns   string
	router  string // its NAT's namespace; empty on the public segment
	addr    netip.Addr
	addr6   netip.Addr
	public  netip.Addr
	kind    Kind
	carrier *Carrier // behind which its NAT is, or nil
	moves   int
	attach  func(joiner) // makes eth0 with its addresses and routes; nil where the host cannot have a hop
	hop     *Hop         // between eth0 and the neighbour, or nil
}

// A joiner makes a host's eth0, and joins it to a new interface in the namespace of its neighbour.
type joiner func(neighbour, port string)

// cable is the joiner that has neither delay nor loss.
func (h *Host) cable(neighbour, port string) {
	h.lab.t.Helper()
	h.lab.ip(neighbour, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, h.netns))
}

// Namespace returns its name for `ip netns exec`.
func (h *Host) Namespace() string { return h.netns }

// Kind returns the kind of NAT or firewall that it is behind.
func (h *Host) Kind() Kind { return h.kind }

// Addr returns the IPv4 address of its interface, or the zero Addr if it has IPv6 only.
func (h *Host) Addr() netip.Addr { return h.addr }

// Addr6 returns the IPv6 address of its interface, or the zero Addr behind a NAT.
func (h *Host) Addr6() netip.Addr { return h.addr6 }

// Public returns the IPv4 address that others see: the outside of its NAT or its carrier's, or Addr.
func (h *Host) Public() netip.Addr { return h.public }

// Command is exec.CommandContext on this host. The command replaces ip(8) in its
// process, so that ctx and Wait concern the command itself. It must end before the
// test does.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.netns, name}, args...)...)
	cmd.WaitDelay = 5 * time.Second // Grandchildren may hold the output open.
	return cmd
}

// CutTCPPort cuts the way to one of the host's TCP ports until the test calls restore. It resets open connections to the
// port, and drops every packet to it.
func (h *Host) CutTCPPort(port uint16) (restore func()) {
	l := h.lab
	l.t.Helper()
	// Drop packets first, so that nobody connects again after the resets.
	l.nft(h.netns, fmt.Sprintf(`
table inet cut {
	chain in {
		type filter hook input priority filter
		tcp dport %d drop
	}
}
`, port))
	l.run("", "ip", "netns", "exec", h.netns, "ss", "-K", "state", "established", "sport", "=", fmt.Sprintf(":%d", port))
	return func() {
		l.t.Helper()
		l.nft(h.netns, "delete table inet cut")
	}
}

// Do calls fn on this host. A socket that fn itself opens belongs to the host for
// its whole life; one that a goroutine of fn opens does not.
func (h *Host) Do(fn func() error) error { return inside(h.netns, fn) }

// ListenUDP opens a UDP socket on the host's IPv4 address. Port 0 takes any.
func (h *Host) ListenUDP(port uint16) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.addr, port)))
		return err
	})
	return conn, err
}

// ListenTCP listens on the host's IPv4 address. Port 0 takes any.
func (h *Host) ListenTCP(port uint16) (*net.TCPListener, error) {
	var ln *net.TCPListener
	err := h.Do(func() (err error) {
		ln, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.addr, port)))
		return err
	})
	return ln, err
}

// DialTCP connects from the host.
func (h *Host) DialTCP(to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	var conn net.Conn
	err := h.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: timeout}).Dial("tcp", to.String())
		return err
	})
	return conn, err
}

// errGoexit is the error of a function that ended its goroutine, as t.Fatal does.
var errGoexit = errors.New("the function ended its goroutine instead of returning")

// inside calls fn on a thread that has entered the namespace. The thread ends
// with it, because a goroutine that exits while locked takes its thread
// along: no other goroutine can ever run in the wrong namespace.
func inside(netns string, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := errGoexit
		defer func() { done <- err }()
		err = func() error {
			if err := enter(netns); err != nil {
				return err
			}
			return fn()
		}()
	}()
	return <-done
}

// enter moves the calling thread into a namespace.
func enter(netns string) error {
	fd, err := unix.Open(filepath.Join("/run/netns", netns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", netns, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", netns, err)
	}
	return nil
}
