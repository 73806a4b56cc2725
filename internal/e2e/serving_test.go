//go:build linux

package e2e

import "testing"

// TestServing holds what a browser waits for until a page is there: bytes, and round trips.
func TestServing(t *testing.T) {
	driveLocally(t, "onewave")
}
