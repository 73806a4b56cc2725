package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v5"
	"github.com/pion/turn/v5"
)

// turnClient is pion's client on a socket of its own.
type turnClient struct {
	*turn.Client
	server net.Addr
	close  func()
}

// connect opens a socket to the target. The end of ctx closes it, which also ends pion's waits.
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
	family := turn.RequestedAddressFamilyIPv4
	if t.relays6 {
		family = turn.RequestedAddressFamilyIPv6
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		RequestedAddressFamily: family,
		TURNServerAddr:         server.String(),
		Username:               t.credential.Username,
		Password:               t.credential.Password,
		Conn:                   conn,
		Net:                    resolved{addr: addr},
		LoggerFactory:          silent(),
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

// addr returns the server's address.
func (c *turnClient) addr() netip.Addr { return c.server.(*net.UDPAddr).AddrPort().Addr().Unmap() }

// resolved gives pion's client an address, because it looks up names as IPv4 only.
type resolved struct {
	transport.Net
	addr *net.UDPAddr
}

func (r resolved) ResolveUDPAddr(string, string) (*net.UDPAddr, error) { return r.addr, nil }

func (t iceTarget) resolve(ctx context.Context) (netip.AddrPort, error) {
	if t.addr.IsValid() {
		return netip.AddrPortFrom(t.addr, uint16(t.uri.Port)), nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.uri.Host)
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the name %s has no address; set public_host to one that clients can look up", t.uri.Host)
	}
	addr := addrs[max(0, slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() }))]
	return netip.AddrPortFrom(addr.Unmap(), uint16(t.uri.Port)), nil
}

// socket connects to server, or over UDP opens a socket that can send there.
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
		conn, err := dtls.ClientWithOptions(sock, net.UDPAddrFromAddrPort(server), dtls.WithServerName(name), dtls.WithLoggerFactory(silent()),
			dtls.WithInsecureSkipVerify(true), dtls.WithVerifyPeerCertificate(verifyFor(name)))
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

// verifyFor verifies as TLS does, and like it keeps the whole chain for the error, which pion's own check does not.
func verifyFor(name string) func([][]byte, [][]*x509.Certificate) error {
	return func(raw [][]byte, _ [][]*x509.Certificate) error {
		chain, between := make([]*x509.Certificate, len(raw)), x509.NewCertPool()
		for i := range raw {
			var err error
			if chain[i], err = x509.ParseCertificate(raw[i]); err != nil {
				return err
			}
			between.AddCert(chain[i])
		}
		if len(chain) == 0 {
			return errors.New("the server shows no certificate")
		}
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Intermediates: between}); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
		return nil
	}
}

func udpNetwork(server netip.AddrPort) string {
	if server.Addr().Is4() {
		return "udp4"
	}
	return "udp6"
}

// messageConn is a connection on which each read is a message.
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
