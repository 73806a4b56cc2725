//go:build !linux || !(amd64 || arm64)

package turnserver

import (
	"errors"
	"net/netip"
)

// loops says that this system has only the portable path.
const loops = false

// loop is never made on these systems.
type loop struct {
	shard    *shard
	worker   *worker
	counters counters
}

var errNoLoops = errors.New("this system has no loops")

func epollAdd(_, _ int) error { return errNoLoops }

func (s *Server) newLoop() (*loop, error) { return nil, errNoLoops }

func (*loop) open(netip.AddrPort, bool) (netip.AddrPort, error) {
	return netip.AddrPort{}, errNoLoops
}

func steer([]*loop) error { return errNoLoops }

func (*loop) bound() map[netip.AddrPort]boundSocket { return nil }

func (*loop) openRelay(*relayPort, netip.AddrPort) error { return errNoLoops }

func (*loop) run()                    {}
func (*loop) stop()                   {}
func (*loop) closeSockets()           {}
func (*loop) resetShortWaits() uint32 { return 0 }
