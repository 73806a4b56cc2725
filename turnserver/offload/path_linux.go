//go:build linux && (amd64 || arm64)

package offload

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Path is the program with its maps, attached to interfaces until Close, or until the process ends.
type Path struct {
	// Static after Open.
	log     *slog.Logger
	objects forwardObjects
	meters  *meters
	watcher *watcher // follows interfaces and routes

	flows    atomic.Int64  // how many there are
	calls    atomic.Uint64 // of the system that were made for single flows
	unrouted atomic.Bool   // the kernel had no interface for some flow: the watcher asks again
	paused   atomic.Pointer[string]
	fault    func(msg string, err error)

	routes  *router     // owned by work
	changes chan func() // for work
	working sync.WaitGroup

	mu     sync.Mutex
	closed bool
	users  sync.WaitGroup // who use the maps; Close waits for them. Add is called under mu, and not once closed
}

const (
	defaultMaxFlows = 1 << 16
	// coarseClock is how far the program's clock may be behind: a tick of the slowest kernel. Expiries are early by it.
	coarseClock = 10 * time.Millisecond
)

// Open loads the program and attaches it. An error says in a sentence what is missing, and how to get it.
func Open(cfg Config) (*Path, error) {
	if tcxMissing() {
		return open(cfg, filter())
	}
	return open(cfg, tcx())
}

// tcxMissing reports whether this kernel attaches by filters only. Where it cannot load a program it reports false.
func tcxMissing() bool {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}})
	if err != nil {
		return false
	}
	defer program.Close()
	// No interface has that number.
	_, err = link.AttachTCX(link.TCXOptions{Interface: math.MaxInt32, Program: program, Attach: ebpf.AttachTCXIngress})
	return errors.Is(err, ebpf.ErrNotSupported)
}

func open(cfg Config, method attachMethod) (*Path, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p, err := newPath(cmp.Or(cfg.MaxFlows, defaultMaxFlows), cfg.Meters, method.mortal)
	if err != nil {
		return nil, err
	}
	p.log = cfg.Log
	p.fault = faultsTo(&cfg)
	if p.watcher, err = newWatcher(p, cfg.Addresses, method); err != nil {
		_ = p.Close()
		return nil, explain(err)
	}
	return p, nil
}

// faultInterval is how often the same fault is logged. Many flows may meet it.
const faultInterval = time.Minute

// faultsTo counts faults, and logs each message at most once a faultInterval.
func faultsTo(cfg *Config) func(msg string, err error) {
	log, count := cfg.Log, cfg.Fault
	var mu sync.Mutex
	last := make(map[string]time.Time)
	return func(msg string, err error) {
		if count != nil {
			count()
		}
		mu.Lock()
		now := time.Now()
		says := now.Sub(last[msg]) >= faultInterval
		if says {
			last[msg] = now
		}
		mu.Unlock()
		if says {
			log.Warn(msg, "error", err)
		}
	}
}

// newPath loads the program for so many flows and meters, and attaches it nowhere. A mortal program forwards only while
// its heart beats.
func newPath(flows, meters int, mortal bool) (p *Path, err error) {
	objects, err := load(flows, meters, mortal)
	if err != nil {
		return nil, explain(err)
	}
	p = &Path{objects: *objects, changes: make(chan func()), fault: func(string, error) {}}
	p.working.Go(p.work)
	if p.meters, err = mapMeters(p.objects.Meters); err == nil {
		p.routes, err = newRouter()
	}
	if err != nil {
		_ = p.Close()
		return nil, explain(err)
	}
	return p, nil
}

func load(flows, meters int, mortal bool) (*forwardObjects, error) {
	spec, err := loadForward()
	if err != nil {
		return nil, err
	}
	spec.Maps[forwardMapFlows].MaxEntries = uint32(2 * flows)
	spec.Maps[forwardMapSends].MaxEntries = uint32(flows)
	spec.Maps[forwardMapMeters].MaxEntries = uint32(meters + 1) // ids begin at 1
	if mortal {
		if err := spec.Variables[forwardVarMortal].Set(uint32(1)); err != nil {
			return nil, err
		}
	}
	objects := new(forwardObjects)
	return objects, spec.LoadAndAssign(objects, nil)
}

// SetAddresses replaces Config.Addresses. The program is soon where packets to these come by, and nowhere else.
func (p *Path) SetAddresses(addresses []netip.Addr) { p.watcher.setAddresses(addresses) }

// enter keeps Close from freeing the maps until leave. It reports false after Close.
func (p *Path) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.users.Add(1)
	return true
}

func (p *Path) leave() { p.users.Done() }

// work makes the changes of flows, one at a time: those of Put and Remove, and those of the watcher.
func (p *Path) work() {
	for change := range p.changes {
		change()
	}
}

// change has work make a change, and waits for it. It reports false after Close.
func (p *Path) change(do func()) bool {
	if !p.enter() {
		return false
	}
	defer p.leave()
	done := make(chan struct{})
	p.changes <- func() { defer close(done); do() }
	<-done
	return true
}

