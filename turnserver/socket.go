package turnserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// listenerBuffer is what a UDP listener asks of the kernel for bursts; the kernel gives what its limits allow.
const listenerBuffer = 4 << 20

// udpSocket is one UDP socket that clients send to, with the shard of those clients.
type udpSocket struct {
	// Static after construction.
	srv     *Server
	shard   *shard
	conn    *net.UDPConn
	bound   netip.AddrPort
	anyAddr bool // bound to the unspecified address: packets say which address they came to

	// Owned by read.
	sources map[netip.Addr][]byte // control messages that name the address to answer from
}

// listen opens one listener: the sockets that it needs, and a shard for each.
func (s *Server) listen(l Listener) error {
	if l.Network == "tcp" {
		return s.listenTCP(l)
	}
	return s.listenUDP(l)
}

// listenUDP opens a socket for the listener, or, where a socket cannot tell what address a packet came to, one
// for each address of the host.
func (s *Server) listenUDP(l Listener) error {
	ip := l.Addr.Addr().Unmap()
	if !ip.IsUnspecified() || packetInfo {
		return s.openUDP(netip.AddrPortFrom(ip, l.Addr.Port()), ip.IsUnspecified())
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
		if own = canonical(own); !ok || own.Is4() != ip.Is4() || own.IsLinkLocalUnicast() {
			continue
		}
		if err := s.openUDP(netip.AddrPortFrom(own, l.Addr.Port()), false); err != nil {
			return err
		}
		opened = true
	}
	if !opened {
		return errors.New("no interface has an address of this family")
	}
	return nil
}

func (s *Server) openUDP(addr netip.AddrPort, anyAddr bool) error {
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	if anyAddr {
		lc.Control = requestPacketInfo
	}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return err
	}
	conn := pc.(*net.UDPConn)
	_ = conn.SetReadBuffer(listenerBuffer)
	_ = conn.SetWriteBuffer(listenerBuffer)
	sock := &udpSocket{
		srv: s, shard: newShard(s), conn: conn, bound: addrPortOf(conn.LocalAddr()), anyAddr: anyAddr,
		sources: make(map[netip.Addr][]byte),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, sock)
	s.shards = append(s.shards, sock.shard)
	s.addrs = append(s.addrs, Listener{Network: "udp", Addr: sock.bound})
	return nil
}

// read serves datagrams until the socket is closed.
func (u *udpSocket) read() {
	defer u.srv.readers.Done()
	w := newWorker(u.srv, u.shard)
	b := new(buffer)
	control := make([]byte, packetInfoSpace)
	for failed := 0; failed < errorsInARow; {
		n, nc, flags, from, err := u.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], control)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // an ICMP error for what was sent before, on some systems
			u.srv.counters.drop(dropListener)
			failed++
			continue
		case truncated(flags):
			u.srv.counters.drop(dropTooLarge)
			continue
		}
		failed = 0
		if c, ok := u.clientOf(from, control[:nc]); ok {
			w.handle(&c, b.bytes[:], headroom, headroom+n)
		} else {
			u.srv.counters.drop(dropListener)
		}
	}
	_ = u.conn.Close()
	u.srv.log.Error("turn: a UDP listener failed and is closed", "listener", u.bound)
}

// clientOf says who sent a datagram, and to which of our addresses.
func (u *udpSocket) clientOf(from netip.AddrPort, control []byte) (client, bool) {
	local := u.bound
	var source []byte
	if u.anyAddr {
		ip, ok := destinationAddr(control)
		if !ok {
			return client{}, false
		}
		local = netip.AddrPortFrom(ip, local.Port())
		source = u.sourceFrom(ip)
	}
	from = unmapped(from)
	return client{
		tuple:  fiveTuple{client: endpointOf(from), local: endpointOf(local), proto: protoUDP},
		remote: from,
		sock:   u,
		source: source,
	}, true
}

// maxSources bounds the control messages kept; a host has fewer addresses than that, or one that routes whole prefixes to itself.
const maxSources = 4096

func (u *udpSocket) sourceFrom(ip netip.Addr) []byte {
	source, ok := u.sources[ip]
	if !ok {
		source = sendFrom(ip)
		if len(u.sources) < maxSources {
			u.sources[ip] = source
		}
	}
	return source
}
