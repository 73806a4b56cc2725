package forward

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/proxy"
)

// socks starts a forward as -D.
func (b *two) socks(t *testing.T) string {
	t.Helper()
	listener, err := Spec{}.ListenTCP(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.running.Go(func() { b.client.ServeSOCKS(b.ctx, listener, Spec{}) })
	return listener.Addr().String()
}

// TestSOCKS connects by a client of another project.
func TestSOCKS(t *testing.T) {
	to := service(t, echo)
	b := newTwo(t, "localhost:"+port(to), "")
	dialer, err := proxy.SOCKS5("tcp", b.socks(t), nil, proxy.Direct)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		conn, err := dialer.Dial("tcp", net.JoinHostPort(host, port(to)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != "you said hello" {
			t.Errorf("%s: %q, %v", host, got, err)
		}
		_ = conn.Close()
	}
	for destination, code := range map[string]string{
		"localhost:1":   "connection not allowed by ruleset",
		"example.org:1": "connection not allowed by ruleset",
	} {
		if _, err := dialer.Dial("tcp", destination); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v, want %q", destination, err, code)
		}
		if err := b.failure(t); !strings.HasPrefix(err.Error(), destination+": "+destination+" is not allowed here") {
			t.Errorf("the reason is %v", err)
		}
	}
}

// TestSOCKSCodes: what a peer says in words a program reads as a code.
func TestSOCKSCodes(t *testing.T) {
	for _, row := range []struct {
		err  error
		want byte
	}{
		{&Refusal{"localhost:1 is not allowed here; only localhost:22"}, 2},
		{&Refusal{"localhost:1 there: connection refused"}, 5},
		{&Refusal{"a.org:1 there: no such host"}, 4},
		{errNoAnswer, 3},
	} {
		if got := replyTo(row.err); got != row.want {
			t.Errorf("%v: %d, want %d", row.err, got, row.want)
		}
	}
}

// TestSOCKSUDP carries datagrams by UDP ASSOCIATE, byte by byte as RFC 1928 has them.
func TestSOCKSUDP(t *testing.T) {
	to := netip.MustParseAddrPort(udpEcho(t))
	b := newTwo(t, "udp/"+to.String(), "")
	control := dialLocal(t, b.socks(t))
	at := associate(t, control)
	conn := dialUDP(t, at.String())
	header := append([]byte{0, 0, 0, 1, 127, 0, 0, 1}, byte(to.Port()>>8), byte(to.Port()))
	if got, want := exchange(t, conn, append(header, "hello, peer"...)), append(header, ">hello, peer"...); !bytes.Equal(got, want) {
		t.Errorf("%q came back, want %q", got, want)
	}

	// A fragment, another program's datagram, and rubbish are passed over. What comes next is served.
	stranger := dialUDP(t, at.String())
	_, _ = stranger.Write(append(header, "from a stranger"...))
	_, _ = conn.Write(append([]byte{0, 0, 1}, append(header[3:], "fragment"...)...))
	_, _ = conn.Write([]byte{0, 0, 0})
	if got := exchange(t, conn, append(header, "whole one"...)); !bytes.HasSuffix(got, []byte(">whole one")) {
		t.Errorf("%q came back", got)
	}

	// The end of the connection is the end of the association.
	_ = control.Close()
	eventually(t, func() bool {
		again, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	})
}

func associate(t *testing.T, control *net.TCPConn) netip.AddrPort {
	t.Helper()
	if _, err := control.Write([]byte{5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(control, answer); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(answer, []byte{5, 0, 5, 0, 0, 1}) {
		t.Fatalf("the answer is %x", answer)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(answer[6:10])), uint16(answer[10])<<8|uint16(answer[11]))
}

// TestSOCKSWrong: what is not SOCKS5 without a password gets the answer that the RFC has for it.
func TestSOCKSWrong(t *testing.T) {
	b := newTwo(t, "*:*", "")
	address := b.socks(t)
	for _, row := range []struct{ said, answer, why string }{
		{"\x05\x01\x02", "\x05\xff", "takes no password"},
		{"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "", "something else than SOCKS5"},
		{"GET / HTTP/1.1\r\n\r\n", "", "something else than SOCKS5"},
		{"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", "something else than CONNECT"},
		{"\x05\x01\x00\x05\x01\x00\x07", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00", "unrecognized address type"},
		{"\x05\x01\x00\x05\x01\x00\x03\x03a b\x00\x50", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00", "is no host"},
	} {
		conn := dialLocal(t, address)
		_, _ = io.WriteString(conn, row.said)
		_ = conn.CloseWrite()
		got := make([]byte, 64)
		n, _ := io.ReadFull(conn, got) // a reset may follow what we did not read
		if string(got[:n]) != row.answer {
			t.Errorf("%q: %q, want %q", row.said, got[:n], row.answer)
		}
		if err := b.failure(t); !strings.Contains(err.Error(), row.why) {
			t.Errorf("%q: the reason is %v, want %q", row.said, err, row.why)
		}
	}
	// Programs that only look whether somebody listens are no failure.
	_ = dialLocal(t, address).Close()
	conn := dialLocal(t, address)
	_, _ = conn.Write([]byte{5})
	_ = conn.Close()
	b.end()
	b.running.Wait()
	if len(b.failed) > 0 {
		t.Errorf("it complains of %v", b.failed)
	}
}

// FuzzSOCKS: whatever a program sends, what it gets is a destination that can be asked for, or nothing.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x03\x09localhost\x00\x50"), []byte("\x00\x00\x00\x03\x09localhost\x00\x35hello"))
	f.Add([]byte("\x05\x01\x00\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"), []byte("\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35hello"))
	f.Fuzz(func(t *testing.T, stream, datagram []byte) {
		_, d, err := greet(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(stream), io.Discard})
		check := func(d Destination) {
			if again, err := ParseDestination(d.String()); err != nil || again != d {
				t.Errorf("%+v is %q, and that is %+v, %v", d, d.String(), again, err)
			}
		}
		if err == nil && (d != Destination{}) {
			check(d)
		}
		if d, data, ok := socksDatagram(datagram); ok {
			check(d)
			if !bytes.HasSuffix(datagram, data) {
				t.Errorf("%q has %q", datagram, data)
			}
			if again, _, ok := socksDatagram(append(socksHeader(d), "data"...)); !ok || again != d {
				t.Errorf("the header of %+v is %x", d, socksHeader(d))
			}
		}
	})
}
