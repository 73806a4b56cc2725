package turnserver

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"turnpike/turnserver/udpio"
	"turnpike/turnserver/wire"
)

// udpSocket is one UDP socket that clients send to, with the shard of those clients.
type udpSocket struct {
	// Static after construction.
	srv     *Server
	shard   *shard
	conn    *net.UDPConn
	address boundAddress
	dtls    *dtlsListener // serves what comes, instead of a worker; nil on udp://
}

func (u *udpSocket) sendTo(w *worker, c *client, b []byte, size int) {
	if _, _, err := u.conn.WriteMsgUDPAddrPort(b, c.source, c.remote); err != nil {
		w.counters.count(sendFailure(len(b)))
		return
	}
	w.counters.countSent(wire.UDP, size)
}

// listen opens one listener: the sockets that it needs, and a shard for each.
func (s *Server) listen(l Listener) error {
	if l.Network == "tcp" || l.Network == "tls" {
		return s.listenTCP(l)
	}
	return s.listenUDP(l)
}

// listenUDP opens a socket for the listener, or, where a socket cannot tell what address a packet came to, one
// for each address of the host.
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

// openInLoops opens a socket in each loop, all on one address.
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

// read serves datagrams until the socket is closed.
func (u *udpSocket) read() {
	defer u.srv.readers.Done()
	w := newWorker(u.srv, u.shard)
	b := new(buffer)
	control := make([]byte, udpio.PacketInfoSpace())
	for failed := 0; failed < errorsInARow; {
		n, nc, flags, from, err := u.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], control)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // an ICMP error for what was sent before, on some systems
			u.srv.counters.count(dropListener)
			failed++
			continue
		case udpio.Truncated(flags):
			u.srv.counters.count(dropTooLarge)
			continue
		}
		failed = 0
		to, ok := u.address.bound.Addr(), true
		if u.address.anyAddr {
			to, ok = udpio.DestinationAddr(control[:nc])
		}
		if !ok {
			u.srv.counters.count(dropListener)
			continue
		}
		w.client = u.address.client(u, from, to)
		if u.dtls != nil {
			u.dtls.receive(&w.client, b.bytes[headroom:headroom+n])
			continue
		}
		w.handle(&w.client, b.bytes[:], headroom, headroom+n)
		w.flush()
	}
	_ = u.conn.Close()
	u.srv.log.Error("turn: a UDP listener failed and is closed", "listener", u.address.bound)
}

// boundAddress is what a listener's socket is bound to. Its methods belong to the socket's reader.
type boundAddress struct {
	// Static after construction.
	bound   netip.AddrPort
	anyAddr bool    // bound to the unspecified address: packets say which address they came to
	origin  *origin // set by linkOrigins, if there are others to answer from

	// Owned by the reader.
	sources map[netip.Addr][]byte // control messages that name the address to answer from
}

func newBoundAddress(bound netip.AddrPort, anyAddr bool) boundAddress {
	return boundAddress{bound: bound, anyAddr: anyAddr, sources: make(map[netip.Addr][]byte)}
}

// client says who sent a datagram to sock, which came to one of our addresses.
func (l *boundAddress) client(sock clientSocket, from netip.AddrPort, to netip.Addr) client {
	local := netip.AddrPortFrom(to, l.bound.Port())
	var source []byte
	if l.anyAddr {
		source = l.sourceFrom(to)
	}
	from = wire.Unmapped(from)
	return client{
		tuple:  wire.FiveTuple{Client: wire.EndpointOf(wire.WithoutZone(from)), Local: wire.EndpointOf(wire.WithoutZone(local)), Protocol: wire.UDP},
		remote: from,
		sock:   sock,
		source: source,
		origin: l.origin,
	}
}

// maxSources bounds the control messages kept; a host has fewer addresses than that, or one that routes whole prefixes to itself.
const maxSources = 4096

func (l *boundAddress) sourceFrom(ip netip.Addr) []byte {
	source, ok := l.sources[ip]
	if !ok {
		source = udpio.SendFrom(ip)
		if len(l.sources) < maxSources {
			l.sources[ip] = source
		}
	}
	return source
}
