package udpio

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here do not block, or only for as long as the caller says, so the runtime need not know of them. A call
// that it knows of wakes its monitor thread, which then looks every 20 µs whether the call got stuck. Under a steady
// load, that took more time than the packets.

// mmsghdr is struct mmsghdr of recvmmsg(2). Package unix has no type for it.
type mmsghdr struct {
	hdr  unix.Msghdr
	size uint32 // bytes sent or received
}

// recvmmsg reads up to len(msgs) datagrams, and returns how many came.
func recvmmsg(fd int, msgs []mmsghdr, flags int) (int, unix.Errno) {
	return mmsg(unix.SYS_RECVMMSG, fd, msgs, flags|unix.MSG_DONTWAIT)
}

// sendmmsg writes up to len(msgs) messages, and returns how many the kernel took.
func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	return mmsg(unix.SYS_SENDMMSG, fd, msgs, unix.MSG_DONTWAIT)
}

func mmsg(trap uintptr, fd int, msgs []mmsghdr, flags int) (int, unix.Errno) {
	// The caller keeps alive what the pointers lead to, those in msgs too. The kernel keeps none of them when the call
	// returns.
	n, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))), uintptr(len(msgs)), uintptr(flags), 0, 0)
	return int(n), errno
}

// EpollWait is epoll_wait(2) without telling the Go runtime. The timeout is in milliseconds. An interruption counts as
// no event.
func EpollWait(epoll int, events []unix.EpollEvent, timeout int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeout), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	default:
		return 0, os.NewSyscallError("epoll_pwait", errno)
	}
}

// Nap sleeps for a short time without telling the Go runtime, or for less if a signal comes. The runtime would take the
// thread's processor away and give it back, which costs more than the packets.
func Nap(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
