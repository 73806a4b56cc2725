package path

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// socketBuffer is for one peer at the speed of a local network. The system may give less.
	socketBuffer = 4 << 20
	// maxDatagram bounds QUIC's own search for the path MTU, so that what fits a direct path also fits a relayed one: with
	// ChannelData's header over IPv6 it fills 1,492 bytes, which PPPoE takes too.
	maxDatagram = 1440
	// maxInjected bounds the packets that wait for QUIC after they came by another way than the socket.
	maxInjected = 512
	// silence is how long nothing must have come before what is sent is kept for a path that works again.
	silence = 500 * time.Millisecond
	// maxKept is enough for the two probes of each of a Link's connections, keptFor as long as a connection lives.
	maxKept = 16
	keptFor = 75 * time.Second
	// bufferSize takes a whole batch of segments with a header each.
	bufferSize = 64 << 10
)

// virtualPeer is the peer's address as QUIC sees it, for the life of the Link: which path is used is not QUIC's business.
// It lies in the range that is discarded everywhere (RFC 6666).
var virtualPeer = net.UDPAddr{IP: net.IP{0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, Port: 1}

// Peer returns the address that QUIC dials.
func Peer() *net.UDPAddr { return &virtualPeer }

// route is where packets go. It never changes: another one takes its place.
type route struct {
	remote netip.AddrPort
	relay  *relay // nil: straight to remote
}

// Socket is the UDP socket of one peer as QUIC sees it. QUIC's goroutine reads it, and hands on what is of others.
type Socket struct {
	udp     *net.UDPConn
	v6      bool      // The socket is of IPv6, and takes IPv4 as mapped addresses.
	buffers sync.Pool // *[]byte, for ChannelData
	oobs    sync.Pool // *[]byte, for control messages
	local   net.UDPAddr
	stun    func(k kind, b []byte, srv *server, from netip.AddrPort) // Must not block, nor keep b.

	sources atomic.Pointer[sources]
	route   atomic.Pointer[route]
	heard   atomic.Int64 // When QUIC last had a packet, in Unix nanoseconds.
	raw     atomic.Bool  // QUIC may see the system's socket.
	expired atomic.Bool  // QUIC's own read deadline has passed.

	reader reader // Owned by QUIC's reading goroutine.

	mu       sync.Mutex
	injected [][]byte
	kept     []kept // What was sent into silence, oldest first.
}

type kept struct {
	at int64 // Unix nanoseconds
	b  []byte
}

func listen(stun func(kind, []byte, *server, netip.AddrPort)) (*Socket, error) {
	udp, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	// The system cuts these to what it allows.
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	at := udp.LocalAddr().(*net.UDPAddr)
	s := &Socket{udp: udp, v6: at.IP.To4() == nil, stun: stun}
	// A wildcard address would make QUIC write from the address that a packet came to, which may have gone since.
	s.local = net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: at.Port}
	s.buffers.New = func() any { b := make([]byte, 0, bufferSize); return &b }
	s.oobs.New = func() any { b := make([]byte, 0, 64); return &b }
	s.sources.Store(&sources{})
	if err := s.reader.init(s); err != nil {
		_ = udp.Close()
		return nil, err
	}
	return s, nil
}

func (s *Socket) port() int { return s.local.Port }

