package signal

import "sync"

// maxIdle is how many goroutines of an aparts wait for more work.
const maxIdle = 4

// aparts run what needs a big stack, or takes longer than a poller should. To grow a stack anew for each log-in would be a good part of
// its work, so a few goroutines that have one wait for more.
type aparts struct {
	running *sync.WaitGroup // counts them, and is held up by those for whom they work
	stop    <-chan struct{} // closed: nobody waits for more

	work chan func()
	idle chan struct{} // has one for each that waits, or is about to
}

func newAparts(running *sync.WaitGroup, stop <-chan struct{}) aparts {
	return aparts{running: running, stop: stop, work: make(chan func()), idle: make(chan struct{}, maxIdle)}
}

// do returns when f has.
func (a *aparts) do(f func()) {
	done := make(chan struct{})
	a.hand(func() {
		defer close(done)
		f()
	})
	<-done
}

// hand has work done, and does not wait for that.
func (a *aparts) hand(work func()) {
	select {
	case a.work <- work:
	default:
		a.running.Go(func() { a.run(work) })
	}
}

// run works until enough others wait for more.
func (a *aparts) run(work func()) {
	for {
		work()
		select {
		case a.idle <- struct{}{}:
		default:
			return
		}
		select {
		case work = <-a.work:
			<-a.idle
		case <-a.stop:
			return
		}
	}
}
