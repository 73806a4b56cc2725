package front

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// proxyV2 makes a header of version 2 by hand.
func proxyV2(command, family byte, addresses, tlvs []byte) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(addresses)+len(tlvs)))
	return append(append(b, addresses...), tlvs...)
}

func proxyV2Addresses(client, server string) (out []byte) {
	c, s := netip.MustParseAddrPort(client), netip.MustParseAddrPort(server)
	out = append(c.Addr().AsSlice(), s.Addr().AsSlice()...)
	out = binary.BigEndian.AppendUint16(out, c.Port())
	return binary.BigEndian.AppendUint16(out, s.Port())
}

// proxyHeaders are good ones, with who the client is; nobody where the header does not tell.
func proxyHeaders() map[string]string {
	v4, v6 := proxyV2Addresses("203.0.113.7:40000", "192.0.2.2:443"), proxyV2Addresses("[2001:db8::7]:40000", "[2001:db8::2]:443")
	return map[string]string{
		"PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n":             "203.0.113.7:40000",
		"PROXY TCP6 2001:db8::7 2001:db8::2 40000 443\r\n":           "[2001:db8::7]:40000",
		"PROXY TCP6 ::ffff:203.0.113.7 2001:db8::2 40000 443\r\n":    "203.0.113.7:40000",
		"PROXY TCP6 203.0.113.7 2001:db8::2 40000 443\r\n":           "203.0.113.7:40000",
		"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": "255.255.255.255:65535",
		"PROXY UNKNOWN\r\n": "",
		"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n":                        "",
		string(proxyV2(proxyV2Proxied, proxyV2TCP4, v4, nil)):                                  "203.0.113.7:40000",
		string(proxyV2(proxyV2Proxied, proxyV2TCP6, v6, nil)):                                  "[2001:db8::7]:40000",
		string(proxyV2(proxyV2Proxied, proxyV2TCP4, v4, []byte{4, 0, 1, 0})):                   "203.0.113.7:40000",
		string(proxyV2(proxyV2Proxied, proxyV2TCP6, v6, make([]byte, 2000))):                   "[2001:db8::7]:40000",
		string(proxyV2(proxyV2Local, proxyV2Unknown, nil, nil)):                                "",
		string(proxyV2(proxyV2Local, proxyV2TCP4, v4, nil)):                                    "",
		string(proxyV2(proxyV2Local, 0x31, nil, []byte("whatever"))):                           "",
		string(proxyV2(proxyV2Proxied, proxyV2Unknown, nil, []byte("what is not understood"))): "",
	}
}

// badProxyHeaders begin connections that are closed.
func badProxyHeaders(t testing.TB) map[string]string {
	v4 := proxyV2Addresses("203.0.113.7:40000", "192.0.2.2:443")
	return map[string]string{
		"none, HTTP":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"none, STUN":         string(binding(t)),
		"none, TLS":          "\x16\x03\x01\x02\x00\x01\x00\x01",
		"lower case":         "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
		"UDP":                "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
		"two spaces":         "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
		"no family":          "PROXY \r\n",
		"no ports":           "PROXY TCP4 1.1.1.1 2.2.2.2\r\n",
		"too much":           "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
		"IPv6 in TCP4":       "PROXY TCP4 ::1 ::2 1 2\r\n",
		"a name":             "PROXY TCP4 localhost 2.2.2.2 1 2\r\n",
		"a zone":             "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
		"a long port":        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
		"a port with a sign": "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
		"a port with a zero": "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
		"LF alone":           "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
		"no end":             "PROXY UNKNOWN " + strings.Repeat("x", 200),
		"end too late":       "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n",
		"signature of 2":     "\r\n\r\n\x00\r\nQUIT!",
		"version 3":          string(proxyV2(0x31, proxyV2TCP4, v4, nil)),
		"command 2":          string(proxyV2(0x22, proxyV2TCP4, v4, nil)),
		"UDP in 2":           string(proxyV2(proxyV2Proxied, 0x12, v4, nil)),
		"Unix in 2":          string(proxyV2(proxyV2Proxied, 0x31, make([]byte, 216), nil)),
		"addresses cut":      string(proxyV2(proxyV2Proxied, proxyV2TCP4, v4[:11], nil)),
		"too long":           string(proxyV2(proxyV2Proxied, proxyV2TCP4, v4, make([]byte, 4100))),
		"longest":            string(proxyV2(proxyV2Local, proxyV2Unknown, nil, make([]byte, 65535)))[:16],
	}
}

