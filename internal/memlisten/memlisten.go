// Package memlisten has a listener whose connections are pipes in memory, which tests can use inside of a synctest bubble.
package memlisten

import (
	"net"
	"sync"
)

// Listener is a net.Listener. Dial is its other side.
type Listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// New returns a Listener.
func New() *Listener { return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Dial waits until somebody accepts, and returns the other end. After Close it fails.
func (l *Listener) Dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }
