package socket

import "sync"

// maxIdle is how many idle workers wait for more work. Sockets under TLS need one for each message, for a moment.
const maxIdle = 8

// workers are goroutines for what needs a big stack, or takes longer than a poller should. Growing a new stack for each
// log-in would be a good part of the log-in's work, so a few workers whose stacks have grown wait for more.
type workers struct {
	running *sync.WaitGroup // counts workers; those for whom they work keep it above zero
	stop    <-chan struct{} // closed: workers end instead of waiting

	work chan func()
	idle chan struct{} // has one for each worker that waits, or is about to
}

func newWorkers(running *sync.WaitGroup, stop <-chan struct{}) workers {
	return workers{running: running, stop: stop, work: make(chan func()), idle: make(chan struct{}, maxIdle)}
}

// start has a worker do the work, and returns at once.
func (ws *workers) start(work func()) {
	select {
	case ws.work <- work:
	default:
		ws.running.Go(func() { ws.loop(work) })
	}
}

// loop works until enough others are idle.
func (ws *workers) loop(work func()) {
	for {
		work()
		select {
		case ws.idle <- struct{}{}:
		default:
			return
		}
		select {
		case work = <-ws.work:
			<-ws.idle
		case <-ws.stop:
			return
		}
	}
}
