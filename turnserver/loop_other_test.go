//go:build !linux || !(amd64 || arm64)

package turnserver

// attacksOnLoops is empty where there are no loops.
func attacksOnLoops() []attack { return nil }
