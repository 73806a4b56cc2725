package client

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// Event is one of the types below, by value.
type Event interface{ event() }

// The events of a session.
type (
	// Disconnected tells that the connection to the server is lost. The session comes back by itself; streams go on.
	Disconnected struct{ Err error }
	// Reconnected tells that the session is back. Without Replayed, messages were lost: another process of the server has taken
	// over, or another session has begun. The library has joined its rooms again.
	Reconnected struct{ Replayed bool }
	// Expiring tells that the session ends in so long, and that there is no GetTicket.
	Expiring struct{ In time.Duration }
	// Ended is the last event. Err is nil after Close.
	Ended struct{ Err error }

	// Waiting tells that a Join waits until somebody in the room lets us in.
	Waiting struct{ Room string }
	// PeerJoined tells of a peer in a room, also of those who were there before us.
	PeerJoined struct{ Peer *Peer }
	// PeerLeft tells that a peer is no longer in its room. Reason is a word of signal/PROTOCOL.md.
	PeerLeft struct {
		Peer   *Peer
		Reason string
	}
	// PeerAway tells that the server cannot reach a peer. Its streams may go on.
	PeerAway struct{ Peer *Peer }
	// PeerBack tells that the server reaches a peer again. Fresh means that it is another session, or has lost its streams.
	PeerBack struct {
		Peer  *Peer
		Fresh bool
	}
	// PathChanged tells of the path to a peer: the first, another one, or the zero Path when there is none any more.
	PathChanged struct {
		Peer *Peer
		Path Path
	}
	// Renamed tells that a peer has another name, or that we have, if Peer is nil.
	Renamed struct {
		Peer *Peer
		Name string
	}
	// Data is what a peer said by way of the server, or a page by its data channel: Data, or Bytes if those were sent.
	Data struct {
		Peer  *Peer
		Topic string
		Data  json.RawMessage
		Bytes []byte
	}
	// RoomLeft tells that we are out of a room for good. Reason is a word of signal/PROTOCOL.md, or the code of the error that
	// prevented our return.
	RoomLeft struct {
		Room   *Room
		Reason string
	}

	// IncomingCall tells that a user calls: see [Call.Accept] and [Call.Decline].
	IncomingCall struct{ Call *Call }
	// CallEnded tells that a call is over, whether it was answered or not.
	CallEnded struct {
		Call   *Call
		Reason string
	}
	// OnlineChanged tells who came online or has another name, and who went.
	OnlineChanged struct{ Came, Went []User }
)

func (Disconnected) event()  {}
func (Reconnected) event()   {}
func (Expiring) event()      {}
func (Ended) event()         {}
func (Waiting) event()       {}
func (PeerJoined) event()    {}
func (PeerLeft) event()      {}
func (PeerAway) event()      {}
func (PeerBack) event()      {}
func (PathChanged) event()   {}
func (Renamed) event()       {}
func (Data) event()          {}
func (RoomLeft) event()      {}
func (IncomingCall) event()  {}
func (CallEnded) event()     {}
func (OnlineChanged) event() {}

// So many events, or with so many bytes of data, wait before the session waits for OnEvent. OnEvent may be at as many others.
const (
	maxEvents     = 1024
	maxEventBytes = 4 << 20
)

// events brings events to OnEvent, in order.
type events struct {
	on   func(Event)
	some chan struct{} // holds one: there is something in queue, or the end
	room chan struct{} // holds one: the queue has got shorter

	mu    sync.Mutex
	queue []Event
	bytes int // of data, in queue
	over  bool
}

func newEvents(on func(Event)) *events {
	return &events{on: on, some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// post adds an event, and never blocks. Of the paths to one peer in a row, the last one stays.
func (e *events) post(event Event) {
	if e.on == nil {
		return
	}
	e.mu.Lock()
	if last := len(e.queue) - 1; last >= 0 {
		now, isPath := event.(PathChanged)
		before, wasPath := e.queue[last].(PathChanged)
		if isPath && wasPath && now.Peer == before.Peer {
			e.queue = e.queue[:last]
		}
	}
	if data, ok := event.(Data); ok {
		e.bytes += len(data.Data) + len(data.Bytes)
	}
	e.queue = append(e.queue, event)
	e.mu.Unlock()
	sign(e.some)
}

// wait waits while too many events are there. A sign reaches one of those who wait, and each that goes on tells the next.
func (e *events) wait(ctx context.Context) {
	if !e.crowded() {
		return
	}
	defer sign(e.room)
	for e.crowded() {
		select {
		case <-e.room:
		case <-ctx.Done():
			return
		}
	}
}

func (e *events) crowded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.queue) >= maxEvents || e.bytes >= maxEventBytes
}

// close ends run once everything was told.
func (e *events) close() {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	sign(e.some)
}

func (e *events) run() {
	for {
		e.mu.Lock()
		queue, over := e.queue, e.over
		e.queue, e.bytes = nil, 0
		e.mu.Unlock()
		sign(e.room)
		for _, event := range queue {
			e.on(event)
		}
		if len(queue) > 0 {
			continue
		}
		if over {
			return
		}
		<-e.some
	}
}

// sign puts a sign into a Go channel that holds one.
func sign(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
