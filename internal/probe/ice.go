package probe

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
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
	if uri.Scheme == stun.SchemeTypeSTUN {
		return step(ctx, timeout, "stun "+uri.Proto.String(), raw, target.bind)
	}
	return step(ctx, timeout, "turn "+target.network(), raw, target.relay)
}

// iceTarget is an address, and the credential for it.
type iceTarget struct {
	uri        *stun.URI
	credential auth.Credential
	name       string // of the certificate; empty: the URI's host
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
func (t iceTarget) bind(ctx context.Context, f *Finding) error {
	mapped, err := t.ask(ctx)
	if err != nil {
		return err
	}
	f.Detail = "you are " + mapped.String()
	return nil
}

// mapped returns this machine's address as the server sees it.
func (t iceTarget) mapped(ctx context.Context) (netip.Addr, error) {
	mapped, err := t.ask(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	ap, err := netip.ParseAddrPort(mapped.String())
	return ap.Addr().Unmap(), err
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
	f.Detail = "relayed " + showPair(f.Relayed[0], f.Relayed[1])
	start := time.Now()
	for i, client := range clients {
		if err := client.CreatePermission(relayed[1-i].LocalAddr()); err != nil {
			return fmt.Errorf("%s made two relays, but forbids one to send to the other: %w", t.uri.Host, err)
		}
	}
	for i := range relayed {
		if err := sendUntilHeard(ctx, relayed[i], relayed[1-i]); err != nil {
			return fmt.Errorf("two relays were made (%s), but no packet went from one to the other: %w; the server's log and counters say why", showPair(f.Relayed[0], f.Relayed[1]), err)
		}
	}
	f.Took = time.Since(start)
	return nil
}

// sendUntilHeard sends a packet until it arrives, because UDP may lose it.
func sendUntilHeard(ctx context.Context, from, to net.PacketConn) error {
	payload := []byte(auth.NewID(rand.Reader, 24))
	buf := make([]byte, 1500)
	for try := 0; ; try++ {
		if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
			return err
		}
		if err := to.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			return err
		}
		for {
			n, addr, err := to.ReadFrom(buf)
			if err != nil {
				break
			}
			if string(buf[:n]) == string(payload) && addr.String() == from.LocalAddr().String() {
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d tries in vain", try+1)
		}
	}
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