// Put makes the flow's entries, or changes them. Their counts stay.
func (p *Path) Put(f Flow) (err error) {
	if !p.change(func() { err = p.put(&f) }) {
		return ErrClosed
	}
	return err
}

func (p *Path) put(f *Flow) error {
	expires := monotonic(f.Expires.Add(-coarseClock))
	up, down := upEntry(f, expires), downEntry(f, expires)
	isNew, err := p.putEntry(p.entryFor(f.Up()), &up)
	if err != nil {
		return err
	}
	if isNew {
		p.flows.Add(1)
	}
	if _, err := p.putEntry(p.entryFor(f.Down()), &down); err != nil {
		p.deleteUp(f)
		return err
	}
	return nil
}

// putEntry writes one entry, and reports whether it is new. A packet that passes between reading the old entry and
// writing the new one is not counted. work calls it.
func (p *Path) putEntry(s mapEntry, entry *forwardFlow) (isNew bool, err error) {
	var was forwardFlow
	p.calls.Add(2)
	err = s.entries.Lookup(s.key, &was)
	switch {
	case err == nil && was.From == entry.From && was.FromPort == entry.FromPort && was.To == entry.To && was.ToPort == entry.ToPort:
		entry.Ifindex, entry.Seen, entry.Confirmed = was.Ifindex, was.Seen, was.Confirmed
		entry.Packets, entry.Bytes, entry.Dropped = was.Packets, was.Bytes, was.Dropped
	case err == nil || errors.Is(err, ebpf.ErrKeyNotExist):
		if entry.Flags&flowHop == 0 {
			p.route(entry)
		}
	default:
		return false, fmt.Errorf("offload: read a flow: %w", err)
	}
	isNew = err != nil
	err = s.entries.Put(s.key, entry)
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		return false, ErrFull
	}
	if err != nil {
		return false, fmt.Errorf("offload: write a flow: %w", err)
	}
	return isNew, nil
}

// route finds the interface by which an entry's packets leave. work calls it.
func (p *Path) route(entry *forwardFlow) {
	p.calls.Add(1)
	var err error
	if entry.Ifindex, err = p.routes.interfaceOf(addrOf(entry.From), addrOf(entry.To)); err != nil {
		p.fault("turn: a flow is not offloaded for now", err)
	}
	if entry.Ifindex == 0 {
		p.unrouted.Store(true)
	}
}

// Remove ends a flow: the program forwards not one more packet of it. It returns the traffic that it has forwarded.
func (p *Path) Remove(f Flow) (up, down Usage) {
	p.change(func() {
		up = p.deleteUp(&f)
		down, _ = p.deleteEntry(p.entryFor(f.Down()))
	})
	return up, down
}

// deleteUp deletes the entry that counts as the flow. work calls it.
func (p *Path) deleteUp(f *Flow) Usage {
	up, had := p.deleteEntry(p.entryFor(f.Up()))
	if had {
		p.flows.Add(-1)
	}
	return up
}

// deleteEntry deletes one entry, and reports whether there was one. work calls it.
func (p *Path) deleteEntry(s mapEntry) (was Usage, had bool) {
	var entry forwardFlow
	p.calls.Add(1)
	if err := s.entries.LookupAndDelete(s.key, &entry); err != nil {
		return Usage{}, false
	}
	return usageOf(&entry), true
}

// Usage returns the traffic of a flow, or false if there is no such flow.
func (p *Path) Usage(f Flow) (up, down Usage, ok bool) {
	if !p.enter() {
		return Usage{}, Usage{}, false
	}
	defer p.leave()
	var inUp, inDown forwardFlow
	above, below := p.entryFor(f.Up()), p.entryFor(f.Down())
	if above.entries.Lookup(above.key, &inUp) != nil || below.entries.Lookup(below.key, &inDown) != nil {
		return Usage{}, Usage{}, false
	}
	return usageOf(&inUp), usageOf(&inDown), true
}

// Calls is how many system calls Put and Remove have made.
func (p *Path) Calls() uint64 { return p.calls.Load() }

// Paused says why the program forwards nothing for now, or returns "".
func (p *Path) Paused() string {
	if why := p.paused.Load(); why != nil {
		return *why
	}
	return ""
}

// Flows is how many flows there are.
func (p *Path) Flows() int { return int(p.flows.Load()) }

// Close detaches the program and frees all memory. It is idempotent. Nobody may take from a meter meanwhile or later.
func (p *Path) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	p.users.Wait()
	close(p.changes)
	p.working.Wait()
	if p.watcher != nil {
		p.watcher.close()
	}
	if p.routes != nil {
		p.routes.close()
	}
	p.meters.close()
	return p.objects.Close()
}

// monotonic is t on the program's clock.
func monotonic(t time.Time) uint64 {
	return uint64(max(0, now()+int64(time.Until(t))))
}

// now reads the program's clock.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it cannot fail, as both the clock and the memory exist
	return ts.Nano()
}
