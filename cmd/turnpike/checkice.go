package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/stun/v3"
	"github.com/pion/transport/v4"
	"github.com/pion/turn/v4"

	"turnpike/auth"
	"turnpike/signal/wire"
)

// checkICE tries one URL of an ICE server.
func (c *checker) checkICE(ctx context.Context, raw string, server wire.ICEServer) {
	uri, err := stun.ParseURI(raw)
	if err != nil {
		c.step(ctx, "ice", raw, func(context.Context, *result) error {
			return fmt.Errorf("the server advertises a URL that browsers refuse: %w", err)
		})
		return
	}
	target := iceTarget{uri: uri, credential: auth.Credential{Username: server.Username, Password: server.Credential}}
	if uri.Scheme == stun.SchemeTypeSTUN {
		c.step(ctx, "stun "+uri.Proto.String(), raw, target.bind)
		return
	}
	c.step(ctx, "turn "+target.network(), raw, target.relay)
}

// iceTarget is one address and what to sign in with.
type iceTarget struct {
	uri        *stun.URI
	credential auth.Credential
	name       string // that the certificate is for; empty: the URI's host
}

// network is the listener's that the URI leads to. There is TLS over UDP in it: DTLS (RFC 7065).
func (t iceTarget) network() string {
	switch secure := t.uri.Scheme == stun.SchemeTypeTURNS; {
	case secure && t.uri.Proto == stun.ProtoTypeUDP:
		return "dtls"
	case secure:
		return "tls"
	}
	return t.uri.Proto.String()
}

// bind asks for our own address.
func (t iceTarget) bind(ctx context.Context, r *result) error {
	client, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer client.close()
	mapped, err := client.SendBindingRequestTo(client.server)
	if err != nil {
		return t.problem(ctx, err)
	}
	r.Detail = "you are " + mapped.String()
	return nil
}

// relay makes two relays, and sends a packet from one to the other and one back.
func (t iceTarget) relay(ctx context.Context, r *result) error {
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
	r.Relayed = []string{relayed[0].LocalAddr().String(), relayed[1].LocalAddr().String()}
	r.Detail = "relayed " + pair(r.Relayed[0], r.Relayed[1])
	start := time.Now()
	for i, client := range clients {
		if err := client.CreatePermission(relayed[1-i].LocalAddr()); err != nil {
			return fmt.Errorf("%s made two relays, but forbids one to send to the other: %w", t.uri.Host, err)
		}
	}
	for i := range relayed {
		if err := send(ctx, relayed[i], relayed[1-i]); err != nil {
			return fmt.Errorf("two relays were made (%s), but no packet went from one to the other: %w; the server's log and counters say why", pair(r.Relayed[0], r.Relayed[1]), err)
		}
	}
	r.Millis = float64(time.Since(start).Microseconds()) / 1000
	return nil
}

// send sends a packet until it arrives, since UDP may lose it.
func send(ctx context.Context, from, to net.PacketConn) error {
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

// pair writes two addresses, and their host once if it is the same.
func pair(a, b string) string {
	hostA, _, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA == nil && errB == nil && hostA == hostB {
		b = ":" + portB
	}
	return a + " <-> " + b
}

// turnClient is pion's client on a socket of its own.
type turnClient struct {
	*turn.Client
	server net.Addr
	close  func()
}

// connect opens a socket to the target. It is closed when ctx ends, which also ends what pion waits for.
func (t iceTarget) connect(ctx context.Context) (*turnClient, error) {
	server, err := t.resolve(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := t.socket(ctx, server)
	if err != nil {
		return nil, err
	}
	addr := net.UDPAddrFromAddrPort(server) // pion wants a UDP address for streams too
	client, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: server.String(),
		Username:       t.credential.Username,
		Password:       t.credential.Password,
		Conn:           conn,
		Net:            resolved{addr: addr},
		LoggerFactory:  silent(),
	})
	if err == nil {
		err = client.Listen()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	end := func() {
		client.Close()
		_ = conn.Close()
	}
	stop := context.AfterFunc(ctx, end)
	return &turnClient{client, addr, func() {
		if stop() {
			end()
		}
	}}, nil
}

// resolved keeps pion's client, which looks names up as IPv4 only, from looking one up.
type resolved struct {
	transport.Net
	addr *net.UDPAddr
}

func (r resolved) ResolveUDPAddr(string, string) (*net.UDPAddr, error) { return r.addr, nil }

func (t iceTarget) resolve(ctx context.Context) (netip.AddrPort, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.uri.Host)
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the name %s has no address; set public_host to one that clients can look up", t.uri.Host)
	}
	addr := addrs[max(0, slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() }))]
	return netip.AddrPortFrom(addr.Unmap(), uint16(t.uri.Port)), nil
}

