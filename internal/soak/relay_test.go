package soak

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/turn/v4"
)

// relay is a relay of pion's TURN client, with what it is reached by.
type relay struct {
	client *turn.Client
	conn   net.PacketConn // the relayed address
	under  func() error   // closes the client's own socket

	datagrams bool // between the client and the server
}

// transports are how a client may reach TURN: over UDP, TCP, TLS and DTLS, and over TLS on the port of the pages.
var transports = []string{"udp", "udp", "tcp", "tls", "dtls", "pages"}

// dial opens a connection to the server's listener of a transport.
func (m *member) dial(transport string) (conn net.PacketConn, server netip.AddrPort, err error) {
	switch transport {
	case "udp":
		conn, err = net.ListenPacket("udp", m.from+":0")
		return conn, m.s.udp, err
	case "dtls":
		conn, err = m.dialDTLS()
		return conn, m.s.tlsAt, err
	}
	server = map[string]netip.AddrPort{"tcp": m.s.plain, "tls": m.s.tlsAt, "pages": m.s.web}[transport]
	stream, err := dialer(m.from).Dial("tcp", server.String())
	if err != nil {
		return nil, server, err
	}
	if transport != "tcp" {
		stream = tls.Client(stream, clientTLS())
	}
	return turn.NewSTUNConn(stream), server, nil
}

// datagrams makes a net.PacketConn of a connection on which a message is a read.
type datagrams struct{ net.Conn }

func (d datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}
func (d datagrams) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }

func (m *member) dialDTLS() (net.PacketConn, error) {
	sock, err := net.ListenPacket("udp", m.from+":0")
	if err != nil {
		return nil, err
	}
	conn, err := dtls.ClientWithOptions(sock, net.UDPAddrFromAddrPort(m.s.tlsAt), dtls.WithInsecureSkipVerify(true))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, sock.Close())
	}
	return datagrams{conn}, nil
}

// newRelay makes a relay with the member's credential.
func (m *member) newRelay(transport string) (*relay, error) {
	conn, server, err := m.dial(transport)
	if err != nil {
		return nil, fmt.Errorf("over %s: %w", transport, err)
	}
	r := &relay{under: conn.Close, datagrams: transport == "udp" || transport == "dtls"}
	r.client, err = turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server.String(), TURNServerAddr: server.String(), Conn: conn, Username: m.turnUser, Password: m.turnPassword, Realm: "turnpike",
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := r.client.Listen(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if r.conn, err = r.client.Allocate(); err != nil {
		r.client.Close()
		return nil, errors.Join(fmt.Errorf("over %s: %w", transport, err), conn.Close())
	}
	return r, nil
}

// close ends the relay. A client that has lost its network says nothing; then the server ends the relay with its stream, or with the session.
func (r *relay) close(silently bool) {
	if silently {
		_ = r.under()
	}
	_ = r.conn.Close() // on a broken stream it cannot ask for the end
	r.client.Close()
	_ = r.under()
}

// exchange sends data from one relay to the other, until some have come.
func exchange(from, to *relay, data []byte) error {
	if err := from.client.CreatePermission(to.conn.LocalAddr()); err != nil {
		return err
	}
	if err := to.client.CreatePermission(from.conn.LocalAddr()); err != nil {
		return err
	}
	got := make([]byte, 2000)
	for range 20 { // what is sent before a permission is there is lost
		if _, err := from.conn.WriteTo(data, to.conn.LocalAddr()); err != nil {
			return err
		}
		if err := to.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return err
		}
		n, _, err := to.conn.ReadFrom(got)
		if err == nil && bytes.Equal(got[:n], data) {
			return nil
		}
	}
	return errors.New("no data come")
}