// address is a as the socket writes it.
func (s *Socket) address(a netip.AddrPort) netip.AddrPort {
	if s.v6 && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

// writeTo sends one packet of ICE or TURN.
func (s *Socket) writeTo(b []byte, a netip.AddrPort) (int, error) {
	return s.udp.WriteToUDPAddrPort(b, s.address(a))
}

// judge returns QUIC's packet in b. Everything else goes where it belongs.
func (s *Socket) judge(from netip.AddrPort, b []byte) (data []byte, ok bool) {
	k, data, srv, peer := s.sources.Load().classify(from, b)
	switch k {
	case toQUIC:
		return data, true
	case toICE, toServer:
		s.stun(k, data, srv, peer)
	}
	return nil, false
}

// inject gives QUIC a packet that did not come by the socket. It keeps b.
func (s *Socket) inject(b []byte) {
	s.mu.Lock()
	full := len(s.injected) >= maxInjected
	if !full {
		s.injected = append(s.injected, b)
	}
	first := len(s.injected) == 1
	s.mu.Unlock()
	if !full && first {
		_ = s.udp.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}

// takeInjected moves injected packets to the buffers that into returns, until that returns nil.
func (s *Socket) takeInjected(into func(b []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.injected) && into(s.injected[n]) {
		n++
	}
	if n > 0 {
		rest := copy(s.injected, s.injected[n:])
		clear(s.injected[rest:])
		s.injected = s.injected[:rest]
	}
}

// awake says what follows a failed read: nil to read again.
func (s *Socket) awake(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		if s.expired.Load() {
			return os.ErrDeadlineExceeded
		}
		_ = s.udp.SetReadDeadline(time.Time{})
		if s.expired.Load() { // It passed while we took it back.
			return os.ErrDeadlineExceeded
		}
	}
	// Everything else is of one packet: an ICMP error, or a datagram that did not fit.
	return nil
}

// keep remembers a packet that was sent though nothing is heard, in case nobody got it.
func (s *Socket) keep(b []byte) {
	now := time.Now().UnixNano()
	if now-s.heard.Load() < int64(silence) {
		return
	}
	k := kept{now, append([]byte(nil), b...)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == maxKept {
		copy(s.kept, s.kept[1:])
		s.kept = s.kept[:maxKept-1]
	}
	s.kept = append(s.kept, k)
}

// setRoute sends everything by another way from now on.
func (s *Socket) setRoute(r *route) {
	old := s.route.Swap(r)
	if old != nil && r != nil && *old != *r {
		allowFragments(s.udp)
	}
	s.sendKept()
}

// sendKept sends again what was sent since something was last heard. QUIC by itself would wait for as long again as the
// silence has lasted, before it sent another probe.
func (s *Socket) sendKept() {
	since := s.heard.Load()
	s.mu.Lock()
	var again [][]byte
	for _, k := range s.kept {
		if k.at > since && time.Now().UnixNano()-k.at < int64(keptFor) {
			again = append(again, k.b)
		}
	}
	if len(again) == 0 {
		s.kept = nil
	}
	s.mu.Unlock()
	for _, b := range again {
		_ = s.forward(b, len(b), 0)
	}
}

// send sends one packet, or several of the length segment whose last may be shorter.
func (s *Socket) send(b []byte, segment int, ecn byte) error {
	if segment > maxDatagram {
		return syscall.EMSGSIZE
	}
	s.keep(b[:min(segment, len(b))])
	return s.forward(b, segment, ecn)
}

func (s *Socket) forward(b []byte, segment int, ecn byte) error {
	r := s.route.Load()
	if r == nil {
		return nil
	}
	if r.relay == nil {
		return s.sendTo(b, segment, ecn, r.remote)
	}
	channel, ok := r.relay.channel(r.remote)
	if !ok {
		r.relay.sendEach(b, segment, r.remote)
		return nil
	}
	p := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(p)
	o := appendChannelData((*p)[:0], channel, b, segment)
	*p = o[:0]
	return s.sendTo(o, segment+channelHeader, ecn, r.relay.server)
}

// sendSingly sends segments one by one.
func (s *Socket) sendSingly(b []byte, segment int, to netip.AddrPort) error {
	for len(b) > 0 {
		n := min(segment, len(b))
		if _, err := s.udp.WriteToUDPAddrPort(b[:n], to); errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EMSGSIZE) {
			return err
		}
		b = b[n:]
	}
	return nil
}

// The rest of net.PacketConn, for QUIC.

// WriteTo sends one packet of QUIC. That a packet was lost on the way is not an error: a connection outlives that.
func (s *Socket) WriteTo(b []byte, _ net.Addr) (int, error) {
	if err := s.send(b, len(b), 0); err != nil {
		return 0, err
	}
	return len(b), nil
}

// LocalAddr is a stand-in.
func (s *Socket) LocalAddr() net.Addr { return &s.local }

// Close does nothing: the Path closes the socket.
func (s *Socket) Close() error { return nil }

// SetReadDeadline is used by QUIC to end its reading, or to take that back.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.expired.Store(!t.IsZero() && !t.After(time.Now()))
	return s.udp.SetReadDeadline(t)
}

// SetDeadline is SetReadDeadline.
func (s *Socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing does not block.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer does nothing: the buffers are set.
func (s *Socket) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does nothing, but that QUIC may have the system's socket now. Before that it would look at the size of
// the buffers, and complain on standard error.
func (s *Socket) SetWriteBuffer(int) error {
	s.raw.Store(true)
	return nil
}

// SyscallConn is for QUIC to set options.
func (s *Socket) SyscallConn() (syscall.RawConn, error) {
	if !s.raw.Load() {
		return nil, errors.ErrUnsupported
	}
	return s.udp.SyscallConn()
}
