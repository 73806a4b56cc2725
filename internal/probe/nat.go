package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"example.org/turnpike/signal/wire"
)

// nat asks the first STUN server over UDP.
func (r *run) nat(ctx context.Context, servers []wire.ICEServer) {
	for _, server := range servers {
		for _, raw := range server.URLs {
			uri, err := stun.ParseURI(raw)
			if err != nil || uri.Scheme != stun.SchemeTypeSTUN || uri.Proto != stun.ProtoTypeUDP {
				continue
			}
			if f, ok := NAT(ctx, r.Timeout, raw); ok {
				r.report(f)
			}
			return
		}
	}
}

// NAT finds out what kind of NAT this machine is behind, if the STUN server can tell (RFC 5780). There is no finding,
// and ok is false, if it cannot.
func NAT(ctx context.Context, timeout time.Duration, raw string) (f Finding, ok bool) {
	uri, err := stun.ParseURI(raw)
	if err != nil {
		return Finding{}, false
	}
	p, err := newNATProbe(ctx, iceTarget{uri: uri})
	if err != nil {
		return Finding{}, false // the finding about this URL says why
	}
	return step(ctx, timeout, "nat", raw, func(ctx context.Context, f *Finding) error {
		kind, err := p.run(ctx)
		f.Detail = kind.String()
		return err
	}), true
}

// dependence says on what a NAT's mapping or filtering depends (RFC 4787 §4.1, §5).
type dependence int

const (
	endpointIndependent dependence = iota
	addressDependent
	addressAndPortDependent
)

func (d dependence) String() string {
	return [...]string{"endpoint-independent", "address-dependent", "address and port-dependent"}[d]
}

// kind is the same in the words of a [Network].
func (d dependence) kind() DependenceKind {
	return [...]DependenceKind{EndpointIndependent, AddressDependent, AddressAndPortDependent}[d]
}

// natKind is what stands between this machine and a server.
type natKind struct {
	translates         bool
	mapping, filtering dependence
}

// String says it in the words of RFC 4787, and what it means for a call.
func (k natKind) String() string {
	words := "no NAT"
	if k.translates {
		words = k.mapping.String() + " mapping"
	}
	return words + ", " + k.filtering.String() + " filtering: " + k.meaning()
}

func (k natKind) meaning() string {
	switch {
	case !k.translates && k.filtering == endpointIndependent:
		return "anybody reaches this machine directly"
	case !k.translates:
		return "a firewall lets in only answers, and calls send first, so direct paths work"
	case k.mapping != endpointIndependent:
		return "direct paths work only to peers without a NAT, or with a NAT that ignores ports when it filters; other calls are relayed"
	case k.filtering == addressAndPortDependent:
		return "direct paths work, except to peers behind a NAT whose mapping depends on the destination; those calls are relayed"
	default:
		return "direct paths work, whatever NAT the other side has"
	}
}

// natProbe is a server that offers discovery. server is the address that was asked, other is the other address and port
// that the server names.
type natProbe struct {
	server, other netip.AddrPort
}

// newNATProbe asks a server whether it offers discovery.
func newNATProbe(ctx context.Context, target iceTarget) (*natProbe, error) {
	ctx, cancel := context.WithTimeout(ctx, natPatience)
	defer cancel()
	server, err := target.resolve(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newNATSocket(ctx, server)
	if err != nil {
		return nil, err
	}
	defer s.close()
	answers := s.ask(ctx, natQuestion{to: server})
	if answers[0] == nil {
		return nil, errors.New("no answer")
	}
	if !answers[0].other.IsValid() {
		return nil, errors.New("the server does not offer discovery")
	}
	return &natProbe{server, answers[0].other}, nil
}

// run does the tests of RFC 5780 §4.3 and §4.4, each from a fresh socket.
func (p *natProbe) run(ctx context.Context) (kind natKind, err error) {
	if kind.translates, kind.mapping, err = p.mapping(ctx); err == nil {
		kind.filtering, err = p.filtering(ctx)
	}
	return kind, err
}

// mapping sends from one socket to three of the server's addresses, and compares what they saw.
func (p *natProbe) mapping(ctx context.Context) (translates bool, d dependence, err error) {
	s, err := newNATSocket(ctx, p.server)
	if err != nil {
		return false, 0, err
	}
	defer s.close()
	var seen [3]netip.AddrPort
	for i, to := range []netip.AddrPort{p.server, netip.AddrPortFrom(p.other.Addr(), p.server.Port()), p.other} {
		answer := s.ask(ctx, natQuestion{to: to})[0]
		if answer == nil {
			return false, 0, fmt.Errorf("no answer from %v, which the server says is its other address; "+
				"open it in the firewall of the server and of its provider, and see that turn.external_addresses has what the world sees", to)
		}
		seen[i] = answer.mapped
	}
	switch {
	case seen[1] != seen[2]:
		d = addressAndPortDependent
	case seen[0] != seen[1]:
		d = addressDependent
	}
	return seen[0] != s.local, d, nil
}

// filtering sends to one of the server's addresses, and sees from which of the others an answer arrives.
func (p *natProbe) filtering(ctx context.Context) (dependence, error) {
	s, err := newNATSocket(ctx, p.server)
	if err != nil {
		return 0, err
	}
	defer s.close()
	otherPort := netip.AddrPortFrom(p.server.Addr(), p.other.Port())
	answers := s.ask(ctx, // all at once, because a filtered answer costs the whole wait
		natQuestion{to: p.server, from: p.other, flags: 6, enough: true},
		natQuestion{to: p.server, from: otherPort, flags: 2},
		natQuestion{to: p.server})
	switch {
	case answers[0] != nil:
		return endpointIndependent, nil
	case ctx.Err() != nil:
		return 0, errors.New("the time was too short to wait for filtered answers; give --timeout more")
	case answers[1] != nil:
		return addressDependent, nil
	case answers[2] != nil:
		return addressAndPortDependent, nil
	default:
		return 0, fmt.Errorf("no answer from %v, which has answered before; try again", p.server)
	}
}

const (
	natPatience = 1500 * time.Millisecond // how long to wait for an answer until it counts as filtered
	natRetry    = 300 * time.Millisecond  // between two tries, because UDP loses packets
)

// natSocket is a socket with a known local address. It receives from everybody.
type natSocket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	close func()
}

