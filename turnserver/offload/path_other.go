//go:build !linux || !(amd64 || arm64)

package offload

import (
	"errors"
	"net/netip"
	"runtime"
	"time"
)

// Path needs Linux. On other systems nobody can make one.
type Path struct{}

var errSystem = errors.New("forwarding in the kernel needs Linux on amd64 or arm64, and this is " + runtime.GOOS + " on " + runtime.GOARCH)

// Open fails.
func Open(Config) (*Path, error) { return nil, errSystem }

func (*Path) Put(Flow) error                                       { return errSystem }
func (*Path) Remove(Flow) (up, down Usage)                         { return Usage{}, Usage{} }
func (*Path) SetMeter(uint32, int64, time.Duration, time.Duration) {}
func (*Path) EndMeter(uint32) (ahead time.Duration)                { return 0 }
func (*Path) Take(uint32, int) bool                                { return true }
func (*Path) Usage(Flow) (up, down Usage, ok bool)                 { return Usage{}, Usage{}, false }
func (*Path) Flows() int                                           { return 0 }
func (*Path) Calls() uint64                                        { return 0 }
func (*Path) Paused() string                                       { return "" }
func (*Path) Totals() (Totals, error)                              { return Totals{}, errSystem }
func (*Path) Each(func(Entry)) error                               { return errSystem }
func (*Path) SetAddresses([]netip.Addr)                            {}
func (*Path) Close() error                                         { return nil }
