package node

import (
	"net"
	"net/netip"
	"sync"

	"example.org/turnpike/internal/httpapi"
	"example.org/turnpike/turnserver"
)

// webConns is a listener for http.Server. Its connections are those that turnserver accepted on the http listeners and
// found to carry no TURN.
type webConns struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newWebConns() *webConns {
	return &webConns{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection to the web server, which accepts at once for as long as it runs.
func (w *webConns) give(conn net.Conn) {
	select {
	case w.conns <- conn:
	case <-w.closed:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (w *webConns) Accept() (net.Conn, error) {
	select {
	case conn := <-w.conns:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *webConns) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// Addr implements net.Listener. It is empty, because the connections come from several listeners.
func (w *webConns) Addr() net.Addr { return &net.TCPAddr{} }

// webStreams tells turnserver how connections to an http listener begin.
func (n *Node) webStreams() turnserver.StreamOptions {
	return turnserver.StreamOptions{TLS: n.certs != nil, NoTURN: !n.cfg.HTTP.TURN, Other: n.webConns.give}
}

// webTURN lists the http listeners on which clients find TURN. Behind a reverse proxy for HTTP they would find the
// proxy.
func (n *Node) webTURN() []httpapi.Listener {
	if !n.cfg.HTTP.TURN || len(n.cfg.HTTP.TrustedProxies) > 0 && !n.cfg.HTTP.ProxyProtocol {
		return nil
	}
	network := "tcp"
	if n.certs != nil {
		network = "tls"
	}
	var out []httpapi.Listener
	for _, l := range n.webListeners {
		addr, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil {
			continue
		}
		if addr.Addr() == netip.IPv6Unspecified() { // of an http listener that takes IPv4 as well
			out = append(out, httpapi.Listener{Network: network, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port())})
		}
		out = append(out, httpapi.Listener{Network: network, Addr: addr})
	}
	return out
}
