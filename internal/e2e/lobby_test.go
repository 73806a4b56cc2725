//go:build linux

package e2e

import "testing"

// TestLobby holds what people see and choose before a room, and that nobody there knows of them.
func TestLobby(t *testing.T) {
	driveLocally(t, "lobby", "choices", "slowdevices", "onlywrites")
}
