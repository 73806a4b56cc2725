// Package hostwatch tells when the addresses or the routes of this host have changed. On Linux the kernel says so. Other
// systems are not asked, and neither is a kernel that lets nobody listen: there the caller must look from time to time,
// as it should in any case.
package hostwatch

import "sync"

// Watcher is made by New, and listens until Close.
type Watcher struct {
	changed chan struct{} // holds one, which stands for all changes since it was taken
	done    sync.WaitGroup
	stop    func()
}

// Changes receives once after one change or many.
func (w *Watcher) Changes() <-chan struct{} { return w.changed }

// Close ends the watcher, and may be called twice.
func (w *Watcher) Close() {
	w.stop()
	w.done.Wait()
}

func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
