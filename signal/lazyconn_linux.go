package signal

import (
	"syscall"
	"unsafe"
)

// readNow and writeNow are read(2) and write(2) on a socket that does not block. The Go runtime is not told of the system call: that
// it could take a while is what makes the runtime's monitor thread look after it, and that costs more than the call.

func readNow(fd int, b []byte) (int, error) { return rawCall(syscall.SYS_READ, fd, b) }

func writeNow(fd int, b []byte) (int, error) { return rawCall(syscall.SYS_WRITE, fd, b) }

// peekNow looks for a byte without taking it.
func peekNow(fd int) error {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK, 0, 0)
	if errno == 0 {
		return nil
	}
	return errno
}

func rawCall(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
