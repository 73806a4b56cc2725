package auth

import "net/netip"

// AddressRange is a part of the address space whose clients share limits.
type AddressRange struct {
	Prefix netip.Prefix
	Share  int // How many times as much as one subscriber it may use.
}

// AddressRanges returns the ranges that limits count an address by, the
// narrowest first. One subscriber has an IPv4 address, or usually an IPv6 /64.
// Many networks give a customer a /56 or a /48, who is then 256 or 65,536
// subscribers; these may use 4 and 16 times as much. The zero address has the
// zero prefix.
func AddressRanges(addr netip.Addr) []AddressRange {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		prefix, _ := addr.Prefix(addr.BitLen())
		return []AddressRange{{prefix, 1}}
	}
	out := []AddressRange{{Share: 1}, {Share: 4}, {Share: 16}}
	for i, bits := range [...]int{64, 56, 48} {
		out[i].Prefix, _ = addr.Prefix(bits)
	}
	return out
}
