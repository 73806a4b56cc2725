package udpio

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzICMP: whatever control messages come, the parser reads nothing past them, and names the address that the datagram
// went to.
func FuzzICMP(f *testing.F) {
	entry := func(level, typ int32, origin, icmpType, code byte, errno unix.Errno, mtu uint32) []byte {
		b := make([]byte, unix.CmsgSpace(16))
		putControlHeader(b, int(level), int(typ), 16)
		binary.NativeEndian.PutUint32(b[unix.SizeofCmsghdr:], uint32(errno))
		b[unix.SizeofCmsghdr+4], b[unix.SizeofCmsghdr+5], b[unix.SizeofCmsghdr+6] = origin, icmpType, code
		binary.NativeEndian.PutUint32(b[unix.SizeofCmsghdr+8:], mtu)
		return b
	}
	f.Add(entry(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 3, 3, unix.ECONNREFUSED, 0), true)
	f.Add(entry(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_LOCAL, 0, 0, unix.EMSGSIZE, 1400), true)
	f.Add(entry(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.SO_EE_ORIGIN_ICMP6, 2, 0, unix.EMSGSIZE, 1280), false)
	f.Add([]byte{1, 2, 3}, false)
	f.Fuzz(func(t *testing.T, control []byte, is4 bool) {
		to := netip.MustParseAddrPort("[2001:db8::1]:9")
		if is4 {
			to = netip.MustParseAddrPort("192.0.2.1:9")
		}
		m, ok := parseICMP(control, to)
		if !ok {
			if m != (ICMP{}) {
				t.Errorf("refused, and yet %+v", m)
			}
			return
		}
		if m.To != to {
			t.Errorf("%+v", m)
		}
	})
}
