package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol of HAProxy, versions 1 and 2: a load balancer that passes connections on tells the client's
// address in front of each. https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
const (
	proxyV1Prefix    = "PROXY "
	proxyV1Longest   = 107 // with CR LF
	proxyV2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV2Fixed     = 16
	// proxyV2Longest bounds the fixed part, the addresses and what a load balancer adds, which may be a client's
	// certificate.
	proxyV2Longest = 4096

	proxyV2Local   = 0x20
	proxyV2Proxied = 0x21
	proxyV2Unknown = 0x00 // address family and transport
	proxyV2TCP4    = 0x11
	proxyV2TCP6    = 0x21
)

// proxyHeader holds the addresses that a load balancer tells. They are not valid if it does not know them, or if it has
// made the connection itself, as a health check.
type proxyHeader struct{ client, server netip.AddrPort }

// errProxyHeader means that a connection begins with no PROXY header, or with one that is wrong.
var errProxyHeader = errors.New("no PROXY header, or a bad one")

// parseProxyHeader reads the header at the front of b and returns its length, or 0 if it needs more bytes to tell.
func parseProxyHeader(b []byte) (h proxyHeader, size int, err error) {
	switch {
	case hasPrefix(b, proxyV1Prefix):
		return parseProxyV1(b)
	case hasPrefix(b, proxyV2Signature):
		return parseProxyV2(b)
	}
	return h, 0, errProxyHeader
}

// hasPrefix reports whether b begins with prefix, or is too short to tell.
func hasPrefix(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

func parseProxyV1(b []byte) (h proxyHeader, _ int, err error) {
	end := bytes.IndexByte(b[:min(len(b), proxyV1Longest)], '\n')
	switch {
	case end < 0 && len(b) < proxyV1Longest:
		return h, 0, nil
	case end < 0 || b[end-1] != '\r':
		return h, 0, errProxyHeader
	}
	line, size := b[:end-1], end+1
	words := strings.Split(string(line), " ")
	if words[1] == "UNKNOWN" {
		return h, size, nil // whatever follows
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return h, 0, errProxyHeader
	}
	var ok1, ok2 bool
	h.client, ok1 = proxyV1Address(words[1], words[2], words[4])
	h.server, ok2 = proxyV1Address(words[1], words[3], words[5])
	if !ok1 || !ok2 {
		return proxyHeader{}, 0, errProxyHeader
	}
	return h, size, nil
}

func proxyV1Address(family, ip, port string) (netip.AddrPort, bool) {
	addr, err := netip.ParseAddr(ip)
	// nginx puts an IPv4 address in a TCP6 line if the two ends have different families.
	if err != nil || addr.Zone() != "" || family == "TCP4" && !addr.Is4() {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

func parseProxyV2(b []byte) (h proxyHeader, size int, err error) {
	if len(b) < proxyV2Fixed {
		return h, 0, nil
	}
	command, family := b[12], b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	size = proxyV2Fixed + length
	if size > proxyV2Longest || command != proxyV2Local && command != proxyV2Proxied {
		return h, 0, errProxyHeader
	}
	addresses := 0
	if command == proxyV2Proxied {
		switch family {
		case proxyV2Unknown:
		case proxyV2TCP4:
			addresses = 4
		case proxyV2TCP6:
			addresses = 16
		default: // datagrams and Unix sockets lead to no stream of ours
			return h, 0, errProxyHeader
		}
	}
	if addresses > 0 && length < 2*addresses+4 {
		return h, 0, errProxyHeader
	}
	if len(b) < size {
		return h, 0, nil
	}
	if addresses > 0 {
		body := b[proxyV2Fixed:size]
		ports := body[2*addresses:]
		client, _ := netip.AddrFromSlice(body[:addresses])
		server, _ := netip.AddrFromSlice(body[addresses : 2*addresses])
		h.client = netip.AddrPortFrom(client.Unmap(), binary.BigEndian.Uint16(ports))
		h.server = netip.AddrPortFrom(server.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	}
	return h, size, nil
}

// readProxyHeader takes the header off a connection, which comes from a trusted proxy. From here on the connection is
// its client's, and counts as one of the client's address.
func (f *Front) readProxyHeader(c *Conn) Reason {
	var b []byte
	for chunk := make([]byte, 256); ; {
		n, err := c.Read(chunk)
		b = append(b, chunk[:n]...)
		h, size, bad := parseProxyHeader(b)
		switch {
		case bad != nil:
			return ProxyHeader
		case size > 0:
			c.ahead = append([]byte(nil), b[size:]...)
			return f.setClient(c, h)
		case isTimeout(err):
			return Silent
		case err != nil:
			return Left
		}
	}
}

// setClient gives a connection the addresses that a header tells.
func (f *Front) setClient(c *Conn, h proxyHeader) Reason {
	if !h.client.IsValid() {
		return none // the proxy's own
	}
	c.remote, c.local = net.TCPAddrFromAddrPort(h.client), net.TCPAddrFromAddrPort(h.server)
	if !c.enter(f, h.client.Addr()) {
		return TooManyFrom
	}
	return none
}
