//go:build unix && !linux

package signal

import "syscall"

func readNow(fd int, b []byte) (int, error) { return again(syscall.Read, fd, b) }

func writeNow(fd int, b []byte) (int, error) { return again(syscall.Write, fd, b) }

func peekNow(fd int) error {
	_, _, err := syscall.Recvfrom(fd, make([]byte, 1), syscall.MSG_PEEK)
	return err
}

func again(call func(int, []byte) (int, error), fd int, b []byte) (int, error) {
	n, err := call(fd, b)
	for err == syscall.EINTR {
		n, err = call(fd, b)
	}
	return max(n, 0), err
}
