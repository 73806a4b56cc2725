package turnserver

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
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
		Count: func(why front.Reason) { s.counters.count(frontReason(why)) }, AcceptFailed: s.acceptFailed,
	})
}

// acceptFailed counts a connection that could not be accepted. Its listener goes on.
func (s *Server) acceptFailed(err error) {
	s.counters.count(failedAccept)
	s.warnFull("turn: a connection could not be accepted; if it is for want of descriptors, raise LimitNOFILE or ulimit -n", "error", err)
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

// listen opens one listener: the sockets that it needs, and a shard for each.
func (s *Server) listen(l Listener) error {
	if l.Network == "tcp" || l.Network == "tls" {
		return s.listenTCP(l)
	}
	return s.listenUDP(l)
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

// listenUDP opens a socket for the listener. Where a socket cannot tell to which address a packet came, it opens one for
// each address of the host.
func (s *Server) listenUDP(l Listener) error {
	ip := l.Addr.Addr().Unmap()
	if len(s.loops) > 0 && l.Network == "udp" {
		return s.openInLoops(netip.AddrPortFrom(ip, l.Addr.Port()))
	}
	if !ip.IsUnspecified() || udpio.PacketInfo {
		return s.openUDP(l.Network, netip.AddrPortFrom(ip, l.Addr.Port()), ip.IsUnspecified())
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	opened := false
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		own, ok := netip.AddrFromSlice(n.IP)
		if own = wire.Canonical(own); !ok || own.Is4() != ip.Is4() || own.IsLinkLocalUnicast() {
			continue
		}
		if err := s.openUDP(l.Network, netip.AddrPortFrom(own, l.Addr.Port()), false); err != nil {
			return err
		}
		opened = true
	}
	if !opened {
		return errors.New("no interface has an address of this family")
	}
	return nil
}

// openInLoops opens sockets in each loop, all on one address.
func (s *Server) openInLoops(addr netip.AddrPort) error {
	if addr.Port() != 0 {
		// Sockets that share their address would also share it with another process of this user's that does the same.
		probe, err := net.ListenUDP(udpNetwork(addr.Addr()), net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return err
		}
		_ = probe.Close()
	}
	for _, l := range s.loops {
		bound, err := l.open(addr, addr.Addr().IsUnspecified())
		if err != nil {
			return err
		}
		addr = bound // the first settles port 0
	}
	if err := steer(s.loops); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = append(s.addrs, Listener{Network: "udp", Addr: addr})
	return nil
}

func udpNetwork(ip netip.Addr) string { return networkOf("udp", ip) }

// networkOf is what package net calls a transport over the family of ip.
func networkOf(transport string, ip netip.Addr) string {
	if ip.Is4() {
		return transport + "4"
	}
	return transport + "6"
}

func (s *Server) openUDP(network string, addr netip.AddrPort, anyAddr bool) error {
	var lc net.ListenConfig
	if anyAddr {
		lc.Control = udpio.RequestPacketInfo
	}
	pc, err := lc.ListenPacket(context.Background(), udpNetwork(addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	_ = conn.SetReadBuffer(udpio.ListenerBuffer)
	_ = conn.SetWriteBuffer(udpio.ListenerBuffer)
	sock := &udpSocket{
		srv: s, shard: newShard(s), conn: conn, address: newBoundAddress(wire.AddrPortOf(conn.LocalAddr()), anyAddr),
	}
	if network == "dtls" {
		if sock.dtls, err = newDTLSListener(sock); err != nil {
			_ = conn.Close()
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, sock)
	s.shards = append(s.shards, sock.shard)
	s.addrs = append(s.addrs, Listener{Network: network, Addr: sock.address.bound})
	return nil
}
