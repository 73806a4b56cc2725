package turnload

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
)

// carrier carries a client's datagrams over a connection with the server, as frames of a stream or as DTLS records. The
// client's socket is connected to one of the carrier's, on loopback, so that workers need not know. What the carrier
// itself takes is the loader's time, and not the server's. If the connection is slower than the client, the datagrams
// are lost here.
type carrier struct {
	conn    net.Conn
	inside  *net.UDPConn
	stream  bool
	running sync.WaitGroup
}

// dialTime bounds how long a connection may take, with its handshake.
const dialTime = 10 * time.Second

// openCarried opens the socket of a client that reaches the server by a carrier.
func openCarried(cfg *Config) (*socket, error) {
	conn, err := dialServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %v over %v: %w", cfg.Server, cfg.Transport, err)
	}
	s, err := openSocket(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.carrier = &carrier{conn: conn, stream: cfg.Transport != OverDTLS}
	if err := s.carrier.start(s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// dialServer connects to the server.
func dialServer(cfg *Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	secure := cfg.TLS
	if secure == nil {
		secure = &tls.Config{ServerName: cfg.Server.Addr().String()}
	}
	switch cfg.Transport {
	case OverTCP:
		return net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(cfg.Server))
	case OverTLS:
		raw, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(cfg.Server))
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, secure)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return conn, nil
	case OverDTLS:
		return dialDTLS(ctx, cfg.Server, secure)
	}
	return nil, fmt.Errorf("%q is no transport", cfg.Transport)
}

func dialDTLS(ctx context.Context, server netip.AddrPort, secure *tls.Config) (net.Conn, error) {
	sock, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	_ = sock.SetReadBuffer(receiveBuffer)
	conn, err := dtls.ClientWithOptions(sock, net.UDPAddrFromAddrPort(server), dtls.WithServerName(secure.ServerName),
		dtls.WithRootCAs(secure.RootCAs), dtls.WithInsecureSkipVerify(secure.InsecureSkipVerify))
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		_ = sock.Close()
		return nil, err
	}
	return conn, nil
}

// start connects s to the carrier, and carries until close.
func (c *carrier) start(s *socket) error {
	inside, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.local))
	if err != nil {
		return err
	}
	_ = inside.SetReadBuffer(receiveBuffer)
	c.inside = inside
	address := inside.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := s.connect(netip.AddrPortFrom(address.Addr().Unmap(), address.Port())); err != nil {
		return err
	}
	if ap, err := netip.ParseAddrPort(c.conn.LocalAddr().String()); err == nil {
		s.local = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()) // where the server sees the client
	}
	c.running.Go(c.up)
	c.running.Go(c.down)
	return nil
}

// up carries from the client to the server.
func (c *carrier) up() {
	b := make([]byte, 4096)
	for {
		n, err := c.inside.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP message
		}
		if c.stream { // with the padding of ChannelData (RFC 8656 §12.5)
			for ; n%4 != 0; n++ {
				b[n] = 0
			}
		}
		if _, err := c.conn.Write(b[:n]); err != nil {
			return
		}
	}
}

// down carries from the server to the client.
func (c *carrier) down() {
	next := c.record
	if c.stream {
		in := bufio.NewReaderSize(c.conn, 64<<10)
		next = func(b []byte) (int, error) { return readFrame(in, b) }
	}
	b := make([]byte, 70_000)
	for {
		n, err := next(b)
		if err != nil {
			return
		}
		_, _ = c.inside.Write(b[:n]) // the client counts what does not come
	}
}

func (c *carrier) record(b []byte) (int, error) { return c.conn.Read(b) }

// readFrame reads a STUN message or ChannelData with its padding from a stream, into a buffer that any fits.
func readFrame(in *bufio.Reader, b []byte) (int, error) {
	head, err := in.Peek(4)
	if err != nil {
		return 0, err
	}
	size := stunHeader + int(binary.BigEndian.Uint16(head[2:]))
	if head[0]&0xC0 != 0 {
		size = 4 + (int(binary.BigEndian.Uint16(head[2:]))+3)&^3
	}
	return io.ReadFull(in, b[:size])
}

// close ends the connection, and waits until nothing is carried any more.
func (c *carrier) close() {
	_ = c.conn.Close()
	if c.inside != nil {
		_ = c.inside.Close()
	}
	c.running.Wait()
}
