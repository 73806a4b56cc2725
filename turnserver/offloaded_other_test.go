//go:build !linux

package turnserver

func againOffloaded() int  { return 0 }
func enterOffloaded() bool { return false }
