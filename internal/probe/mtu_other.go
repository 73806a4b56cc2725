//go:build !linux

package probe

import "net"

func forbidFragments(*net.UDPConn, bool) string { return "not tried: only on Linux" }
