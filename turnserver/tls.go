package turnserver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"turnpike/turnserver/wire"
)

// Application protocols (RFC 7301). Those of TURN and NAT discovery are RFC 7443's. A client need not name any.
const (
	alpnTURN      = "stun.turn"
	alpnDiscovery = "stun.nat-discovery"
	alpnHTTP      = "http/1.1"
	alpnACME      = "acme-tls/1" // RFC 8737; it must never reach HTTP or TURN
)

// tlsConfigs has a configuration for each kind of listener, since a kind that names no protocol of a client's must refuse it.
type tlsConfigs struct{ turn, web, both *tls.Config }

func newTLSConfigs(cfg *Config) tlsConfigs {
	with := func(protocols ...string) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cfg.GetCertificate, NextProtos: protocols}
	}
	return tlsConfigs{
		turn: with(alpnTURN, alpnDiscovery),
		web:  with(alpnHTTP, alpnACME),
		both: with(alpnHTTP, alpnTURN, alpnDiscovery, alpnACME),
	}
}

func (t *tlsConfigs) of(opts *StreamOptions) *tls.Config {
	switch {
	case opts.Other == nil:
		return t.turn
	case opts.NoTURN:
		return t.web
	}
	return t.both
}

// handshake puts TLS on a connection, and returns the protocol that was agreed upon, which may be none.
func (l *streamListener) handshake(c *clientConn) (string, reason) {
	below := c.Conn
	if len(c.ahead) > 0 {
		below = &clientConn{Conn: c.Conn, sock: c.sock, remote: c.remote, local: c.local, ahead: c.ahead}
		c.ahead = nil
	}
	conn := tls.Server(below, l.srv.tls.of(&l.options))
	if err := conn.Handshake(); err != nil {
		why := tlsFailure(err)
		if why == tlsNotTLS && l.options.Other != nil {
			hintHTTPS(err)
		}
		return "", why
	}
	c.Conn, c.proto = conn, wire.TLS
	return conn.ConnectionState().NegotiatedProtocol, goesOn
}

// tlsFailure sorts what ended a handshake.
func tlsFailure(err error) reason {
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	switch {
	case isTimeout(err):
		return tlsTimeout
	case errors.As(err, &notTLS):
		return tlsNotTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.As(err, &op) && op.Op == "remote error": // an alert
		return tlsByClient
	}
	return tlsFailed
}

// hintHTTPS answers a browser that speaks HTTP where TLS is spoken, as its user sees nothing but an error else.
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
