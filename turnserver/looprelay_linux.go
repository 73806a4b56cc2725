//go:build linux && (amd64 || arm64)

package turnserver

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// This file is the life of a relayed socket that a loop reads: how it starts, who keeps it open, and how it ends.

// moveTo implements datagramSocket, for sockets that were reserved before the server knew for which client.
func (r *loopRelay) moveTo(l *loop) { r.loop = l }

// start is called by the loop itself if it serves the Allocate request, else by the client's stream.
func (r *loopRelay) start(a *allocation, _ *relayed) error {
	r.alloc = a
	l := r.loop
	if !r.hold() { // others could end the allocation already, and another socket may have the descriptor
		return errRelayEnded
	}
	defer r.release()
	if err := l.srv.epollAdd(l.epoll, r.fd); err != nil {
		return err
	}
	if a.shard == l.shard {
		l.relays[int32(r.fd)] = r
		return nil
	}
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.joining = append(l.joining, r)
	}
	l.mu.Unlock()
	if ended {
		return errLoopEnded
	}
	l.poke()
	return nil
}

// errRelayEnded means that the allocation has ended before its socket was read.
var errRelayEnded = fmt.Errorf("the allocation: %w", errEndedMeanwhile)

// errLoopEnded means that the server is about to close.
var errLoopEnded = fmt.Errorf("the loop that would read it: %w", errEndedMeanwhile)

// acquire keeps the socket open until w is flushed, or reports false if it is closed.
func (r *loopRelay) acquire(w *worker) bool {
	if slices.Contains(w.acquired, releaser(r)) {
		return true
	}
	if !r.hold() {
		return false
	}
	w.acquired = append(w.acquired, r)
	return true
}

// hold keeps the socket open until release, or reports false if it is closed.
func (r *loopRelay) hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.refs++
	return true
}

// release implements releaser.
func (r *loopRelay) release() {
	r.mu.Lock()
	r.refs--
	last := r.closed && r.refs == 0
	r.mu.Unlock()
	if last {
		r.free()
	}
}

// close leaves the socket to the loop, which may be about to use it.
func (r *loopRelay) close(*relayAddress, uint16) {
	l := r.loop
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.closing = append(l.closing, r)
	}
	l.mu.Unlock()
	if ended {
		r.retire()
		return
	}
	l.poke()
}

// retire closes the socket, or lets the last that holds it do so. No loop reads it any more.
func (r *loopRelay) retire() {
	r.mu.Lock()
	r.closed = true
	held := r.refs > 0
	r.mu.Unlock()
	if !held {
		r.free()
	}
}

func (r *loopRelay) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// free closes the socket, which also takes it out of epoll, and frees its port.
func (r *loopRelay) free() {
	_ = unix.Close(r.fd)
	r.address.release(r.port)
}
