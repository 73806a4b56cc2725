//go:build !linux

package udpio

import (
	"net/netip"
	"syscall"
)

// PacketInfo says that a socket on the unspecified address cannot tell, portably, which address a packet came to.
const PacketInfo = false

// PacketInfoSpace returns the room that the control message of one datagram takes.
func PacketInfoSpace() int { return 0 }

// RequestPacketInfo does nothing.
func RequestPacketInfo(string, string, syscall.RawConn) error { return nil }

// DestinationAddr knows no address.
func DestinationAddr([]byte) (netip.Addr, bool) { return netip.Addr{}, false }

// SendFrom leaves the choice of the address to the routing table.
func SendFrom(netip.Addr) []byte { return nil }
