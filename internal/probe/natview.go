package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"example.org/turnpike/auth"
)

// What a NAT does, in order of what the server offers for finding out:
//
//	discovery   a second address and port that answer (RFC 5780): everything
//	relay       a relayed address is another port of the server: it sees where our packets come from, and sends us some that nobody
//	            asked for. It needs a way in
//	servers     other STUN addresses: where our packets come from
//
// One address with two ports cannot tell an endpoint-independent NAT from an address-dependent one. Then the kind is port-independent.

// natView looks at the NAT before one family's address of the server.
type natView struct {
	timeout time.Duration
	server  netip.AddrPort   // answers Binding requests over UDP
	others  []netip.AddrPort // other addresses that may
	relay   *iceTarget       // over UDP, with a credential; nil: none
	noRelay string           // why not
}

// look fills in what the NAT does.
func (v *natView) look(ctx context.Context, f *Family) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	if v.discover(ctx, f) {
		return
	}
	v.compare(ctx, f)
	if v.relay == nil {
		f.Filtering.Why = v.noRelay
		if f.Mapping.Kind == DependenceUnknown {
			f.Mapping.Why = f.Filtering.Why
		}
		return
	}
	mapping, filtering, err := v.byRelay(ctx)
	if err != nil {
		f.Filtering.Why = oneLine(err.Error())
		if f.Mapping.Kind == DependenceUnknown {
			f.Mapping.Why = f.Filtering.Why
		}
		return
	}
	f.Filtering = Dependence{Kind: filtering, By: "relay"}
	if filtering == DependenceUnknown {
		f.Filtering = Dependence{Why: "no packet of a relay arrives here, also where this machine has sent to"}
	}
	if f.Mapping.Kind == DependenceUnknown || f.Mapping.Kind == PortIndependent {
		f.Mapping = Dependence{Kind: mapping, By: "relay"}
	}
}

// discover does the tests of RFC 5780, and reports whether the server offers them.
func (v *natView) discover(ctx context.Context, f *Family) bool {
	s, err := newNATSocket(ctx, v.server)
	if err != nil {
		return false
	}
	answer := s.ask(ctx, natQuestion{to: v.server})[0]
	s.close()
	if answer == nil || !answer.other.IsValid() {
		return false
	}
	p := &natProbe{v.server, answer.other}
	_, mapping, err := p.mapping(ctx)
	if err != nil {
		return false // the other address is closed, as operators learn by turnpike check
	}
	f.Mapping = Dependence{Kind: mapping.kind(), By: "discovery"}
	filtering, err := p.filtering(ctx)
	if err != nil {
		f.Filtering = Dependence{Why: oneLine(err.Error())}
		return true
	}
	f.Filtering = Dependence{Kind: filtering.kind(), By: "discovery"}
	return true
}

// compare asks all known addresses from one socket.
func (v *natView) compare(ctx context.Context, f *Family) {
	if len(v.others) == 0 {
		return
	}
	s, err := newNATSocket(ctx, v.server)
	if err != nil {
		return
	}
	defer s.close()
	asked := append([]netip.AddrPort{v.server}, v.others...)
	questions := make([]natQuestion, len(asked))
	for i, to := range asked {
		questions[i].to = to
	}
	seen := map[netip.AddrPort]netip.AddrPort{}
	for i, a := range s.ask(ctx, questions...) {
		if a != nil {
			seen[asked[i]] = a.mapped
		}
	}
	if kind := compareMappings(seen); kind != DependenceUnknown {
		f.Mapping = Dependence{Kind: kind, By: "servers"}
	}
}

// compareMappings judges by where packets from one socket came from, by their destination.
func compareMappings(seen map[netip.AddrPort]netip.AddrPort) DependenceKind {
	byAddress := map[netip.Addr]netip.AddrPort{}
	samePort, differs, ports := true, false, false
	for to, mapped := range seen {
		if first, ok := byAddress[to.Addr()]; ok {
			ports = true
			samePort = samePort && first == mapped
		}
		for _, other := range seen {
			differs = differs || other != mapped
		}
		byAddress[to.Addr()] = mapped
	}
	switch {
	case len(seen) < 2:
		return DependenceUnknown
	case !samePort:
		return AddressAndPortDependent
	case len(byAddress) == 1:
		return PortIndependent
	case !differs:
		return EndpointIndependent
	case ports:
		return AddressDependent
	}
	return DestinationDependent
}

// byRelay finds out what the NAT does with the help of a relayed address. The kind of filtering stays unknown if nothing that the relay sends
// gets here.
func (v *natView) byRelay(ctx context.Context) (mapping, filtering DependenceKind, err error) {
	var socks [2]*natSocket
	var mapped [2]netip.AddrPort
	for i := range socks {
		if socks[i], mapped[i], err = v.mappedSocket(ctx); err != nil {
			return "", "", err
		}
		defer socks[i].close()
	}
	untouched, talking := socks[0], socks[1] // the former sends nothing to the relayed address
	self := mapped[1].Addr()
	if self == v.server.Addr() {
		return "", "", errors.New("the server is on this machine")
	}
	relayed, done, err := v.relayFor(ctx, self)
	if err != nil {
		return "", "", err
	}
	defer done()
	relayAt, err := addrPortOf(relayed.LocalAddr())
	if err != nil {
		return "", "", err
	}
	other := relayAt.Addr() != v.server.Addr()
	passed := v.passes(untouched.conn, relayAt, func(b []byte) error { // nobody inside has sent to the relayed address so far
		_, err := relayed.WriteTo(b, net.UDPAddrFromAddrPort(mapped[0]))
		return err
	})
	seen, err := v.seenBy(ctx, relayed, self, func(b []byte) error { _, err := talking.conn.WriteToUDPAddrPort(b, relayAt); return err })
	if err != nil {
		return "", "", err
	}
	mapping = relayMapping(seen == mapped[1], other)
	back := v.passes(talking.conn, relayAt, func(b []byte) error { _, err := relayed.WriteTo(b, net.UDPAddrFromAddrPort(seen)); return err })
	if passed || back && mapped[0].Addr() == self { // else the relay does not reach the untouched socket, whatever the NAT lets in
		filtering = relayFiltering(passed, other)
	}
	return mapping, filtering, nil
}

