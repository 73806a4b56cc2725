//go:build linux

package e2e

import "testing"

// TestLobby holds what people see and choose before a room, and that nobody there knows of them.
func TestLobby(t *testing.T) {
	driveLocally(t, "lobby", "choices", "slowdevices", "onlywrites")
}

// TestDevices holds that people switch devices in the middle of a call, lose one, and are seen and heard all the time.
func TestDevices(t *testing.T) {
	driveLocally(t, "devices", "settings")
}
