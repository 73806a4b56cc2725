// Package wiretest makes parts of messages as a client does, for tests. It uses no code of the server, so that it can
// judge that code.
package wiretest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"testing"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v3"
)

const (
	headerSize          = 20 // of a STUN message
	attributeHeaderSize = 4
)

// IntegritySHA256 is a key that signs with MESSAGE-INTEGRITY-SHA256.
type IntegritySHA256 []byte

// IntegritySHA256Size is the length of the attribute.
const IntegritySHA256Size = attributeHeaderSize + sha256.Size

// AddTo implements stun.Setter.
func (key IntegritySHA256) AddTo(m *stun.Message) error {
	m.Add(stun.AttrMessageIntegritySHA256, make([]byte, sha256.Size)) // sets the length in the header
	copy(m.Raw[len(m.Raw)-sha256.Size:], key.Sum(m.Raw[:len(m.Raw)-IntegritySHA256Size]))
	return nil
}

// Check wants MESSAGE-INTEGRITY-SHA256 to be the last attribute but for FINGERPRINT, and no MESSAGE-INTEGRITY.
func (key IntegritySHA256) Check(m *stun.Message) error {
	raw, last := bytes.Clone(m.Raw), len(m.Attributes)-1
	if last >= 0 && m.Attributes[last].Type == stun.AttrFingerprint {
		raw, last = raw[:len(raw)-(attributeHeaderSize+4)], last-1
		binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)-headerSize))
	}
	if last < 0 || m.Attributes[last].Type != stun.AttrMessageIntegritySHA256 || m.Contains(stun.AttrMessageIntegrity) {
		return stun.ErrAttributeNotFound
	}
	if !bytes.Equal(m.Attributes[last].Value, key.Sum(raw[:len(raw)-IntegritySHA256Size])) {
		return stun.ErrIntegrityMismatch
	}
	return nil
}

// Sum is the HMAC of the part of a message that the attribute covers.
func (key IntegritySHA256) Sum(covered []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(covered)
	return mac.Sum(nil)
}

// helloHeaders is the length of the headers of record and message, which stand before the version.
const helloHeaders = 13 + 12

// ClientHello is the first message of pion's client over DTLS: with no session and no cookie.
func ClientHello(t testing.TB, serverName string) []byte {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	client, err := dtls.ClientWithOptions(datagramConn{near}, near.LocalAddr(), dtls.WithServerName(serverName))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = client.HandshakeContext(ctx)
		close(ended)
	}()
	b := make([]byte, 2048)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = near.Close()
	<-ended
	return b[:n]
}

// datagramConn makes a net.PacketConn of a connection on which a message is a read.
type datagramConn struct{ net.Conn }

func (d datagramConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.Read(b)
	return n, d.RemoteAddr(), err
}

func (d datagramConn) WriteTo(b []byte, _ net.Addr) (int, error) { return d.Write(b) }

// WithCookie makes hello, which is one record, the answer to a HelloVerifyRequest.
func WithCookie(hello, cookie []byte, message uint16, sequence uint64) []byte {
	at := helloHeaders + 2 + 32 // after version and random
	at += 1 + int(hello[at])    // and the session
	body := append(bytes.Clone(hello[helloHeaders:at]), byte(len(cookie)))
	body = append(append(body, cookie...), hello[at+1+int(hello[at]):]...)
	b := append(bytes.Clone(hello[:helloHeaders]), body...)
	binary.BigEndian.PutUint64(b[3:], sequence)
	binary.BigEndian.PutUint16(b[11:], uint16(len(b)-13))
	size := binary.BigEndian.AppendUint32(nil, uint32(len(body)))[1:]
	copy(b[14:], size)
	binary.BigEndian.PutUint16(b[17:], message)
	copy(b[22:], size)
	return b
}
