//go:build linux && (amd64 || arm64)

package offload

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Path is the program with its maps, attached to interfaces until Close, or until the process ends.
type Path struct {
	// Static after Open.
	log     *slog.Logger
	objects forwardObjects
	watcher *watcher // follows interfaces and routes

	mu     sync.Mutex // held by whoever changes flows
	closed bool
	routes *router
}

const (
	defaultMaxFlows = 1 << 16
	maxMeters       = 1 << 16
	// coarseClock is how far the program's clock may be behind, a tick of the slowest kernel: expiries are early by it.
	coarseClock = 10 * time.Millisecond
)

// Open loads the program and attaches it. The error says in a sentence what is missing, and how to get it.
func Open(cfg Config) (*Path, error) {
	if tcxMissing() {
		return open(cfg, filter())
	}
	return open(cfg, tcx())
}

// Supported says why Open would fail: nil if it would not, as far as can be known without attaching.
func Supported() error {
	objects, err := load(2, false)
	if err != nil {
		return err
	}
	return objects.Close()
}

// tcxMissing reports that this kernel attaches by filters only. Where nothing can be loaded it reports false.
func tcxMissing() bool {
	objects, err := load(2, false)
	if err != nil {
		return false
	}
	defer objects.Close()
	_, err = link.AttachTCX(link.TCXOptions{Interface: math.MaxInt32, Program: objects.Forward, Attach: ebpf.AttachTCXIngress}) // there is no such
	return errors.Is(err, ebpf.ErrNotSupported)
}

func open(cfg Config, method attachMethod) (*Path, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	objects, err := load(2*cmp.Or(cfg.MaxFlows, defaultMaxFlows), method.mortal)
	if err != nil {
		return nil, err
	}
	p := &Path{log: cfg.Log, objects: *objects}
	if p.routes, err = newRouter(); err == nil {
		p.watcher, err = newWatcher(p, cfg.Addresses, method)
	}
	if err != nil {
		_ = p.Close()
		return nil, explain(err)
	}
	return p, nil
}

// load loads the program for so many entries. One that is mortal forwards only while its heart beats.
func load(entries int, mortal bool) (*forwardObjects, error) {
	spec, err := loadForward()
	if err != nil {
		return nil, err
	}
	spec.Maps[forwardMapFlows].MaxEntries = uint32(entries)
	spec.Maps[forwardMapMeters].MaxEntries = maxMeters
	if mortal {
		if err := spec.Variables[forwardVarMortal].Set(uint32(1)); err != nil {
			return nil, err
		}
	}
	objects := new(forwardObjects)
	if err := spec.LoadAndAssign(objects, nil); err != nil {
		return nil, explain(err)
	}
	return objects, nil
}

// Put makes the flow's entries, or changes what they say; what was counted in them stays.
func (p *Path) Put(f Flow) error {
	expires := monotonic(f.Expires.Add(-coarseClock))
	up, down := upEntry(f, expires), downEntry(f, expires)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if err := p.put(upKey(f), &up); err != nil {
		return err
	}
	if err := p.put(downKey(f), &down); err != nil {
		p.take(upKey(f))
		return err
	}
	return nil
}

// put writes one entry. Between reading what was there and writing, a packet may pass uncounted. The caller holds mu.
func (p *Path) put(key forwardKey, entry *forwardFlow) error {
	var was forwardFlow
	switch err := p.objects.Flows.Lookup(&key, &was); {
	case err == nil && was.From == entry.From && was.FromPort == entry.FromPort && was.To == entry.To && was.ToPort == entry.ToPort:
		entry.Ifindex, entry.Label = was.Ifindex, was.Label
		entry.Packets, entry.Bytes, entry.Seen, entry.Confirmed = was.Packets, was.Bytes, was.Seen, was.Confirmed
	case err == nil || errors.Is(err, ebpf.ErrKeyNotExist):
		entry.Label = flowLabel(rand.Uint32())
		if entry.Flags&flowHop == 0 {
			entry.Ifindex = p.routes.interfaceOf(addrOf(entry.From), addrOf(entry.To))
		}
	default:
		return fmt.Errorf("offload: read a flow: %w", err)
	}
	err := p.objects.Flows.Put(&key, entry)
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("offload: write a flow: %w", err)
	}
	return nil
}

// Remove ends a flow: not one more packet of it is forwarded. It returns what was.
func (p *Path) Remove(f Flow) (up, down Usage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return up, down
	}
	return p.take(upKey(f)), p.take(downKey(f))
}

// take deletes one entry. The caller holds mu.
func (p *Path) take(key forwardKey) Usage {
	var was forwardFlow
	if err := p.objects.Flows.LookupAndDelete(&key, &was); err != nil {
		return Usage{}
	}
	return usageOf(&was)
}

// SetMeter makes or changes a meter: so many bytes of data a second, and a burst of so many at once. The id is not 0.
func (p *Path) SetMeter(id uint32, bytesPerSecond, burst uint64) error {
	bytesPerSecond = max(bytesPerSecond, 1)
	m := forwardMeter{
		Cost:  uint64(time.Second) << 16 / bytesPerSecond,
		Burst: max(uint64(float64(burst)/float64(bytesPerSecond)*float64(time.Second)), uint64(2*coarseClock)),
	}
	if err := p.objects.Meters.Put(&id, &m); err != nil {
		return fmt.Errorf("offload: write a meter: %w", err)
	}
	return nil
}

// RemoveMeter ends a meter; flows that have it are no longer bounded by it.
func (p *Path) RemoveMeter(id uint32) { _ = p.objects.Meters.Delete(&id) }

// Close detaches the program and frees all. It is idempotent.
func (p *Path) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	if p.watcher != nil {
		p.watcher.close()
	}
	if p.routes != nil {
		p.routes.close()
	}
	return p.objects.Close()
}

// monotonic is t on the program's clock.
func monotonic(t time.Time) uint64 {
	return uint64(max(0, now()+int64(time.Until(t))))
}

// now reads the program's clock.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it cannot fail: the clock is there, and so is the memory
	return ts.Nano()
}
