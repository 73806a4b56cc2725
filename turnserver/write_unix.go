//go:build unix

package turnserver

import "golang.org/x/sys/unix"

// writeNonblocking writes what a non-blocking socket takes at once. An error counts as nothing taken: the write that follows reports it.
func writeNonblocking(fd uintptr, b []byte) int {
	n, err := unix.Write(int(fd), b)
	if err != nil {
		return 0
	}
	return n
}
