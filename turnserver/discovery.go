package turnserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pion/stun/v3"
)

// DiscoveryPair is two addresses of one family with the same two UDP ports, from which clients find out how the NATs before them
// behave (RFC 5780). Each address with each port must be a listener.
type DiscoveryPair struct {
	Local    [2]netip.Addr
	External [2]netip.Addr // what clients know them by: equal to Local unless a 1:1 NAT stands in front
	Ports    [2]uint16
}

// local returns all four of the addresses that the pair listens on: i&1 chooses the port, i&2 the address.
func (p *DiscoveryPair) local(i byte) netip.AddrPort {
	return netip.AddrPortFrom(canonical(p.Local[i>>1&1]), p.Ports[i&1])
}

func (p *DiscoveryPair) external(i byte) endpoint {
	return endpointOf(netip.AddrPortFrom(canonical(p.External[i>>1&1]), p.Ports[i&1]))
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

func (p *DiscoveryPair) isIPv4() bool { return canonical(p.Local[0]).Is4() }

func (p *DiscoveryPair) validate(listen []Listener) error {
	for _, ips := range [][2]netip.Addr{p.Local, p.External} {
		for _, ip := range ips {
			if !ip.IsValid() || ip.IsUnspecified() || canonical(ip).Is4() != p.isIPv4() {
				return fmt.Errorf("discovery needs two addresses of one family, not %v", ips)
			}
		}
		if canonical(ips[0]) == canonical(ips[1]) {
			return fmt.Errorf("discovery needs two addresses, not %v twice", ips[0])
		}
	}
	if p.Ports[0] == 0 || p.Ports[1] == 0 || p.Ports[0] == p.Ports[1] {
		return fmt.Errorf("discovery needs two ports, not %v", p.Ports)
	}
	for i := range byte(4) {
		addr := p.local(i)
		if !slices.ContainsFunc(listen, func(l Listener) bool { return l.Network == "udp" && unmapped(l.Addr) == addr }) {
			return fmt.Errorf("discovery needs a UDP listener on %v", addr)
		}
	}
	return nil
}

// origin is one of the four addresses of a DiscoveryPair, as one loop has them or the portable path.
type origin struct {
	// Static once the server runs.
	address  endpoint // as clients know it
	sock     clientSocket
	changeTo [4]*origin // by the flags of CHANGE-REQUEST: where the answer comes from (RFC 5780 §6.1, table 1)
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

// The flags of CHANGE-REQUEST (RFC 5780 §7.2), as they index origin.changeTo and DiscoveryPair.local.
const (
	changePort = 1
	changeIP   = 2
)

const (
	attrMappedAddress  = uint16(stun.AttrMappedAddress)
	attrChangeRequest  = uint16(stun.AttrChangeRequest)
	attrPadding        = uint16(stun.AttrPadding)
	attrResponsePort   = uint16(stun.AttrResponsePort)
	attrResponseOrigin = uint16(stun.AttrResponseOrigin)
	attrOtherAddress   = uint16(stun.AttrOtherAddress)
)

// discoveryRequest is what a Binding request asks for by RFC 5780.
type discoveryRequest struct {
	change       byte   // changePort and changeIP
	responsePort uint16 // 0: the port that the request came from
	padding      int
	bad          bool // an attribute's value is not what it must be

	hasChange, hasPort, padded bool // of each kind the first counts (RFC 8489 §14)
}

// isDiscovery reports whether an attribute is one that RFC 5780 has in requests.
func isDiscovery(typ uint16) bool {
	return typ == attrChangeRequest || typ == attrPadding || typ == attrResponsePort
}

// take reads an attribute, or reports false if it is none that isDiscovery.
func (d *discoveryRequest) take(typ uint16, value []byte) bool {
	switch {
	case typ == attrChangeRequest && !d.hasChange:
		d.hasChange = true
		if d.bad = d.bad || len(value) != 4; !d.bad {
			d.change = value[3] >> 1 & (changePort | changeIP)
		}
	case typ == attrResponsePort && !d.hasPort:
		d.hasPort = true
		// RFC 5780 §7.5 does not say whether the two bytes of padding are part of the value.
		if d.bad = d.bad || len(value) != 2 && len(value) != 4; !d.bad {
			d.responsePort = binary.BigEndian.Uint16(value)
			d.bad = d.responsePort == 0
		}
	case typ == attrPadding && !d.padded:
		d.padded, d.padding = true, pad4(len(value))
	default:
		return isDiscovery(typ)
	}
	return true
}

// wellKnownPorts are below this. Services listen there, which an answer from us might set going, and no NAT maps an
// ordinary client to one of them (RFC 4787 REQ-3).
const wellKnownPorts = 1024

// refused reports whether the request gets 400: RESPONSE-PORT and PADDING would together flood a port that did not ask (RFC 5780 §10).
func (d *discoveryRequest) refused(source uint16) bool {
	return d.bad || d.hasPort && (d.padded || d.responsePort < wellKnownPorts && d.responsePort != source)
}

// knows reports whether the server understands a comprehension-required attribute in this request.
func (r *request) knows(t stun.AttrType) bool {
	return r.w.srv.knows(t) || r.c.origin != nil && r.m.Type.Method == stun.MethodBinding && isDiscovery(uint16(t))
}

// answerDiscovery answers a Binding request to one of the addresses of a DiscoveryPair (RFC 5780 §6.1), which also a request that
// asks for nothing of it may be. It reports false if the answer is an error.
func (w *worker) answerDiscovery(c *client, pkt []byte, d *discoveryRequest, fingerprint bool) bool {
	if d.refused(c.remote.Port()) {
		return false
	}
	size := attrHeaderSize + xorAddressSize(c.tuple.client.addr().Is4())
	total := stunHeaderSize + 4*size
	if fingerprint {
		total += fingerprintSize
	}
	if d.padded {
		// Up to the length of the request, not of some MTU: what came in fragments is answered in fragments, and padding
		// never makes an answer outgrow what was sent for it.
		total += attrHeaderSize
		total = max(total, min(total+d.padding, len(pkt)))
	}
	if !w.mayAnswer(c, total, len(pkt)) {
		return true
	}
	from := c.origin.changeTo[d.change]
	out := w.answer[:]
	if total > len(out) {
		out = pkt // which is long enough, and of which no more is needed than its transaction ID
	}
	out = out[:total]
	putDiscoveryAnswer(out, pkt[8:stunHeaderSize], c, from, d.padded, fingerprint)

	w.counters.bindings.Add(1)
	w.answerFrom = client{remote: c.remote, sock: from.sock}
	if d.hasPort {
		w.answerFrom.remote = netip.AddrPortFrom(c.remote.Addr(), d.responsePort)
	}
	w.answerFrom.send(w, out, control)
	w.flush() // answer is used again
	return true
}

// putDiscoveryAnswer fills out with the answer to c, which leaves from an address of the pair. Padding takes what is left.
func putDiscoveryAnswer(out, transactionID []byte, c *client, from *origin, padded, fingerprint bool) {
	binary.BigEndian.PutUint16(out, typeBindingSuccess)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-stunHeaderSize))
	binary.BigEndian.PutUint32(out[4:], magicCookie)
	copy(out[8:], transactionID)

	size := xorAddressSize(c.tuple.client.addr().Is4())
	n := stunHeaderSize + putAttrHeader(out[stunHeaderSize:], attrXORMappedAddress, size)
	putXORAddress(out[n:], c.tuple.client, transactionID)
	n += size
	for _, a := range [...]struct {
		typ  uint16
		addr endpoint
	}{
		{attrMappedAddress, c.tuple.client}, // that differs from the one before if a NAT rewrites what looks like an address
		{attrResponseOrigin, from.address},
		{attrOtherAddress, c.origin.changeTo[changePort|changeIP].address},
	} {
		n += putAttrHeader(out[n:], a.typ, size)
		putAddress(out[n:], a.addr)
		n += size
	}
	end := len(out)
	if fingerprint {
		end -= fingerprintSize
	}
	if padded {
		n += putAttrHeader(out[n:], attrPadding, end-n-attrHeaderSize)
		clear(out[n:end])
	}
	if fingerprint {
		putAttrHeader(out[end:], attrFingerprint, 4)
		binary.BigEndian.PutUint32(out[end+attrHeaderSize:], stun.FingerprintValue(out[:end]))
	}
}

// putAttrHeader writes the header of an attribute whose value has size bytes, and returns its own length.
func putAttrHeader(b []byte, typ uint16, size int) int {
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return attrHeaderSize
}

// putAddress encodes e as the value of an address attribute in clear (RFC 8489 §14.1) at the front of b.
func putAddress(b []byte, e endpoint) {
	ip, fam := e.ip[:], familyIPv6
	if e.addr().Is4() {
		ip, fam = e.ip[12:], familyIPv4
	}
	b[0], b[1] = 0, byte(fam)
	binary.BigEndian.PutUint16(b[2:], e.port)
	copy(b[4:], ip)
}
