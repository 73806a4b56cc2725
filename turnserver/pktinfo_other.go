//go:build !linux

package turnserver

import (
	"net/netip"
	"syscall"
)

// packetInfo says that a socket on the unspecified address cannot tell, portably, which address a packet came to.
const packetInfo = false

const packetInfoSpace = 0

func requestPacketInfo(string, string, syscall.RawConn) error { return nil }

func destinationAddr([]byte) (netip.Addr, bool) { return netip.Addr{}, false }

func sendFrom(netip.Addr) []byte { return nil }