func TestParseProxyHeader(t *testing.T) {
	for header, want := range proxyHeaders() {
		for n := range header {
			if _, size, err := parseProxyHeader([]byte(header[:n])); size != 0 || err != nil {
				t.Errorf("%q, %d bytes of it: %d, %v", header, n, size, err)
			}
		}
		h, size, err := parseProxyHeader([]byte(header + "PROXY UNKNOWN\r\n"))
		got := ""
		if h.client.IsValid() {
			got = h.client.String()
		}
		if err != nil || size != len(header) || got != want || h.server.IsValid() != (want != "") {
			t.Errorf("%q: %v of %v, %d, %v; want %v", header, h.client, h.server, size, err, want)
		}
	}
	for name, header := range badProxyHeaders(t) {
		if h, size, err := parseProxyHeader([]byte(header)); err == nil {
			t.Errorf("%s: %v, %d", name, h, size)
		}
	}
}

// FuzzProxyHeader: more bytes change no verdict, a header has an end within its bound, and what a header says is said
// again by the header that is made of it.
func FuzzProxyHeader(f *testing.F) {
	for header := range proxyHeaders() {
		f.Add([]byte(header))
	}
	for _, header := range badProxyHeaders(f) {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size, err := parseProxyHeader(b)
		if size < 0 || size > len(b) || size > proxyV2Longest || err != nil && size != 0 {
			t.Fatalf("%q: %d, %v", b, size, err)
		}
		if err == nil && size == 0 && len(b) >= proxyV2Longest {
			t.Fatalf("%d bytes do not tell", len(b))
		}
		for n := range min(len(b), 600) {
			early, earlySize, earlyErr := parseProxyHeader(b[:n])
			if earlyErr != nil && err == nil || earlySize != 0 && (early != h || earlySize != size) {
				t.Fatalf("%q: %d bytes tell %v %d %v, all of them %v %d %v", b, n, early, earlySize, earlyErr, h, size, err)
			}
		}
		if !h.client.IsValid() {
			return
		}
		if h.client.Addr().Is4In6() || h.client.Addr().Zone() != "" || !h.server.IsValid() {
			t.Fatalf("%q: %v to %v", b, h.client, h.server)
		}
		as16 := func(ap netip.AddrPort) string {
			return netip.AddrPortFrom(netip.AddrFrom16(ap.Addr().As16()), ap.Port()).String()
		}
		again, _, err := parseProxyHeader(proxyV2(proxyV2Proxied, proxyV2TCP6, proxyV2Addresses(as16(h.client), as16(h.server)), nil))
		if err != nil || again != h {
			t.Fatalf("%q: %v, made again %v, %v", b, h, again, err)
		}
	})
}

