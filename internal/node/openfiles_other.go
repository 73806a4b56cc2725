//go:build !unix

package node

import "math"

// openFiles is how many files and sockets this process may have. Here there is no limit of its own.
func openFiles() int { return math.MaxInt32 }
