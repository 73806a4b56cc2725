package turnserver

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// udpSocket is one UDP socket that clients send to, with the shard of those clients.
type udpSocket struct {
	// Static after construction.
	srv     *Server
	shard   *shard
	conn    *net.UDPConn
	address boundAddress
	dtls    *dtlsListener // serves the datagrams, instead of a worker; nil on udp://
}

// sendTo implements clientSocket.
func (u *udpSocket) sendTo(w *worker, c *client, b []byte, size int) {
	if u.write(w.counters, c, b) {
		w.counters.countSent(wire.UDP, size)
	}
}

// write sends a datagram at once, and counts it if it cannot be sent.
func (u *udpSocket) write(count *counters, c *client, b []byte) bool {
	if _, _, err := u.conn.WriteMsgUDPAddrPort(b, c.source, c.remote); err != nil {
		count.count(sendFailure(err, len(b)))
		return false
	}
	return true
}

// read serves datagrams until the socket is closed.
func (u *udpSocket) read() {
	defer u.srv.readers.Done()
	w := u.srv.workers.get(u.shard, wire.UDP)
	defer u.srv.workers.put(w)
	b := new(buffer)
	control := make([]byte, udpio.PacketInfoSpace())
	for failed := 0; ; {
		n, nc, flags, from, err := u.conn.ReadMsgUDPAddrPort(b.bytes[headroom:headroom+maxDatagram], control)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // on some systems, an ICMP error for an earlier datagram
			u.srv.counters.count(dropListener)
			if failed++; failed >= errorsInARow {
				u.pause(failed == errorsInARow, err)
			}
			continue
		case udpio.Truncated(flags):
			u.srv.counters.count(dropTooLarge)
			continue
		}
		if failed >= errorsInARow {
			u.srv.faults.stuck.Add(-1)
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
}

// readPause is how long a listener rests that cannot be read.
const readPause = 100 * time.Millisecond

// pause lets some time pass before the listener is read again. At the first time the server stops being ready.
func (u *udpSocket) pause(first bool, err error) {
	if first {
		u.srv.faults.stuck.Add(1)
		u.srv.counters.count(failedListener)
		u.srv.warnFull("turn: a UDP listener cannot be read; it goes on trying", "listener", u.address.bound, "error", err)
	}
	select {
	case <-time.After(readPause):
	case <-u.srv.done:
	}
}

// boundAddress is the address that a listener's socket is bound to. Its methods belong to the socket's reader.
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

// client returns who sent a datagram to sock, where it came to one of this host's addresses.
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

// maxSources bounds the control messages that are kept. Only a host that routes whole prefixes to itself has more
// addresses.
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