func proxied(cfg *Config) {
	cfg.ProxyProtocol = true
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// TestProxyProtocol on every kind of listener: the client is who the header says, to STUN and to the other owner,
// whether the header comes whole, in pieces or with what follows.
func TestProxyProtocol(t *testing.T) {
	f := newTestFront(t, proxied)
	listeners := make(map[carries]netip.AddrPort)
	for _, c := range []carries{{stun: true}, {tls: true, stun: true}, {stun: true, other: true}, {tls: true, stun: true, other: true}} {
		listeners[c] = f.listen(c)
	}
	for header, client := range proxyHeaders() {
		for what, addr := range listeners {
			for owner, say := range map[string][]byte{"STUN": binding(t), "other": []byte("GET /x HTTP/1.0\r\n\r\n")} {
				if owner == "other" && !what.other {
					continue
				}
				c := dial(t, addr)
				c.write([]byte(header)[:7])
				want := owner + " for " + client
				if client == "" {
					want = owner + " for " + c.LocalAddr().String()
				}
				c.Conn = &joinedWrite{Conn: c.Conn, first: []byte(header)[7:]}
				if what.tls {
					c.Conn = tls.Client(c.Conn, clientTLS())
				}
				c.write(say)
				if got := c.answer(); got != want {
					t.Errorf("%q: answered %q, want %q", header, got, want)
				}
				_ = c.Close()
			}
		}
	}
	f.wantNothingLeft()
}

// joinedWrite sends first together with what is written first.
type joinedWrite struct {
	net.Conn
	first []byte
}

func (j *joinedWrite) Write(b []byte) (int, error) {
	_, err := j.Conn.Write(append(j.first, b...))
	j.first = nil
	return len(b), err
}

// TestBadProxyHeaders: no header, or a bad one, ends the connection before anything behind it is read.
func TestBadProxyHeaders(t *testing.T) {
	f := newTestFront(t, proxied)
	listeners := []netip.AddrPort{f.listen(carries{stun: true}), f.listen(carries{tls: true, stun: true}), f.listen(carries{stun: true, other: true})}
	closed := 0
	for name, header := range badProxyHeaders(t) {
		for _, addr := range listeners {
			c := dial(t, addr)
			c.write([]byte(header))
			c.wantClosed()
			closed++
			f.waitCounted(ProxyHeader, closed)
			if t.Failed() {
				t.Fatal(name)
			}
		}
	}
	c := dial(t, listeners[0])
	c.write([]byte("PROXY UNKN"))
	_ = c.Close()
	f.waitCounted(Left, 1)
}

// TestProxySpoofed: strangers are closed whatever they say, and what a client says behind the header of its load
// balancer is no second header.
func TestProxySpoofed(t *testing.T) {
	header := "PROXY TCP4 203.0.113.7 192.0.2.2 40000 443\r\n"
	f := newTestFront(t, func(cfg *Config) {
		cfg.ProxyProtocol = true
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32"), netip.MustParsePrefix("2001:db8::/32")}
	})
	stunOnly := f.listen(carries{stun: true})
	for i, addr := range []netip.AddrPort{stunOnly, f.listen(carries{tls: true, stun: true}), f.listen(carries{stun: true, other: true})} {
		dial(t, addr).wantClosed() // before a word
		f.waitCounted(Stranger, i+1)
	}
	trusted := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := trusted.Dial("tcp", stunOnly.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &testClient{t, conn}
	c.write([]byte(header + strings.Replace(header, "203.0.113.7", "203.0.113.8", 1)))
	if got := c.answer(); got != "STUN for 203.0.113.7:40000" {
		t.Errorf("answered %q", got)
	}
}

// TestProxiedClientsAreCounted by their own address, not by the load balancer's.
func TestProxiedClientsAreCounted(t *testing.T) {
	f := newTestFront(t, func(cfg *Config) {
		proxied(cfg)
		cfg.ConnectionsPerAddress = 2
	})
	addr := f.listen(carries{stun: true})
	behind := func(client string) *testClient {
		c := dial(t, addr)
		c.write([]byte("PROXY TCP4 " + client + " 192.0.2.2 40000 443\r\n"))
		c.write(binding(t))
		return c
	}
	behind("203.0.113.7").answer()
	first := behind("203.0.113.7")
	first.answer()
	behind("203.0.113.8").answer()
	behind("203.0.113.7").wantClosed()
	f.waitCounted(TooManyFrom, 1)
	_ = first.Close()
	f.waitFor("a place", func() bool { return f.connections(netip.MustParseAddr("203.0.113.7")) == 1 })
	behind("203.0.113.7").answer()
}
