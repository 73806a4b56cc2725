package turnserver

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"turnpike/turnserver/offload"
)

// offloadedEnv is set for a process that runs the tests with flows forwarded in the kernel: on the loopback interface of a network
// namespace of its own, so that the programs of its servers see no packets but theirs.
const offloadedEnv = "TURNPIKE_TURNSERVER_TEST_OFFLOADED"

// againOffloaded runs the tests once more in such a process, and returns its exit code. Where that cannot be it says so; in CI, that is a
// failure.
func againOffloaded() int {
	err := offload.Supported()
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
	if err != nil {
		fmt.Fprintln(os.Stderr, "set the loopback interface up:", err)
		os.Exit(1)
	}
	return true
}

// needOffloaded skips t in the runs on other data paths.
func needOffloaded(t *testing.T) {
	t.Helper()
	if !offloaded {
		t.Skip("for the run with flows in the kernel")
	}
}
