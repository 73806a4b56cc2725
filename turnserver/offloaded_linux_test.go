package turnserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/offload"
)

// offloadedEnv is set for a process that runs the tests with flows in the kernel. It uses the loopback interface of a
// network namespace of its own, so that the programs of its servers see no other packets.
const offloadedEnv = "TURNPIKE_TURNSERVER_TEST_OFFLOADED"

// offloadedPeerIP6 is to IPv6 there what peerIP is to IPv4.
var offloadedPeerIP6 = netip.MustParseAddr("fd00::2")

// listenFree opens a socket on an address that need not be in the list of the host's addresses.
func listenFree(t *testing.T, ip netip.Addr) *net.UDPConn {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) }) // for both families
		return errors.Join(controlErr, err)
	}}
	conn, err := lc.ListenPacket(t.Context(), udpNetwork(ip), netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// againOffloaded runs the tests once more in such a process, and returns its exit code. Where that is not possible it
// says so; in CI, that is a failure.
func againOffloaded() int {
	path, err := offload.Open(offload.Config{}) // for no address, it forwards nothing
	if err == nil {
		err = path.Close()
	}
	if err == nil && os.Geteuid() != 0 {
		err = os.ErrPermission
	}
	if err != nil {
		fmt.Println("not once more with flows in the kernel:", err)
		if os.Getenv("CI") != "" {
			return 1
		}
		return 0
	}
	fmt.Println("once more with flows in the kernel")
	self, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), offloadedEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Run(); err != nil {
		fmt.Println("with flows in the kernel:", err)
		return 1
	}
	return 0
}

// enterOffloaded reports whether this is such a process, and makes its network usable.
func enterOffloaded() bool {
	if os.Getenv(offloadedEnv) == "" {
		return false
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		err = netlink.RouteAdd(&netlink.Route{
			LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL,
			Dst: &net.IPNet{IP: offloadedPeerIP6.AsSlice(), Mask: net.CIDRMask(128, 128)},
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the loopback interface up:", err)
		os.Exit(1)
	}
	return true
}
