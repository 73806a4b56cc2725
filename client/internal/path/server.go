package path

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"
)

// server is a STUN or TURN server that is asked from the peer's own socket. There can be one allocation on it, since
// one five-tuple has one.
type server struct {
	path    *Path
	address netip.AddrPort
	inbound atomic.Pointer[turn.Client] // Gets what the server sends.
	current atomic.Pointer[relay]
	closed  atomic.Bool
	asked   int             // In which generation, the last time. Guarded by the Path's mu.
	pending <-chan struct{} // Closed when the last allocation has been made, or has failed. Gathering is one at a time.

	mu     sync.Mutex // Guards mapped. Gathering is one at a time.
	mapped netip.AddrPort
}

// serverConn is the socket as pion's client of one server sees it. It is never read: the socket's reader hands over.
type serverConn struct{ s *server }

func (c serverConn) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, os.ErrInvalid }
func (c serverConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	return c.s.path.socket.writeTo(b, c.s.address)
}
func (c serverConn) LocalAddr() net.Addr              { return c.s.path.socket.LocalAddr() }
func (c serverConn) Close() error                     { return nil }
func (c serverConn) SetDeadline(time.Time) error      { return nil }
func (c serverConn) SetReadDeadline(time.Time) error  { return nil }
func (c serverConn) SetWriteDeadline(time.Time) error { return nil }

// handle takes STUN from the server.
func (s *server) handle(b []byte) {
	if c := s.inbound.Load(); c != nil {
		_, _ = c.HandleInbound(b, net.UDPAddrFromAddrPort(s.address))
	}
}

// peerOf returns the peer that a channel leads to.
func (s *server) peerOf(channel uint16) (netip.AddrPort, bool) {
	r := s.current.Load()
	if r == nil {
		return netip.AddrPort{}, false
	}
	a, ok := r.conn.FindAddrByChannelNumber(channel)
	if !ok {
		return netip.AddrPort{}, false
	}
	return canonical(a.(*net.UDPAddr).AddrPort()), true
}

func (p *Path) newClient(conn net.PacketConn, c credential, family turn.RequestedAddressFamily, address string) (*turn.Client, error) {
	return turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: address, TURNServerAddr: address, Conn: conn, Username: c.username, Password: c.password,
		RTO: firstRetry, RequestedAddressFamily: family, LoggerFactory: p.pion,
	})
}

// firstRetry is when the first request to a server is sent again.
const firstRetry = 250 * time.Millisecond

