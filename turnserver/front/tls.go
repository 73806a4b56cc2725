package front

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Application protocols (RFC 7301). Those of TURN and NAT discovery are RFC 7443's. A client need not name any.
const (
	ProtocolTURN      = "stun.turn"
	ProtocolDiscovery = "stun.nat-discovery"
	protocolHTTP      = "http/1.1"
	protocolACME      = "acme-tls/1" // RFC 8737; it must never reach HTTP or TURN
)

// tlsConfigs has a configuration for each kind of listener, since a listener must refuse a client that names only
// protocols which it does not speak.
type tlsConfigs struct{ stun, other, both *tls.Config }

func newTLSConfigs(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) tlsConfigs {
	with := func(protocols ...string) *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificate, NextProtos: protocols,
			DynamicRecordSizingDisabled: true, // a record has a whole message
		}
	}
	return tlsConfigs{
		stun:  with(ProtocolTURN, ProtocolDiscovery),
		other: with(protocolHTTP, protocolACME),
		both:  with(protocolHTTP, ProtocolTURN, ProtocolDiscovery, protocolACME),
	}
}

func (t *tlsConfigs) of(opts *Options) *tls.Config {
	switch {
	case opts.Other == nil:
		return t.stun
	case opts.STUN == nil:
		return t.other
	}
	return t.both
}

// handshake puts TLS on a connection, and returns the protocol that was agreed upon, which may be none.
func (l *Listener) handshake(c *Conn) (string, Reason) {
	below := &Conn{Conn: c.Conn, sock: c.sock, remote: c.remote, local: c.local, ahead: c.ahead}
	c.ahead = nil
	conn := tls.Server(below, l.front.tls.of(&l.options))
	if err := conn.Handshake(); err != nil {
		why := tlsFailure(err)
		if why == NotTLS && l.options.Other != nil {
			hintHTTPS(err)
		}
		return "", why
	}
	c.Conn, c.below, c.secured = conn, below, true
	return conn.ConnectionState().NegotiatedProtocol, none
}

// tlsFailure returns the reason for a failed handshake.
func tlsFailure(err error) Reason {
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	switch {
	case isTimeout(err):
		return TLSTimeout
	case errors.As(err, &notTLS):
		return NotTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.As(err, &op) && op.Op == "remote error": // an alert
		return TLSByClient
	}
	return TLSFailed
}

// hintHTTPS answers a browser that speaks HTTP to a TLS port. Without the hint its user would see nothing but an error.
func hintHTTPS(err error) {
	var notTLS tls.RecordHeaderError
	if !errors.As(err, &notTLS) || notTLS.Conn == nil {
		return
	}
	switch first := string(notTLS.RecordHeader[:]); {
	case strings.HasPrefix(first, "GET "), strings.HasPrefix(first, "HEAD "), strings.HasPrefix(first, "POST "), strings.HasPrefix(first, "PUT "), strings.HasPrefix(first, "OPTIO"):
		_, _ = io.WriteString(notTLS.Conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks https: write https:// before the address.\n")
	}
}
