//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// oldest is the oldest kernel that has all functions that the program calls.
var oldest = [2]int{5, 15}

// explain turns an error of the kernel into a sentence: what is missing, and how to get it.
func explain(err error) error {
	major, minor, release := kernelRelease()
	if major != 0 && (major < oldest[0] || major == oldest[0] && minor < oldest[1]) {
		return fmt.Errorf("forwarding in the kernel needs Linux %d.%d or later, and this is %s", oldest[0], oldest[1], release)
	}
	missing := missingCapabilities()
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier) && len(missing) == 0:
		return fmt.Errorf("this kernel, %s, refuses the program; please report this: %w", release, err)
	case len(missing) > 0 && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || verifier != nil):
		return fmt.Errorf("forwarding in the kernel needs %s: run as root, or give them to the service (systemd: AmbientCapabilities=)", strings.Join(missing, ", "))
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("a seccomp filter, a container or kernel lockdown keeps bpf(2) from this process: allow it (systemd: SystemCallFilter=bpf; Docker: --cap-add BPF,NET_ADMIN,PERFMON): %w", err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("this kernel has no bpf(2), or a seccomp filter hides it (systemd: SystemCallFilter=bpf): %w", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("the kernel has no memory for the map of flows, or the limit of locked memory is small (systemd: LimitMEMLOCK=infinity): %w", err)
	}
	return err
}

// needed are the capabilities that it takes to load and attach the program.
func needed() []capability {
	return []capability{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_PERFMON, "CAP_PERFMON"}}
}

type capability struct {
	number uint
	name   string
}

// missingCapabilities names the needed capabilities that this process does not have in effect. CAP_SYS_ADMIN stands for
// two of them.
func missingCapabilities() (names []string) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil
	}
	has := func(n uint) bool { return data[n/32].Effective>>(n%32)&1 != 0 }
	for _, c := range needed() {
		if !has(c.number) && (c.number == unix.CAP_NET_ADMIN || !has(unix.CAP_SYS_ADMIN)) {
			names = append(names, c.name)
		}
	}
	return names
}

// kernelRelease returns the release that uname(2) tells; zeroes if it is no number.
func kernelRelease() (major, minor int, release string) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0, 0, "of an unknown release"
	}
	release = unix.ByteSliceToString(u.Release[:])
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor, release
}
