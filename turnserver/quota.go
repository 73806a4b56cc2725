package turnserver

import "sync"

// quota counts allocations by owner and in total.
type quota struct {
	mu     sync.Mutex
	total  int
	owners map[string]int
}

// take counts one more allocation for owner, unless that would exceed a limit.
func (q *quota) take(owner string, ofOwner, ofAll int) (ok, ownerFull bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.owners[owner] >= ofOwner:
		return false, true
	case q.total >= ofAll:
		return false, false
	}
	q.owners[owner]++
	q.total++
	return true, false
}

func (q *quota) give(owner string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if q.owners[owner]--; q.owners[owner] == 0 {
		delete(q.owners, owner)
	}
}

func (q *quota) inUse() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}
