//go:build unix

package node

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many files and sockets this process may have. Go has raised the limit as far as it may.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur)
}
