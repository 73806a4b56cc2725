//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Totals adds up what the CPUs have counted.
func (p *Path) Totals() (Totals, error) {
	if !p.enter() {
		return Totals{}, ErrClosed
	}
	defer p.leave()
	var each []forwardTotals
	if err := p.objects.Count.Lookup(uint32(0), &each); err != nil {
		return Totals{}, fmt.Errorf("offload: read the totals: %w", err)
	}
	var sum Totals
	for i := range each {
		t := &each[i]
		sum.PacketsUp += t.PacketsUp
		sum.PacketsDown += t.PacketsDown
		sum.BytesUp += t.BytesUp
		sum.BytesDown += t.BytesDown
		sum.Hops += t.Hops
		sum.OverRate += t.OverRate
		sum.Failed += t.Failed
		sum.Expired += t.Expired
		sum.Unconfirmed += t.Unconfirmed
		sum.Unrouted += t.Unrouted
		sum.TooLong += t.TooLong
		sum.Untypical += t.Untypical
		sum.Aggregated += t.Aggregated
	}
	return sum, nil
}

// Each tells of every entry, while packets pass. It may leave out an entry that is made or ended meanwhile, or tell of
// it twice.
func (p *Path) Each(tell func(Entry)) error {
	return p.scan(func(key Key, f *forwardFlow) { tell(Entry{key, usageOf(f)}) })
}

// scan reads all entries in batches.
func (p *Path) scan(tell func(Key, *forwardFlow)) error {
	if !p.enter() {
		return ErrClosed
	}
	defer p.leave()
	err := scan(p.objects.Flows, func(key *forwardKey, f *forwardFlow) { tell(key.read(), f) })
	if err != nil {
		return err
	}
	return scan(p.objects.Sends, func(key *forwardSendKey, f *forwardFlow) { tell(key.read(), f) })
}

func scan[K any](entries *ebpf.Map, tell func(*K, *forwardFlow)) error {
	const atOnce = 256
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, atOnce), make([]forwardFlow, atOnce)
	for {
		n, err := entries.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			tell(&keys[i], &values[i])
		}
		switch {
		case err == nil:
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil // that was the last batch
		case errors.Is(err, unix.ENOSPC) && len(keys) < 1<<16: // more entries than that share a bucket of the map
			keys, values = make([]K, 2*len(keys)), make([]forwardFlow, 2*len(values))
		default:
			return fmt.Errorf("offload: read the flows: %w", err)
		}
	}
}
