package node

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// webPlaces bounds the connections that carry HTTP. Over the bound it closes the one that has been in one state for the
// longest: idle, or at a request that does not end. So connections that nobody uses keep no visitor out. A connection
// that becomes a WebSocket counts no more: signaling has limits of its own.
type webPlaces struct {
	// Static after construction.
	limit int

	// Guarded by mu.
	mu     sync.Mutex
	places map[net.Conn]*list.Element
	open   list.List // of net.Conn, in the order of their last change of state
}

func newWebPlaces(limit int) *webPlaces {
	return &webPlaces{limit: limit, places: make(map[net.Conn]*list.Element)}
}

// changed is an http.Server's ConnState.
func (p *webPlaces) changed(conn net.Conn, state http.ConnState) {
	oldest := p.note(conn, state)
	if socket, ok := oldest.(interface{ CloseSocket() error }); ok { // TLS's farewell could wait for the client
		_ = socket.CloseSocket()
	} else if oldest != nil {
		_ = oldest.Close()
	}
}

// note notes a change, and returns the connection that must be closed for it, or nil.
func (p *webPlaces) note(conn net.Conn, state http.ConnState) (oldest net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	place := p.places[conn]
	switch {
	case state == http.StateNew:
		p.places[conn] = p.open.PushBack(conn)
		if p.open.Len() > p.limit {
			oldest = p.open.Front().Value.(net.Conn)
			p.removeLocked(oldest)
		}
	case place == nil: // it was closed from here
	case state == http.StateHijacked, state == http.StateClosed:
		p.removeLocked(conn)
	default:
		p.open.MoveToBack(place)
	}
	return oldest
}

// removeLocked gives a connection's place back. The caller holds mu.
func (p *webPlaces) removeLocked(conn net.Conn) {
	p.open.Remove(p.places[conn])
	delete(p.places, conn)
}
