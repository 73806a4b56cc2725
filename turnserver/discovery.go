package turnserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire"
)

// DiscoveryPair is two addresses of one family with the same two UDP ports, from which clients find out how the NATs
// before them behave (RFC 5780). Each address with each port must be a listener.
type DiscoveryPair struct {
	Local    [2]netip.Addr
	External [2]netip.Addr // as clients know them; equal to Local unless a 1:1 NAT stands in front
	Ports    [2]uint16
}

// local returns one of the four addresses that the pair listens on: i&1 chooses the port, i&2 the address.
func (p *DiscoveryPair) local(i byte) netip.AddrPort {
	return netip.AddrPortFrom(wire.Canonical(p.Local[i>>1&1]), p.Ports[i&1])
}

func (p *DiscoveryPair) external(i byte) wire.Endpoint {
	return wire.EndpointOf(netip.AddrPortFrom(wire.Canonical(p.External[i>>1&1]), p.Ports[i&1]))
}

func validateDiscovery(pairs []DiscoveryPair, listen []Listener) error {
	for i := range pairs {
		if err := pairs[i].validate(listen); err != nil {
			return err
		}
		if slices.ContainsFunc(pairs[:i], func(p DiscoveryPair) bool { return p.isIPv4() == pairs[i].isIPv4() }) {
			return errors.New("discovery takes one pair of addresses of each family")
		}
	}
	return nil
}

func (p *DiscoveryPair) isIPv4() bool { return wire.Canonical(p.Local[0]).Is4() }

func (p *DiscoveryPair) validate(listen []Listener) error {
	for _, ips := range [][2]netip.Addr{p.Local, p.External} {
		for _, ip := range ips {
			if !ip.IsValid() || ip.IsUnspecified() || wire.Canonical(ip).Is4() != p.isIPv4() {
				return fmt.Errorf("discovery needs two addresses of one family, not %v", ips)
			}
		}
		if wire.Canonical(ips[0]) == wire.Canonical(ips[1]) {
			return fmt.Errorf("discovery needs two addresses, not %v twice", ips[0])
		}
	}
	if p.Ports[0] == 0 || p.Ports[1] == 0 || p.Ports[0] == p.Ports[1] {
		return fmt.Errorf("discovery needs two ports, not %v", p.Ports)
	}
	for i := range byte(4) {
		addr := p.local(i)
		if !slices.ContainsFunc(listen, func(l Listener) bool { return l.Network == "udp" && wire.Unmapped(l.Addr) == addr }) {
			return fmt.Errorf("discovery needs a UDP listener on %v", addr)
		}
	}
	return nil
}

// origin is one of the four addresses of a DiscoveryPair, with the socket that one loop or the portable path has for
// it.
type origin struct {
	// Static once the server runs.
	address  wire.Endpoint // as clients know it
	sock     clientSocket
	changeTo [4]*origin // by the flags of CHANGE-REQUEST: where the answer must come from (RFC 5780 §6.1, table 1)
}

// boundSocket is a UDP listener's socket of one loop or of the portable path.
type boundSocket struct {
	address *boundAddress
	sock    clientSocket
}

// linkOrigins tells each socket of a DiscoveryPair which sockets of its own loop have the other three addresses.
func (s *Server) linkOrigins() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := make([]map[netip.AddrPort]boundSocket, 0, len(s.loops)+1)
	for _, l := range s.loops {
		groups = append(groups, l.bound())
	}
	if len(s.loops) == 0 {
		all := make(map[netip.AddrPort]boundSocket)
		for _, u := range s.sockets {
			all[u.address.bound] = boundSocket{&u.address, u}
		}
		groups = append(groups, all)
	}
	for i := range s.cfg.Discovery {
		for _, g := range groups {
			if err := s.cfg.Discovery[i].link(g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *DiscoveryPair) link(bound map[netip.AddrPort]boundSocket) error {
	var origins [4]*origin
	for i := range origins {
		b, ok := bound[p.local(byte(i))]
		if !ok {
			return errors.New("discovery: " + p.local(byte(i)).String() + " is not open")
		}
		origins[i] = &origin{address: p.external(byte(i)), sock: b.sock}
		b.address.origin = origins[i]
	}
	for i, o := range origins {
		for flags := range o.changeTo {
			o.changeTo[flags] = origins[i^flags]
		}
	}
	return nil
}

// knows reports whether the server understands a comprehension-required attribute in this request.
func (r *request) knows(t stun.AttrType) bool {
	return r.w.srv.knows(t) || r.c.origin != nil && r.m.Type.Method == stun.MethodBinding && wire.IsDiscovery(uint16(t))
}

// answerDiscovery answers a Binding request to one of the addresses of a DiscoveryPair (RFC 5780 §6.1), be it plain or
// not. It reports false if the answer is an error.
func (w *worker) answerDiscovery(c *client, pkt []byte, d *wire.Discovery, fingerprint bool) bool {
	if d.Refused(c.remote.Port()) {
		return false
	}
	total := wire.DiscoveryAnswerSize(c.tuple.Client.Addr().Is4(), fingerprint)
	if d.Padded {
		// Up to the length of the request, not of some MTU: a request in fragments gets an answer in fragments, and
		// padding never makes an answer longer than its request.
		total += wire.AttrHeaderSize
		total = max(total, min(total+d.Padding, len(pkt)))
	}
	if !w.mayAnswer(c, total, len(pkt)) {
		return true
	}
	from := c.origin.changeTo[d.Change]
	var out []byte
	if total <= len(answer{}) {
		out = w.room(total)
	} else {
		out = pkt[:total] // it is long enough, and nothing else but its transaction ID is needed any more
	}
	content := wire.DiscoveryAnswer{
		Mapped: c.tuple.Client, Origin: from.address, Other: c.origin.changeTo[wire.ChangePort|wire.ChangeIP].address,
		Padded: d.Padded, Fingerprint: fingerprint,
	}
	content.Put(out, pkt[8:wire.HeaderSize])
	w.counters.bindings.Add(1)
	w.answerFrom = client{remote: c.remote, sock: from.sock}
	if d.HasPort {
		w.answerFrom.remote = netip.AddrPortFrom(c.remote.Addr(), d.ResponsePort)
	}
	w.answerFrom.deliver(w, out, notRelayed)
	w.answered()
	return true
}