// newNATSocket opens a socket that can reach server. The end of ctx closes it.
func newNATSocket(ctx context.Context, server netip.AddrPort) (*natSocket, error) {
	route, err := new(net.Dialer).DialContext(ctx, "udp", server.String()) // sends nothing: it asks the system for the source address
	if err != nil {
		return nil, err
	}
	source := *route.LocalAddr().(*net.UDPAddr)
	_ = route.Close()
	source.Port = 0
	conn, err := net.ListenUDP("udp", &source)
	if err != nil {
		return nil, err
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &natSocket{conn, netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port()), func() {
		stop()
		_ = conn.Close()
	}}, nil
}

// natQuestion is a Binding request.
type natQuestion struct {
	to     netip.AddrPort
	from   netip.AddrPort // where the answer must come from; not valid: to
	flags  byte           // of CHANGE-REQUEST
	enough bool           // its answer ends the wait for the others
	size   int            // of the request; what is longer than it need be is filled
}

// request makes the Binding request.
func (q natQuestion) request() *stun.Message {
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if q.flags != 0 {
		m.Add(stun.AttrChangeRequest, []byte{0, 0, 0, q.flags})
	}
	if room := q.size - len(m.Raw) - 4; room >= 0 {
		m.Add(mtuFiller, make([]byte, room&^3))
	}
	return m
}

// natAnswer is a server's answer.
type natAnswer struct {
	mapped, other netip.AddrPort
	rtt           time.Duration // since the request was sent last
}

// ask repeats requests until all are answered or natPatience is over. The answer to a question that got none is nil.
func (s *natSocket) ask(ctx context.Context, questions ...natQuestion) []*natAnswer {
	return s.askFor(ctx, natPatience, questions...)
}

// askFor is ask with another patience.
func (s *natSocket) askFor(ctx context.Context, patience time.Duration, questions ...natQuestion) []*natAnswer {
	requests := make([]*stun.Message, len(questions))
	for i, q := range questions {
		requests[i] = q.request()
	}
	answers := make([]*natAnswer, len(questions))
	missing, end := len(questions), time.Now().Add(patience)
	for ctx.Err() == nil && missing > 0 && time.Now().Before(end) {
		for i, q := range questions {
			if answers[i] == nil {
				_, _ = s.conn.WriteToUDPAddrPort(requests[i].Raw, q.to) // a request that cannot be sent gets no answer
			}
		}
		sent := time.Now()
		retry := sent.Add(natRetry)
		if retry.After(end) {
			retry = end
		}
		for ctx.Err() == nil && missing > 0 && time.Now().Before(retry) {
			i, answer := s.receive(retry, questions, requests)
			if answer == nil || answers[i] != nil {
				continue
			}
			answer.rtt = time.Since(sent)
			answers[i] = answer
			if missing--; questions[i].enough {
				return answers
			}
		}
	}
	return answers
}

// receive reads one datagram, if one comes before a time, and tells which question it answers. The answer is nil if
// none.
func (s *natSocket) receive(until time.Time, questions []natQuestion, requests []*stun.Message) (int, *natAnswer) {
	_ = s.conn.SetReadDeadline(until)
	buf := make([]byte, 1500)
	n, from, err := s.conn.ReadFromUDPAddrPort(buf)
	m := &stun.Message{Raw: buf[:n]}
	if err != nil || m.Decode() != nil || m.Type != stun.BindingSuccess {
		return 0, nil
	}
	for i, q := range questions {
		want := q.to
		if q.from.IsValid() {
			want = q.from
		}
		var mapped stun.XORMappedAddress
		if requests[i].TransactionID != m.TransactionID || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != want || mapped.GetFrom(m) != nil {
			continue
		}
		answer := &natAnswer{mapped: addrPortFrom(mapped.IP, mapped.Port)}
		var other stun.OtherAddress
		if other.GetFrom(m) == nil {
			answer.other = addrPortFrom(other.IP, other.Port)
		}
		return i, answer
	}
	return 0, nil
}

func addrPortFrom(ip net.IP, port int) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port))
}
