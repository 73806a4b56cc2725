package link

import "sync"

// Tasks are goroutines that a Close waits for.
type Tasks struct {
	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

// Run starts f, and reports false instead once Wait was called.
func (t *Tasks) Run(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.group.Go(f)
	}
	return !t.closed
}

// Wait lets nothing start any more, and waits for the end of all that runs.
func (t *Tasks) Wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.group.Wait()
}
