//go:build linux && (amd64 || arm64)

package offload

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// meters are limits of bandwidth, in memory that the program shares. The kernel and user space take from the same meter
// for each packet that they relay, so a limit holds however a flow's packets are divided between them.
type meters struct {
	// Static.
	memory []byte
	all    []forwardMeter // in memory, by id
	epoch  time.Time      // when the program's clock was at start
	start  int64
}

func mapMeters(m *ebpf.Map) (*meters, error) {
	const each = int(unsafe.Sizeof(forwardMeter{}))
	n := int(m.MaxEntries())
	page := unix.Getpagesize()
	size := (n*each + page - 1) / page * page
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the meters: %w", err)
	}
	return &meters{memory, unsafe.Slice((*forwardMeter)(unsafe.Pointer(&memory[0])), n), time.Now(), now()}, nil
}

func (m *meters) close() {
	if m != nil {
		_ = unix.Munmap(m.memory)
	}
}

// now is the program's clock, read without asking the kernel.
func (m *meters) now() int64 { return m.start + int64(time.Since(m.epoch)) }

// SetMeter makes a meter of so many bits of data a second. A full meter allows as much at once as comes in burst. The
// meter will be full after ahead. The id is from 1 to Config.Meters.
func (p *Path) SetMeter(id uint32, bitsPerSecond int64, burst, ahead time.Duration) {
	m := &p.meters.all[id]
	atomic.StoreUint64(&m.Taken, uint64(p.meters.now()+int64(ahead)))
	atomic.StoreUint64(&m.Burst, uint64(max(burst, 2*coarseClock)))
	atomic.StoreUint64(&m.Cost, uint64(8*time.Second)<<16/uint64(max(bitsPerSecond, 1000)))
}

// EndMeter ends a meter: it no longer bounds the flows that still name it. It returns after which time it would have
// been full, for another SetMeter to go on with.
func (p *Path) EndMeter(id uint32) (ahead time.Duration) {
	m := &p.meters.all[id]
	atomic.StoreUint64(&m.Cost, 0)
	taken := int64(atomic.SwapUint64(&m.Taken, 0))
	return max(0, time.Duration(taken-p.meters.now()))
}

// Take takes bytes from a meter for a packet that user space relays, or reports false if there are too few.
func (p *Path) Take(id uint32, bytes int) bool {
	m, now := &p.meters.all[id], uint64(p.meters.now())
	cost := uint64(bytes) * atomic.LoadUint64(&m.Cost) >> 16
	limit := now + atomic.LoadUint64(&m.Burst)
	for {
		taken := atomic.LoadUint64(&m.Taken)
		next := max(taken, now) + cost
		if next > limit {
			return false
		}
		if atomic.CompareAndSwapUint64(&m.Taken, taken, next) {
			return true
		}
	}
}
