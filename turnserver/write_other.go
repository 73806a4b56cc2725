//go:build !unix

package turnserver

// writeNonblocking leaves writing to the goroutine that may block.
func writeNonblocking(uintptr, []byte) int { return 0 }
