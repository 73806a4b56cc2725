package turnserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// tcpRelay is the relayed socket of an allocation that relays TCP (RFC 6062). It listens for peers, and connections to
// peers leave from its port. Its data never meet the packet path.
type tcpRelay struct {
	// Static after construction.
	srv     *Server
	address *relayAddress
	local   netip.AddrPort
	ln      net.Listener

	// Static after start.
	alloc *allocation

	// Guarded by Server.peers.mu.
	closed  bool
	conns   map[wire.Endpoint]*peerConn // by the peer
	pending int                         // of conns
}

// listenForPeers is the binder of TCP.
func (s *Server) listenForPeers(p *relayPort, addr netip.AddrPort) error {
	// Sockets that share their port would also share it with another process of the same user that does the same.
	probe, err := net.Listen(p.address.network, addr.String())
	if err != nil {
		return err
	}
	_ = probe.Close()
	config := net.ListenConfig{Control: udpio.SharePort}
	config.SetMultipathTCP(false)
	ln, err := config.Listen(context.Background(), p.address.network, addr.String())
	if err != nil {
		return err
	}
	p.tcp = &tcpRelay{srv: s, address: p.address, local: addr, ln: ln, conns: make(map[wire.Endpoint]*peerConn)}
	return nil
}

// tcp returns the socket that relays TCP to and from peers of e's family, or nil if the allocation relays datagrams.
func (a *allocation) tcp(e *wire.Endpoint) *tcpRelay { return a.relayedTo(e).tcp }

// relaysTCP reports whether the allocation relays TCP.
func (a *allocation) relaysTCP() bool { return a.first.tcp != nil }

// start begins to accept peers. The client's stream calls it, which is one of readers, so Close still waits.
func (t *tcpRelay) start(a *allocation) {
	t.alloc = a
	t.srv.readers.Go(func() { front.AcceptAll(t.ln, t.srv.done, t.acceptPeer, t.srv.acceptFailed) })
}

// close ends every connection with a peer, and the client's connections that go with them.
func (t *tcpRelay) close() {
	_ = t.ln.Close() // the goroutine that accepts sees this and returns
	for _, p := range t.srv.peers.closeRelay(t) {
		p.end(noReason)
	}
	t.address.release(t.local.Port())
}

// acceptPeer takes in a connection that a peer has made, and tells the client of it (RFC 6062 §5.3).
func (t *tcpRelay) acceptPeer(conn net.Conn) {
	peer, why := t.judgePeer(wire.EndpointOf(wire.AddrPortOf(conn.RemoteAddr())))
	if why != noReason {
		t.srv.counters.count(why)
		reset(conn)
		return
	}
	switch p, met, result := t.srv.peers.addOrMeet(t, peer, conn, t.srv.now()); result {
	case outcomeDone:
		t.srv.counters.peerConns[peerToClient].Add(1)
		if id, ok := t.srv.peers.offer(p, conn, t.srv.now()); ok {
			t.announce(id, peer)
		}
	case outcomeFull:
		t.srv.counters.count(peerTooMany)
		reset(conn)
	case outcomeConflict:
		if !met { // one that met is announced by the answer to the client's Connect
			reset(conn)
		}
	default: // the allocation has just ended
		reset(conn)
	}
}

// reset closes a connection that nobody will have. It resets it, so that a flood leaves nothing behind in TIME_WAIT.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// judgePeer returns the address by which the client knows a peer that has connected, or why the peer may not connect. A
// peer on this host must be a relayed address. The client has permitted either its external or its local form.
func (t *tcpRelay) judgePeer(from wire.Endpoint) (wire.Endpoint, reason) {
	d, now := destinationAmong(t.srv.relays.Load().tcp, from), t.srv.now()
	if !d.reaches() {
		return from, peerOwnHost
	}
	if d.own != nil {
		if external := (wire.Endpoint{IP: d.own.external.As16(), Port: from.Port}); t.alloc.permits(external.IP, now) {
			return external, noReason
		}
	}
	if !t.alloc.permits(from.IP, now) {
		return from, peerNoPermission
	}
	return from, noReason
}

// announce sends a ConnectionAttempt indication. If the client does not read it, nobody will claim the connection.
func (t *tcpRelay) announce(id connectionID, peer wire.Endpoint) {
	w := t.srv.workers.get(t.alloc.shard, 0)
	defer t.srv.workers.put(w)
	m := &w.res
	m.Reset()
	m.Type = stun.NewType(stun.MethodConnectionAttempt, stun.ClassIndication)
	m.TransactionID = stun.NewTransactionID()
	m.WriteHeader()
	addXORAddress(m, stun.AttrXORPeerAddress, peer)
	m.Add(stun.AttrConnectionID, id[:])
	t.alloc.home.Load().deliver(w, m.Raw, notRelayed)
	w.flush()
}

// dial connects to a peer from the relayed address. It reaches a relayed address of this node by its local form, since
// clouds do not hairpin 1:1 NAT, and only while an allocation holds it.
func (t *tcpRelay) dial(ctx context.Context, to *destination) (*net.TCPConn, error) {
	dialer := net.Dialer{Control: udpio.SharePort, Timeout: t.srv.cfg.Limits.ConnectTimeout}
	if to.own == nil {
		return dialer.DialTCP(ctx, t.address.network, t.local, to.addr)
	}
	before := to.own.allocationAt(to.endpoint.Port)
	conn, err := dialer.DialTCP(ctx, t.address.network, t.local, to.addr)
	if err == nil && (before == nil || to.own.allocationAt(to.endpoint.Port) != before) {
		reset(conn)
		return nil, errRelayGone
	}
	return conn, err
}

// errRelayGone means that the peer is a relayed address of this node, and has ended.
var errRelayGone = errors.New("the relayed address has ended")

// dialFailure returns the reason to count when a peer cannot be reached.
func dialFailure(err error) reason {
	if isTimeout(err) {
		return peerTimeout
	}
	return peerFailed
}

// bindTime is how long a connection with a peer waits for the client to take it over (RFC 6062 §4.3, §5.3).
const bindTime = 30 * time.Second
