package turnserver

import (
	"net"

	"turnpike/turnserver/front"
	"turnpike/turnserver/wire"
)

// StreamOptions say how the connections of a listener begin.
type StreamOptions struct {
	TLS    bool           // TLS comes first, with the certificate of Config.GetCertificate
	NoTURN bool           // closes connections that begin with STUN, if there is Other
	Other  func(net.Conn) // takes over connections that begin otherwise, and must not block; nil: they are closed
}

// newFront makes the part that accepts connections. It knows neither streams nor counters.
func (s *Server) newFront() *front.Front {
	return front.New(front.Config{
		GetCertificate: s.cfg.GetCertificate, ProxyProtocol: s.cfg.ProxyProtocol, TrustedProxies: s.cfg.TrustedProxies,
		ConnectionsPerAddress: s.cfg.Limits.ConnectionsPerAddress, Openings: s.cfg.Limits.Openings,
		Count: func(why front.Reason) { s.counters.count(frontReason(why)) },
	})
}

// frontReason returns the reason to count when the front closes a connection.
func frontReason(why front.Reason) reason {
	return [front.ReasonCount]reason{
		front.Stranger: streamStranger, front.ProxyHeader: streamProxyHeader, front.TooManyFrom: streamTooManyFrom,
		front.CrowdedOut: streamCrowdedOut, front.Silent: streamSilent, front.Left: streamLeft,
		front.STUNOff: streamTURNOff, front.Reserved: streamReserved,
		front.NotTLS: tlsNotTLS, front.TLSTimeout: tlsTimeout, front.TLSByClient: tlsByClient, front.TLSFailed: tlsFailed,
	}[why]
}

// ServeStreams accepts connections from ln until Close, which also closes ln. It may be called once Start has returned.
func (s *Server) ServeStreams(ln net.Listener, opts StreamOptions) error {
	l, err := s.addStreamListener(ln, opts)
	if err != nil {
		return err
	}
	l.Serve()
	return nil
}

// addStreamListener gives ln to the front, and makes a shard for the streams that come from it.
func (s *Server) addStreamListener(ln net.Listener, opts StreamOptions) (*front.Listener, error) {
	shard := newShard(s)
	carries := front.Options{TLS: opts.TLS, Other: opts.Other}
	if !opts.NoTURN || opts.Other == nil {
		carries.STUN = func(conn *front.Conn) { s.serveStream(conn, shard) }
	}
	l, err := s.front.Add(ln, carries)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = append(s.shards, shard)
	return l, nil
}

// listenTCP opens a listener of tcp:// or tls://.
func (s *Server) listenTCP(l Listener) error {
	ln, err := net.Listen(networkOf("tcp", l.Addr.Addr().Unmap()), l.Addr.String())
	if err != nil {
		return err
	}
	t, err := s.addStreamListener(ln, StreamOptions{TLS: l.Network == "tls"})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = append(s.tcp, t)
	s.addrs = append(s.addrs, Listener{Network: l.Network, Addr: wire.AddrPortOf(ln.Addr())})
	return nil
}