// gather asks the server for the socket's public address, and for a relay where it has credentials. It keeps a relay
// that is still there.
func (s *server) gather(ctx context.Context, c credential, family turn.RequestedAddressFamily, found func(*relay), mapped func(netip.AddrPort)) error {
	if s.pending != nil { // Of the generation before.
		s.ask(s.inbound.Load(), mapped)
		select {
		case <-s.pending:
			s.pending = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	kept, client := s.current.Load(), s.inbound.Load()
	if kept == nil || client == nil {
		var err error
		if client, err = s.renew(c, family); err != nil {
			return err
		}
	}
	answer := s.ask(client, mapped)
	if !c.relays() {
		wait(ctx, answer)
		return nil
	}
	if kept != nil {
		if at := wait(ctx, answer); at.IsValid() && at == s.mappedAddress() && kept.alive(ctx) {
			found(kept)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		kept.close()
		var err error
		if client, err = s.renew(c, family); err != nil {
			return err
		}
		answer = s.ask(client, mapped)
	}
	r, err := s.allocate(ctx, client, c.host)
	if err != nil {
		return err
	}
	found(r)
	s.setMapped(wait(ctx, answer))
	return nil
}

// allocate makes an allocation. It goes on when ctx ends: the server may have made it, and would refuse every other one from the
// same socket for minutes.
func (s *server) allocate(ctx context.Context, client *turn.Client, host string) (*relay, error) {
	var (
		made   *relay
		failed error
		done   = make(chan struct{})
	)
	if !s.path.tasks.Run(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(s.path.ctx, gatherTimeout)
		defer cancel()
		made, failed = s.allocateNow(ctx, client, host)
	}) {
		return nil, net.ErrClosed
	}
	s.pending = done
	select {
	case <-done:
		s.pending = nil
		return made, failed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *server) allocateNow(ctx context.Context, client *turn.Client, host string) (*relay, error) {
	conn, err := client.AllocateWithContext(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.path.newRelay(conn, client, s.address, host, "udp", nil)
	if err != nil {
		return nil, err
	}
	if s.current.Store(r); s.closed.Load() { // Close did not see it.
		s.close()
	}
	return r, nil
}

// renew makes a client for a new allocation. Nobody would hand answers to the former one any more.
func (s *server) renew(c credential, family turn.RequestedAddressFamily) (*turn.Client, error) {
	client, err := s.path.newClient(serverConn{s}, c, family, s.address.String())
	if err != nil {
		return nil, err
	}
	if old := s.inbound.Swap(client); old != nil {
		old.Close()
	}
	return client, nil
}

// ask asks for the socket's public address.
func (s *server) ask(client *turn.Client, mapped func(netip.AddrPort)) <-chan netip.AddrPort {
	answer := make(chan netip.AddrPort, 1)
	if !s.path.tasks.Run(func() {
		var at netip.AddrPort
		if a, err := client.SendBindingRequest(); err == nil {
			at = canonical(a.(*net.UDPAddr).AddrPort())
			mapped(at)
		}
		answer <- at
	}) {
		answer <- netip.AddrPort{}
	}
	return answer
}

func wait(ctx context.Context, answer <-chan netip.AddrPort) (a netip.AddrPort) {
	select {
	case a = <-answer:
	case <-ctx.Done():
	}
	return a
}

func (s *server) mappedAddress() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mapped
}

func (s *server) setMapped(a netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mapped = a
}

func (s *server) close() {
	s.closed.Store(true)
	if r := s.current.Swap(nil); r != nil {
		r.close()
	}
	if c := s.inbound.Swap(nil); c != nil {
		c.Close()
	}
}

// allocation is what pion's relayed connection has beside net.PacketConn.
type allocation interface {
	net.PacketConn
	FindAddrByChannelNumber(uint16) (net.Addr, bool)
	FindChannelNumberByAddr(net.Addr) (uint16, bool)
	IsChannelActive(uint16) bool
}

// relay is an allocation of this side.
type relay struct {
	path       *Path
	conn       allocation
	client     *turn.Client
	server     netip.AddrPort // Where its packets go by the peer's socket. Zero: they go by a connection of its own.
	host       string         // Of the server's URL.
	protocol   string         // udp, tcp, tls or dtls.
	address    netip.AddrPort // The relayed address.
	stream     net.Conn       // The connection of its own.
	generation int            // Of a relay with a connection of its own. Guarded by the Path's mu.
	closing    sync.Once
	ended      atomic.Bool // Also when pion gives the allocation up.

	view     atomic.Pointer[iceConn] // What ICE has of it.
	channels atomic.Pointer[bound]

	mu          sync.Mutex
	permissions map[netip.Addr]*permission
	kept        int // Restarts that it has outlived.
}

// bound is the channel to the peer in use.
type bound struct {
	peer   netip.AddrPort
	number uint16
}

// permission is the state of an IP address at the server.
type permission struct {
	asking, granted bool
	refused         time.Time
}

const (
	// maxPermissions bounds the addresses of one peer, maxRestarts how many restarts a relay outlives. The client of pion keeps
	// every address, with a channel for each port, as long as the relay lasts.
	maxPermissions = 64
	maxRestarts    = 16
	// refusalHolds is how long a refused address is not asked for again.
	refusalHolds = 5 * time.Second
)

func (p *Path) newRelay(conn net.PacketConn, client *turn.Client, server netip.AddrPort, host, protocol string, stream net.Conn) (*relay, error) {
	a, ok := conn.(allocation)
	at, isUDP := conn.LocalAddr().(*net.UDPAddr)
	if !ok || !isUDP {
		_ = conn.Close()
		return nil, errors.New("the TURN client gave no UDP allocation")
	}
	r := &relay{path: p, conn: a, client: client, server: server, host: host, protocol: protocol,
		address: canonical(at.AddrPort()), stream: stream, permissions: map[netip.Addr]*permission{}}
	p.tasks.Run(r.pump)
	return r, nil
}

// pump takes what did not come in a channel of the socket, or came by a connection of the relay's own.
func (r *relay) pump() {
	defer r.ended.Store(true)
	b := make([]byte, bufferSize)
	for {
		n, from, err := r.conn.ReadFrom(b)
		if err != nil {
			return
		}
		peer := canonical(from.(*net.UDPAddr).AddrPort())
		switch data := b[:n]; {
		case isSTUN(data):
			r.deliver(data, peer)
		case isQUIC(data) && r.path.socket.sources.Load().knows(peer):
			r.path.socket.inject(slices.Clone(data))
		}
	}
}

// deliver gives ICE a packet.
func (r *relay) deliver(b []byte, peer netip.AddrPort) {
	if v := r.view.Load(); v != nil {
		v.deliver(b, peer)
	}
}

// channel returns the bound channel to a peer, if the relay's packets go by the peer's socket.
func (r *relay) channel(peer netip.AddrPort) (uint16, bool) {
	if !r.server.IsValid() {
		return 0, false
	}
	c := r.channels.Load()
	if c == nil || c.peer != peer {
		n, ok := r.conn.FindChannelNumberByAddr(net.UDPAddrFromAddrPort(peer))
		if !ok {
			return 0, false
		}
		c = &bound{peer, n}
		r.channels.Store(c)
	}
	return c.number, r.conn.IsChannelActive(c.number)
}

// sendEach sends segments by pion's client, which takes an indication while there is no channel.
func (r *relay) sendEach(b []byte, segment int, peer netip.AddrPort) {
	to := net.UDPAddrFromAddrPort(peer)
	for len(b) > 0 {
		n := min(segment, len(b))
		_, _ = r.conn.WriteTo(b[:n], to)
		b = b[n:]
	}
}

// sendCheck sends a packet of ICE. Nobody waits for the permission that the first one needs.
func (r *relay) sendCheck(b []byte, peer netip.AddrPort) {
	r.mu.Lock()
	p := r.permissions[peer.Addr()]
	if p == nil && len(r.permissions) < maxPermissions {
		p = &permission{}
		r.permissions[peer.Addr()] = p
	}
	if p == nil || p.asking || time.Since(p.refused) < refusalHolds {
		r.mu.Unlock()
		return
	}
	granted := p.granted
	p.asking = !granted
	r.mu.Unlock()
	to := net.UDPAddrFromAddrPort(peer)
	if granted {
		_, _ = r.conn.WriteTo(b, to)
		return
	}
	b = slices.Clone(b)
	r.path.tasks.Run(func() {
		_, err := r.conn.WriteTo(b, to)
		r.mu.Lock()
		defer r.mu.Unlock()
		p.asking, p.granted = false, err == nil
		if err != nil {
			p.refused = time.Now()
		}
	})
}

// aliveTimeout is how long the server may take to say that it still has an allocation.
const aliveTimeout = 1500 * time.Millisecond

// alive tells whether the server still has the allocation.
func (r *relay) alive(ctx context.Context) bool {
	known := r.mayStay()
	if !known.IsValid() || r.ended.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	answer := make(chan error, 1)
	if !r.path.tasks.Run(func() { answer <- r.client.CreatePermission(&net.UDPAddr{IP: known.AsSlice(), Port: 9}) }) {
		return false
	}
	select {
	case err := <-answer:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// mayStay returns an address that the server has granted, if the relay has room for those of another generation.
func (r *relay) mayStay() (known netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept++; r.kept > maxRestarts || len(r.permissions) > maxPermissions/2 {
		return netip.Addr{}
	}
	for a, p := range r.permissions {
		if p.granted {
			known = a
		}
	}
	return known
}

// close ends the allocation, as far as the server hears of it.
func (r *relay) close() {
	r.closing.Do(func() {
		_ = r.conn.Close()
		r.client.Close()
		if r.stream != nil {
			_ = r.stream.Close()
		}
	})
}
