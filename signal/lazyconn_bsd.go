//go:build unix && !linux

package signal

import "syscall"

func readNow(fd int, b []byte) (int, error) { return again(syscall.Read, fd, b) }

func writeNow(fd int, b []byte) (int, error) { return again(syscall.Write, fd, b) }

func again(call func(int, []byte) (int, error), fd int, b []byte) (int, error) {
	n, err := call(fd, b)
	for err == syscall.EINTR {
		n, err = call(fd, b)
	}
	return max(n, 0), err
}
