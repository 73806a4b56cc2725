//go:build linux && (amd64 || arm64)

package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"turnpike/turnserver/udpio"
	"turnpike/turnserver/wire"
)

// loopListener is what a loop has of one listener: a socket, or one for each row. Messages to clients leave from the first.
type loopListener struct {
	// Static once the loop runs.
	fd      int
	inboxes []inbox
	address boundAddress

	// Owned by run.
	client   client     // sender of the last datagram,
	clientTo netip.Addr // and its destination
}

// open opens the loop's socket of a listener, and returns its address.
func (l *loop) open(addr netip.AddrPort, anyAddr bool) (netip.AddrPort, error) {
	s := &loopListener{}
	bound, err := l.addSocket(s, addr, anyAddr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	s.fd, s.address = s.inboxes[0].fd, newBoundAddress(bound, anyAddr)
	l.listeners = append(l.listeners, s)
	return bound, nil
}

// addSocket opens a socket of a listener, and returns its address.
func (l *loop) addSocket(s *loopListener, addr netip.AddrPort, anyAddr bool) (netip.AddrPort, error) {
	fd, roomy, err := udpio.OpenShared(addr, anyAddr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !roomy {
		l.srv.hintBuffers()
	}
	bound, err := udpio.BoundTo(fd)
	if err == nil {
		err = l.watch(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return netip.AddrPort{}, err
	}
	s.inboxes = append(s.inboxes, inbox{fd: fd, listener: s, row: row(len(s.inboxes))})
	return bound, nil
}

// steer gives the listener that each loop has opened last a socket for each row, and lets the kernel choose between them.
// On a system that cannot, the first socket takes everything, and calls come before strangers only within a batch.
func steer(loops []*loop) error {
	first := loops[0].listeners[len(loops[0].listeners)-1]
	addr := &first.address
	if err := udpio.Steer(first.fd, addr.bound.Addr().Is4(), len(loops), rand.Uint32()); err != nil {
		loops[0].srv.log.Info("turn: the system does not tell calls from strangers, so a flood of requests may disturb calls", "error", err)
		return nil
	}
	for range rows - 1 {
		for _, l := range loops {
			if _, err := l.addSocket(l.listeners[len(l.listeners)-1], addr.bound, addr.anyAddr); err != nil {
				return err
			}
		}
	}
	return nil
}

// bound lists the sockets of listeners by their addresses.
func (l *loop) bound() map[netip.AddrPort]boundSocket {
	out := make(map[netip.AddrPort]boundSocket, len(l.listeners))
	for _, s := range l.listeners {
		out[s.address.bound] = boundSocket{&s.address, s}
	}
	return out
}

// strangersAmong is how many requests of strangers the loop serves of a full batch of a socket that is for clients with an
// allocation, if there are messages of theirs in it, or if it was full for floodedAfter batches. It drops the others: the
// sooner it comes to the next batch, the fewer messages of such clients are lost.
const (
	strangersAmong = udpio.BatchSize / 8
	floodedAfter   = 8
)

// strangersLimit is how many requests of strangers the loop serves of a batch. among says that there are messages of
// clients with an allocation in it.
func (l *loop) strangersLimit(b *inbox, more, among bool) int {
	switch {
	case b.row == strangers:
		return udpio.BatchSize
	case b.row == requests && len(l.waiting[data]) > 0:
		return strangersAmid
	case more && (among || b.full >= floodedAfter):
		return strangersAmong
	}
	return udpio.BatchSize
}

// read serves up to most datagrams from clients, and reports whether there may be more. Requests of clients that have no
// allocation come last.
func (s *loopListener) read(l *loop, b *inbox, most int) bool {
	w := l.worker
	n, more := l.in.ReadUpTo(b.fd, most)
	var last [udpio.BatchSize]uint8
	waiting := last[:0]
	for i := range n {
		m := l.in.Message(i)
		switch {
		case m.Truncated:
			w.counters.count(dropTooLarge)
		case s.address.anyAddr && !m.Header.To.IsValid():
			w.counters.count(dropListener)
		default:
			if s.clientOf(&m); s.isStranger(l, &m) {
				waiting = append(waiting, uint8(i))
				continue
			}
			s.serve(w, &m)
		}
	}
	among := len(waiting) < n
	if among {
		w.flush()
	}
	if b.full++; !more {
		b.full = 0
	}
	if limit := l.strangersLimit(b, more, among); len(waiting) > limit {
		for range waiting[limit:] {
			w.counters.count(dropStrangers)
		}
		waiting = waiting[:limit]
	}
	for _, i := range waiting {
		m := l.in.Message(int(i))
		s.clientOf(&m)
		s.serve(w, &m)
	}
	w.flush()
	return more
}

// serve serves a datagram of s.client.
func (s *loopListener) serve(w *worker, m *udpio.Datagram) {
	w.header = m.Header
	w.handle(&s.client, m.Buf, headroom, headroom+m.Size)
}

// isStranger reports whether a datagram is a request of s.client, and s.client has no allocation.
func (s *loopListener) isStranger(l *loop, m *udpio.Datagram) bool {
	pkt := m.Buf[headroom : headroom+m.Size]
	return len(pkt) >= wire.HeaderSize && !wire.IsChannelData(pkt[0]) && binary.BigEndian.Uint16(pkt)&wire.ClassMask == 0 &&
		l.shard.find(s.client.tuple) == nil
}

// clientOf sets s.client to the sender of m.
func (s *loopListener) clientOf(m *udpio.Datagram) {
	if m.From == s.client.remote && m.Header.To == s.clientTo {
		return // the same as last time: packets come in bursts
	}
	to := m.Header.To
	if !s.address.anyAddr {
		to = s.address.bound.Addr()
	}
	s.client, s.clientTo = s.address.client(s, m.From, to), m.Header.To
}

// sendTo implements clientSocket. w may be that of another loop or of a stream, for packets from one allocation to
// another.
func (s *loopListener) sendTo(w *worker, c *client, b []byte, size int) {
	header := w.header
	if size == notRelayed {
		header = udpio.Header{} // nothing is relayed
	}
	w.out.Add(udpio.Outgoing{FD: s.fd, To: c.remote, Source: c.source, Header: header, Size: size, Class: classOf(wire.UDP, peerToClient)}, b)
}
