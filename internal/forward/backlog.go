package forward

import "sync"

// maxBacklog bounds the datagrams of all flows together that no stream has taken yet. Strangers can begin flows.
const maxBacklog = 8 << 20

// backlog counts the bytes that wait in flows. The flow whose stream has taken nothing for the longest time stands first, and gives way
// where there are too many. A flow's mutex comes before a backlog's.
type backlog struct {
	mu sync.Mutex
	// Guarded by mu, as are the fields of its flows for it.
	bytes       int
	first, last *flow
}

// add counts bytes that wait in a flow from now on, and returns the flows that must give way. It counts theirs no longer.
func (b *backlog) add(one *flow, n int) (victims []*flow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.held == 0 {
		b.append(one)
	}
	one.held += n
	b.bytes += n
	for b.bytes > maxBacklog {
		victims = append(victims, b.first)
		b.remove(b.first)
	}
	return victims
}

// taken notes that a stream has taken bytes of a flow.
func (b *backlog) taken(one *flow, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.held < n { // it gave way meanwhile
		return
	}
	left := one.held - n
	b.remove(one)
	if left > 0 {
		one.held = left
		b.bytes += left
		b.append(one)
	}
}

// forget takes away all that a flow has.
func (b *backlog) forget(one *flow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.held > 0 {
		b.remove(one)
	}
}

// append puts a flow last. The caller holds mu.
func (b *backlog) append(one *flow) {
	one.before, one.after = b.last, nil
	if b.last == nil {
		b.first = one
	} else {
		b.last.after = one
	}
	b.last = one
}

// remove takes a flow that has something out, with all its bytes. The caller holds mu.
func (b *backlog) remove(one *flow) {
	if one.before == nil {
		b.first = one.after
	} else {
		one.before.after = one.after
	}
	if one.after == nil {
		b.last = one.before
	} else {
		one.after.before = one.before
	}
	b.bytes -= one.held
	one.held, one.before, one.after = 0, nil, nil
}
