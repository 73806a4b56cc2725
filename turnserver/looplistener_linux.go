//go:build linux && (amd64 || arm64)

package turnserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/pion/stun/v3"
	"golang.org/x/sys/unix"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
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
			} else if b.row != requests || !s.postpone(l, &m) {
				s.serve(w, &m)
			}
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

// postponed is a request that waits until the data that came before it were read.
type postponed struct {
	listener *loopListener
	from     netip.AddrPort
	header   udpio.Header
	b        *buffer
	size     int
	turns    int // that it has waited
}

const (
	mostPostponed  = udpio.BatchSize // beyond, requests are served as they come
	postponedTurns = 8               // that one waits at most: a client's data may never end
)

// postpone keeps a request of s.client for later, if that ends a relay or follows one that does.
func (s *loopListener) postpone(l *loop, m *udpio.Datagram) bool {
	pkt := m.Buf[headroom : headroom+m.Size]
	if len(l.postponed) >= mostPostponed || !endsRelay(pkt) && !slices.ContainsFunc(l.postponed, func(p postponed) bool { return p.from == m.From }) {
		return false
	}
	b := l.srv.buffers.get()
	copy(b.bytes[headroom:], pkt)
	l.postponed = append(l.postponed, postponed{listener: s, from: m.From, header: m.Header, b: b, size: m.Size})
	l.queue(&s.inboxes[data]) // perhaps nobody has told yet that something is there
	return true
}

// servePostponed serves the requests for which no data wait any more.
func (l *loop) servePostponed() {
	if len(l.postponed) == 0 {
		return
	}
	kept := l.postponed[:0]
	for _, p := range l.postponed {
		if p.turns++; p.listener.inboxes[data].queued && p.turns < postponedTurns {
			kept = append(kept, p)
			continue
		}
		m := udpio.Datagram{Buf: p.b.bytes[:], Size: p.size, From: p.from, Header: p.header}
		p.listener.clientOf(&m)
		p.listener.serve(l.worker, &m)
		l.srv.buffers.put(p.b)
	}
	clear(l.postponed[len(kept):])
	l.postponed = kept
	l.worker.flush()
}

// endsRelay reports whether a packet is a Refresh with the lifetime 0.
func endsRelay(pkt []byte) bool {
	if len(pkt) < wire.HeaderSize || binary.BigEndian.Uint16(pkt) != uint16(stun.NewType(stun.MethodRefresh, stun.ClassRequest).Value()) {
		return false
	}
	for rest := pkt[wire.HeaderSize:]; len(rest) >= 8; {
		kind, size := stun.AttrType(binary.BigEndian.Uint16(rest)), int(binary.BigEndian.Uint16(rest[2:]))
		if kind == stun.AttrLifetime {
			return size == 4 && binary.BigEndian.Uint32(rest[4:]) == 0
		}
		rest = rest[min(4+(size+3)&^3, len(rest)):]
	}
	return false
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
