package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"example.org/turnpike/auth"
)

// ICE tries one URL of an ICE server. It asks a STUN server for this machine's address, and sends packets through a
// TURN server.
func ICE(ctx context.Context, timeout time.Duration, raw string, credential auth.Credential) Finding {
	uri, err := stun.ParseURI(raw)
	if err != nil {
		return step(ctx, timeout, "ice", raw, func(context.Context, *Finding) error {
			return fmt.Errorf("the server advertises a URL that browsers refuse: %w", err)
		})
	}
	target := iceTarget{uri: uri, credential: credential}
	return target.try(ctx, timeout, raw)
}

// try asks a STUN server, or relays through a TURN server. Without a credential it only asks.
func (t *iceTarget) try(ctx context.Context, timeout time.Duration, raw string) Finding {
	family := ""
	if t.addr.Is6() {
		family = "6"
	}
	if t.uri.Scheme == stun.SchemeTypeSTUN || t.credential.Username == "" {
		return step(ctx, timeout, "stun "+t.network()+family, raw, t.bind)
	}
	return step(ctx, timeout, "turn "+t.network()+family, raw, t.relay)
}

// iceTarget is an address, and the credential for it.
type iceTarget struct {
	uri        *stun.URI
	credential auth.Credential
	name       string     // of the certificate; empty: the URI's host
	addr       netip.Addr // of the host; invalid: that is looked up
	relays6    bool       // ask for IPv6 relays

	mapped netip.AddrPort // set by bind: this machine as the server sees it
}

// network returns the network of the listener: udp, tcp, tls or dtls. TLS over UDP is DTLS (RFC 7065).
func (t iceTarget) network() string {
	switch secure := t.uri.Scheme == stun.SchemeTypeTURNS; {
	case secure && t.uri.Proto == stun.ProtoTypeUDP:
		return "dtls"
	case secure:
		return "tls"
	}
	return t.uri.Proto.String()
}

// bind asks for this machine's address.
func (t *iceTarget) bind(ctx context.Context, f *Finding) error {
	mapped, err := t.ask(ctx)
	if err != nil {
		return err
	}
	f.Detail = "you are " + mapped.String()
	ap, err := netip.ParseAddrPort(mapped.String())
	t.mapped = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	return err
}

// ask sends a Binding request.
func (t iceTarget) ask(ctx context.Context) (net.Addr, error) {
	client, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.close()
	mapped, err := client.SendBindingRequestTo(client.server)
	if err != nil {
		return nil, t.problem(ctx, err)
	}
	return mapped, nil
}

// relay makes two relays, and sends a packet from one to the other and one back.
func (t iceTarget) relay(ctx context.Context, f *Finding) error {
	var clients [2]*turnClient
	var relayed [2]net.PacketConn
	for i := range clients {
		client, err := t.connect(ctx)
		if err != nil {
			return err
		}
		defer client.close()
		clients[i] = client
		if relayed[i], err = client.Allocate(); err != nil {
			return t.problem(ctx, err)
		}
		defer relayed[i].Close()
	}
	f.Relayed = []string{relayed[0].LocalAddr().String(), relayed[1].LocalAddr().String()}
	if at, err := netip.ParseAddrPort(f.Relayed[0]); err == nil && isInside(at.Addr()) && !isInside(clients[0].addr()) {
		return fmt.Errorf("the relayed address %s is private, so that peers elsewhere do not reach it; set turn.external_addresses = { %q = %q }", at, at.Addr(), clients[0].addr())
	}
	f.Detail = "relayed " + showPair(f.Relayed[0], f.Relayed[1])
	start := time.Now()
	for i, client := range clients {
		if err := client.CreatePermission(relayed[1-i].LocalAddr()); err != nil {
			return fmt.Errorf("%s made two relays, but forbids one to send to the other: %w", t.uri.Host, err)
		}
	}
	for i := range relayed {
		from, to := relayed[i], relayed[1-i]
		if _, err := heard(ctx, to, func(b []byte) error { _, err := from.WriteTo(b, to.LocalAddr()); return err },
			func(addr net.Addr) bool { return addr.String() == from.LocalAddr().String() }); err != nil {
			return fmt.Errorf("two relays were made (%s), but no packet went from one to the other: %w; the server's log and counters say why", showPair(f.Relayed[0], f.Relayed[1]), err)
		}
	}
	f.Took = time.Since(start)
	return nil
}

// showPair writes two addresses, and a common host only once.
func showPair(a, b string) string {
	hostA, _, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA == nil && errB == nil && hostA == hostB {
		b = ":" + portB
	}
	return a + " <-> " + b
}
