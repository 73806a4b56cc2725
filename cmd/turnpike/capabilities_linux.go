package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raiseCapabilities takes those of the capabilities that a server uses which the file or the container permits. With
// "setcap ...+p" a file so starts anywhere, and does without what it may not have; the kernel does not execute one with "+ep"
// where a capability is missing from the bounding set.
func raiseCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	raised := data
	for _, capability := range []int{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_PERFMON, unix.CAP_BPF} {
		word, bit := capability/32, uint32(1)<<(capability%32)
		raised[word].Effective |= raised[word].Permitted & bit
	}
	if raised == data {
		return nil
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&raised[0])), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}