// socket connects to server, or at least opens a socket that can send there.
func (t iceTarget) socket(ctx context.Context, server netip.AddrPort) (net.PacketConn, error) {
	name := cmp.Or(t.name, t.uri.Host)
	switch t.network() {
	case "tcp":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", server.String())
		if err != nil {
			return nil, t.problem(ctx, err)
		}
		return turn.NewSTUNConn(conn), nil
	case "tls":
		dialer := tls.Dialer{Config: &tls.Config{ServerName: name, NextProtos: []string{"stun.turn"}}}
		conn, err := dialer.DialContext(ctx, "tcp", server.String())
		if err != nil {
			return nil, t.problem(ctx, err)
		}
		return turn.NewSTUNConn(conn), nil
	case "dtls":
		sock, err := new(net.ListenConfig).ListenPacket(ctx, udpNetwork(server), ":0")
		if err != nil {
			return nil, err
		}
		conn, err := dtls.ClientWithOptions(sock, net.UDPAddrFromAddrPort(server), dtls.WithServerName(name), dtls.WithLoggerFactory(silent()))
		if err == nil {
			err = conn.HandshakeContext(ctx)
		}
		if err != nil {
			_ = sock.Close()
			return nil, t.problem(ctx, err)
		}
		return messageConn{conn}, nil
	}
	return new(net.ListenConfig).ListenPacket(ctx, udpNetwork(server), ":0")
}

func udpNetwork(server netip.AddrPort) string {
	if server.Addr().Is4() {
		return "udp4"
	}
	return "udp6"
}

// messageConn is a connection on which a read is a message.
type messageConn struct{ net.Conn }

// ReadFrom implements net.PacketConn.
func (c messageConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (c messageConn) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

func silent() logging.LoggerFactory {
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	return logs
}

// problem says what an error means for the operator of the server, and what to do.
func (t iceTarget) problem(ctx context.Context, err error) error {
	where := fmt.Sprintf("%s port %d", t.network(), t.uri.Port)
	if refused, ok := errors.AsType[*stun.TurnError](err); ok {
		return fmt.Errorf("%s answers %w; %s", where, refused, turnAdvice(refused.ErrorCodeAttr.Code))
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s: the certificate is not one that clients trust (%w)", where, cert.Err)
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return fmt.Errorf("%s refuses the connection; is turn.listen right, and does %s lead to the server?", where, t.uri.Host)
	case ctx.Err() != nil || isTimeout(err) || strings.Contains(err.Error(), "all retransmissions failed"): // as pion says
		return fmt.Errorf("no answer from %s; open it in the firewall of the server and of its provider, and see that %s leads to the server", where, t.uri.Host)
	}
	return fmt.Errorf("%s: %w", where, err)
}

func turnAdvice(code stun.ErrorCode) string {
	switch code {
	case stun.CodeUnauthorized:
		return "the TURN server does not accept what signaling hands out: is it another server, or is one of the clocks wrong?"
	case stun.CodeAllocQuotaReached:
		return "raise limits.allocations_per_session"
	case stun.CodeInsufficientCapacity:
		return "all relays are taken: widen turn.relay_ports, or raise limits.allocations"
	case stun.CodeAddrFamilyNotSupported:
		return "the server has no IPv4 address to relay from, and this client asks for no other"
	}
	return "the server's log may say more"
}

// dialProblem says why a connection to the web server failed.
func dialProblem(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + strconv.Quote(dns.Name) + " has no address"
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not one that clients trust (" + cert.Err.Error() + ")"
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
		return "nobody listens there"
	case isTimeout(err):
		return "no answer in time"
	}
	return err.Error()
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}
