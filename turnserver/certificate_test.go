package turnserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/dtls/v3"

	"example.org/turnpike/internal/testcert"
)

const testName = "turn.test"

// testCertificate is the certificate of all servers here. It signs itself, so that clients can trust it and nothing
// else.
var testCertificate = sync.OnceValue(func() *tls.Certificate { return testcert.Pair(testName) })

func testRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(testCertificate().Leaf)
	return pool
}

func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: testRoots(), ServerName: testName, NextProtos: protocols}
}

// dialDTLS connects pion's DTLS client.
func dialDTLS(ctx context.Context, addr netip.AddrPort, opts ...dtls.ClientOption) (*dtls.Conn, error) {
	// Not on the unspecified address: pion then does not learn which address a packet came to.
	sock, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr.Addr(), 0)))
	if err != nil {
		return nil, err
	}
	_ = sock.SetReadBuffer(1 << 20)
	return handshakeDTLS(ctx, sock, addr, opts...)
}

// handshakeDTLS owns sock.
func handshakeDTLS(ctx context.Context, sock net.PacketConn, addr netip.AddrPort, opts ...dtls.ClientOption) (*dtls.Conn, error) {
	opts = append([]dtls.ClientOption{dtls.WithRootCAs(testRoots()), dtls.WithServerName(testName)}, opts...)
	conn, err := dtls.ClientWithOptions(sock, net.UDPAddrFromAddrPort(addr), opts...)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	return conn, nil
}
