package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
)

// relayPorts sends through a relayed address of each family to and from a socket of this machine. Two relays of one node meet
// in memory, so the steps before have not shown whether a firewall closes the relay ports.
func (r *run) relayPorts(ctx context.Context, found []reached) {
	for _, six := range []bool{false, true} {
		check := "relay udp"
		if six {
			check = "relay udp6"
		}
		of := func(scheme stun.SchemeType) (reached, bool) {
			i := slices.IndexFunc(found, func(f reached) bool {
				return f.uri.Scheme == scheme && f.uri.Proto == stun.ProtoTypeUDP && f.addr.Is6() == six
			})
			if i < 0 {
				return reached{}, false
			}
			return found[i], true
		}
		server, ok := of(stun.SchemeTypeTURN)
		if !ok {
			r.noteNoUDP(check, found, six)
			continue
		}
		if server.addr.IsLoopback() {
			continue // relays there are for this machine only
		}
		server.relays6 = six
		r.relayPort(ctx, check, server)
	}
}

// noteNoUDP says that the relay ports were not tried because no TURN over UDP answers, where other ways do.
func (r *run) noteNoUDP(check string, found []reached, six bool) {
	if i := slices.IndexFunc(found, func(f reached) bool {
		return f.uri.Scheme != stun.SchemeTypeSTUN && f.addr.Is6() == six && !f.addr.IsLoopback()
	}); i >= 0 {
		r.note(check, found[i].raw, "relay ports were not tried, as no TURN over UDP answers here")
	}
}

// untried is why a step could not be done.
type untried struct{ why string }

func (u *untried) Error() string { return u.why }

// errRelayPorts is that packets do not come in by the relay ports.
var errRelayPorts = errors.New("the relay ports are closed")

func (r *run) relayPort(ctx context.Context, check string, server reached) {
	if r.Own != nil {
		if !r.Own.LocalOnly() {
			r.note(check, server.raw, "relay ports were not tried: no firewall stands between this machine and itself; run turnpike check with the URL on another machine")
		}
		return
	}
	var err error
	f := step(ctx, r.Timeout, check, server.raw, func(ctx context.Context, f *Finding) error {
		err = server.relayToSelf(ctx, f)
		return err
	})
	why, skipped := errors.AsType[*untried](err)
	switch {
	case skipped:
		r.note(check, server.raw, "%s", why)
	case errors.Is(err, errRelayPorts) && r.ClosedRelayPorts:
		r.note(check, server.raw, "the relay ports are closed, as you say: all calls are relayed on both sides")
	default:
		r.report(f)
	}
}

// relayToSelf sends a packet to a relayed address from a socket that is no relay, and one back.
func (t iceTarget) relayToSelf(ctx context.Context, f *Finding) error {
	server, err := t.resolve(ctx)
	if err != nil {
		return err
	}
	socket, err := newNATSocket(ctx, server)
	if err != nil {
		return err
	}
	defer socket.close()
	answer := socket.ask(ctx, natQuestion{to: server})[0]
	if answer == nil {
		return t.problem(ctx, errors.New("no answer to a Binding request"))
	}
	self := answer.mapped.Addr()
	if self == server.Addr() {
		return &untried{"relay ports were not tried: this is the server's own machine, and no firewall stands in between; run this on another one"}
	}
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	relayed, err := client.Allocate()
	if refused, ok := errors.AsType[*stun.TurnError](err); ok && refused.ErrorCodeAttr.Code == stun.CodeAddrFamilyNotSupported && t.relays6 {
		return &untried{"the server has no IPv6 address to relay from: it takes the one of an IPv6 default route, or turn.relay_addresses"}
	}
	if err != nil {
		return t.problem(ctx, err)
	}
	defer relayed.Close()
	f.Relayed = []string{relayed.LocalAddr().String()}
	if err := client.CreatePermission(net.UDPAddrFromAddrPort(netip.AddrPortFrom(self, 9))); err != nil {
		return &untried{fmt.Sprintf("relay ports were not tried: the server lets no relay send to the address of this machine, %s (%v)", self, err)}
	}
	start := time.Now()
	from, err := heard(ctx, relayed, func(b []byte) error { _, err := socket.conn.WriteTo(b, relayed.LocalAddr()); return err },
		func(from net.Addr) bool {
			at, err := netip.ParseAddrPort(from.String())
			return err == nil && at.Addr().Unmap() == self
		})
	if err != nil {
		return fmt.Errorf("%w: no packet of this machine came in by the relayed address %s (%w); open turn.relay_ports for UDP in the firewall of the server and of its provider. "+
			"Until then only those reach each other who both relay by this server", errRelayPorts, relayed.LocalAddr(), err)
	}
	if _, err := heard(ctx, socket.conn, func(b []byte) error { _, err := relayed.WriteTo(b, from); return err },
		func(from net.Addr) bool { return from.String() == relayed.LocalAddr().String() }); err != nil {
		return fmt.Errorf("%w: packets come in by the relayed address %s, and none goes out from there to %s (%w); let UDP out of the server's machine",
			errRelayPorts, relayed.LocalAddr(), from, err)
	}
	f.Detail = fmt.Sprintf("a packet each way between %s and %s", relayed.LocalAddr(), from)
	f.Took = time.Since(start)
	return nil
}

// heard sends a packet until it arrives, because UDP may lose it, and returns where it came from.
func heard(ctx context.Context, to net.PacketConn, send func([]byte) error, good func(from net.Addr) bool) (net.Addr, error) {
	payload := []byte(auth.NewID(rand.Reader, 24))
	buf := make([]byte, 1500)
	for try := 0; ; try++ {
		if err := send(payload); err != nil {
			return nil, err
		}
		if err := to.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return nil, err
		}
		for {
			n, from, err := to.ReadFrom(buf)
			if err != nil {
				break
			}
			if string(buf[:n]) == string(payload) && good(from) {
				return from, nil
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d tries in vain", try+1)
		}
	}
}
