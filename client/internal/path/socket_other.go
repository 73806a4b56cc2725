//go:build !linux

package path

import (
	"net"
	"net/netip"
	"time"
)

// DiscoverMTU tells whether QUIC may look for the path MTU. Not here: a later path may be narrower.
const DiscoverMTU = false

type reader struct{}

func (*reader) init(*Socket) error { return nil }

// ReadFrom returns the next packet of QUIC, and hands on the rest.
func (s *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	n := 0
	into := func(p []byte) bool {
		if n == 0 && len(p) <= len(b) {
			n = copy(b, p)
			return true
		}
		return len(p) > len(b)
	}
	for {
		s.takeInjected(into)
		if n > 0 {
			break
		}
		got, from, err := s.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			if err := s.awake(err); err != nil {
				return 0, nil, err
			}
			continue
		}
		if data, ok := s.judge(canonical(from), b[:got]); ok {
			n = copy(b, data)
			break
		}
	}
	s.heard.Store(time.Now().UnixNano())
	return n, &virtualPeer, nil
}

func (s *Socket) sendTo(b []byte, segment int, _ byte, to netip.AddrPort) error {
	return s.sendSingly(b, segment, s.address(to))
}

// allowFragments has nothing to do: QUIC's packets are small.
func allowFragments(*net.UDPConn) {}