// mappedSocket opens a socket, and asks where its packets come from.
func (v *natView) mappedSocket(ctx context.Context) (*natSocket, netip.AddrPort, error) {
	s, err := newNATSocket(ctx, v.server)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	answer := s.ask(ctx, natQuestion{to: v.server})[0]
	if answer == nil {
		s.close()
		return nil, netip.AddrPort{}, errors.New("the server has stopped answering")
	}
	return s, answer.mapped, nil
}

// seenBy sends to a relayed address, and returns where the packet came from, as the relay sees it.
func (v *natView) seenBy(ctx context.Context, relayed net.PacketConn, self netip.Addr, send func([]byte) error) (netip.AddrPort, error) {
	from, err := heardWithin(ctx, relayed, send, func(from net.Addr) bool {
		at, err := addrPortOf(from)
		return err == nil && at.Addr() == self
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return netip.AddrPort{}, errors.New("the time was too short; give --timeout more")
	case err != nil:
		return netip.AddrPort{}, errors.New("no packet of this machine comes in by the server's relay ports, so that no relay can tell")
	}
	return addrPortOf(from)
}

// addrPortOf is an address of UDP, as pion's client gives it.
func addrPortOf(addr net.Addr) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(addr.String())
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), err
}

// relayMapping judges by one relayed address: whether it has seen the mapping that the server saw, and whether its IP address is another
// than the server's.
func relayMapping(same, other bool) DependenceKind {
	switch {
	case same && other:
		return EndpointIndependent
	case same:
		return PortIndependent
	case other:
		return DestinationDependent
	}
	return AddressAndPortDependent
}

// relayFiltering judges likewise by whether a packet passed that nobody had asked for.
func relayFiltering(passed, other bool) DependenceKind {
	switch {
	case passed && other:
		return EndpointIndependent
	case passed:
		return PortIndependent
	case other:
		return DestinationDependent
	}
	return AddressAndPortDependent
}

// relayFor makes a relay that may send to an address.
func (v *natView) relayFor(ctx context.Context, self netip.Addr) (relayed net.PacketConn, done func(), err error) {
	client, err := v.relay.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if relayed, err = client.Allocate(); err != nil {
		client.close()
		return nil, nil, fmt.Errorf("no relay was made: %w", err)
	}
	done = func() {
		_ = relayed.Close()
		client.close()
	}
	if err := client.CreatePermission(net.UDPAddrFromAddrPort(netip.AddrPortFrom(self, 9))); err != nil {
		done()
		return nil, nil, fmt.Errorf("the server lets no relay send to %s, the address of this machine", self)
	}
	return relayed, done, nil
}

const natTries = 3 // of a packet that a NAT may keep out: UDP loses some

// passes sends a few packets, and reports whether one arrives from an address.
func (v *natView) passes(to *net.UDPConn, from netip.AddrPort, send func([]byte) error) bool {
	payload := []byte(auth.NewID(rand.Reader, 24))
	for range natTries {
		if send(payload) != nil {
			return false
		}
		if arrives(to, payload, func(at netip.AddrPort) bool { return at == from }) {
			return true
		}
	}
	return false
}

// arrives waits for a payload.
func arrives(conn *net.UDPConn, payload []byte, good func(from netip.AddrPort) bool) bool {
	_ = conn.SetReadDeadline(time.Now().Add(natRetry))
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case err != nil && (isTimeout(err) || errors.Is(err, net.ErrClosed)):
			return false
		case err != nil:
			continue // Windows tells of closed ports
		}
		if string(buf[:n]) == string(payload) && good(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())) {
			return true
		}
	}
}

// heardWithin is heard for as long as an answer of a server may take.
func heardWithin(ctx context.Context, to net.PacketConn, send func([]byte) error, good func(from net.Addr) bool) (net.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, natPatience)
	defer cancel()
	return heard(ctx, to, send, good)
}

// hairpin has two sockets of this machine send to each other by their mapped addresses. Both send, because a NAT may filter what comes back
// in as it filters everything else.
func hairpin(ctx context.Context, server netip.AddrPort) Hairpin {
	v := natView{server: server}
	var socks [2]*natSocket
	var mapped [2]netip.AddrPort
	for i := range socks {
		var err error
		if socks[i], mapped[i], err = v.mappedSocket(ctx); err != nil {
			return Hairpin{Why: oneLine(err.Error())}
		}
		defer socks[i].close()
	}
	if mapped[0] == socks[0].local {
		return Hairpin{Why: "there is no NAT"}
	}
	payload := []byte(auth.NewID(rand.Reader, 24))
	for range natTries {
		for i, s := range socks {
			_, _ = s.conn.WriteToUDPAddrPort(payload, mapped[1-i])
		}
		for _, s := range socks {
			if arrives(s.conn, payload, func(netip.AddrPort) bool { return true }) {
				return Hairpin{Works: yes()}
			}
		}
	}
	return Hairpin{Works: no()}
}
