package forward

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// remote starts a forward as -R, and returns where the peer listens, each time that it does. An address is empty once the forward has ended.
func (b *two) remote(t *testing.T, spec string) (addresses chan string, ended chan error) {
	t.Helper()
	s, err := ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	addresses, ended = make(chan string, 16), make(chan error, 1)
	b.running.Go(func() {
		defer close(addresses)
		ended <- b.client.ServeRemote(b.ctx, s, func(address string) { addresses <- address })
	})
	return addresses, ended
}

// TestRemote: the peer listens, and connections come back.
func TestRemote(t *testing.T) {
	to, datagrams := service(t, echo), udpEcho(t)
	b := newTwo(t, "", "*,udp/*")
	addresses, _ := b.remote(t, "0:"+to)
	if got := says(t, dialLocal(t, <-addresses), "hello"); got != "you said hello" {
		t.Errorf("%q came back", got)
	}
	addresses, _ = b.remote(t, "udp/0:"+datagrams)
	if got := exchange(t, dialUDP(t, <-addresses), []byte("hello")); string(got) != ">hello" {
		t.Errorf("%q came back", got)
	}
	count := func() int {
		b.server.mu.Lock()
		defer b.server.mu.Unlock()
		return b.server.total
	}
	if n := count(); n < 3 { // two listeners, and the flow
		t.Errorf("%d streams are counted", n)
	}
	b.breaks()
	b.end()
	b.running.Wait()
	if n := count(); n != 0 {
		t.Errorf("at the end %d streams are counted", n)
	}
}

// TestRemoteRefused: a peer that allows nothing says so, and that ends the forward at its start.
func TestRemoteRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct{ allow, spec, why string }{
		{"", "8080:localhost:80", "to listen for others is not allowed here"},
		{"8080", "8081:localhost:80", "to listen there is not allowed here; only on 8080"},
		{"8080", "*:8080:localhost:80", "to listen there is not allowed here; only on 8080"},
		{"*", port(taken.Addr().String()) + ":localhost:80", "is taken by another program"},
	} {
		b := newTwo(t, "localhost:80", row.allow)
		_, ended := b.remote(t, row.spec)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), row.why) {
			t.Errorf("allowed is %q, %s: %v; want %q", row.allow, row.spec, err, row.why)
		}
	}
}

// TestRemoteComesBack: after a break the peer is asked again, and the port is ours again, also if the former listener is not known to be dead.
func TestRemoteComesBack(t *testing.T) {
	to := service(t, echo)
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := reserved.Addr().String()
	_ = reserved.Close()
	b := newTwo(t, "", "*")
	addresses, _ := b.remote(t, port(at)+":"+to)
	if got := <-addresses; got != at {
		t.Errorf("it listens on %s, want %s", got, at)
	}
	b.breaks()
	if got := <-addresses; got != at {
		t.Errorf("it listens on %s, want %s", got, at)
	}
	if got := says(t, dialLocal(t, at), "hello"); got != "you said hello" {
		t.Errorf("%q came back", got)
	}
}

// TestTakeover: a peer's listener makes place for another of the same ID, and of that peer alone.
func TestTakeover(t *testing.T) {
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := reserved.Addr().String()
	_ = reserved.Close()
	b := newTwo(t, "", "*")
	request := `{"id":"a","network":"tcp","port":` + port(at) + "}\n"
	ask := func(from string) (Stream, error) {
		near, far := pair(t, ListenName)
		b.running.Go(func() { b.server.Serve(b.ctx, From{Name: from}, far) })
		return Asking(b.ctx, func(context.Context, string) (Stream, error) { return near, nil }, ListenName, request)
	}
	first, err := ask("laptop")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask("mallory"); err == nil || !strings.Contains(err.Error(), "is taken by another program") {
		t.Errorf("another peer takes the port: %v", err)
	}
	if _, err := ask("laptop"); err != nil {
		t.Errorf("the same peer does not get its port again: %v", err)
	}
	_ = first.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, first); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the former stream has ended with %v", err)
	}
}

// TestListenerBounds: a peer has so many listeners, and others still have theirs.
func TestListenerBounds(t *testing.T) {
	s := &Server{}
	add := func(owner, id string) string {
		return s.replace(t.Context(), listenerKey{owner, id}, &remoteListener{func() {}, make(chan struct{})})
	}
	for i := range maxListenersOfPeer {
		if why := add("laptop", string(rune('a'+i))); why != "" {
			t.Fatal(why)
		}
	}
	if why := add("laptop", "one-more"); !strings.Contains(why, "16 listeners are open") {
		t.Errorf("one more: %q", why)
	}
	if why := add("phone", "a"); why != "" {
		t.Error(why)
	}
}

// TestServeBack: what nobody has asked for is refused.
func TestServeBack(t *testing.T) {
	b := newTwo(t, "", "")
	near, far := pair(t, BackPrefix+"unknown")
	b.running.Go(func() { b.client.ServeBack(b.ctx, far) })
	if err := Answer(near); err == nil || err.Error() != "nobody has asked for that here" {
		t.Error(err)
	}
}

// FuzzRequest: whatever a peer asks for, what is taken has an ID that a stream's name can have, and an address to listen on.
func FuzzRequest(f *testing.F) {
	f.Add(`{"id":"a","network":"tcp","port":8080}`)
	f.Add(`{"id":"a","network":"udp","bind":"*","port":0}`)
	f.Fuzz(func(t *testing.T, line string) {
		id, s, err := parseRequest(line)
		if err != nil {
			return
		}
		if name := BackPrefix + id; len(name) > maxName || strings.ContainsAny(id, "/\n\x00 ") {
			t.Errorf("%q has the ID %q", line, id)
		}
		if _, _, err := net.SplitHostPort(s.Listen()); err != nil {
			t.Errorf("%q listens on %q", line, s.Listen())
		}
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is taken", line)
		}
	})
}

// FuzzServe: whatever name a stream has, the server serves only what it allows.
func FuzzServe(f *testing.F) {
	for _, name := range []string{"tcp/localhost:22", "tcp/22", "udp/[::1]:53", "tcp/", "listen"} {
		f.Add(strings.TrimPrefix(name, TCPPrefix), "localhost:22\n")
	}
	f.Fuzz(func(t *testing.T, name, begin string) {
		d, _, err := readDestination(deafStream{strings.NewReader(begin)}, name)
		if err != nil {
			return
		}
		if again, err := ParseDestination(d.String()); err != nil || again != d {
			t.Errorf("%q leads to %+v, and that is %+v, %v", name, d, again, err)
		}
		allowed := Allow{{host: localhost, port: 22}}.permits(false, d)
		if loopback := d.Host == localhost || d.Host == "127.0.0.1" || d.Host == "::1"; allowed != (loopback && d.Port == 22) {
			t.Errorf("%q leads to %v: %v", name, d, allowed)
		}
	})
}

// deafStream can only be read.
type deafStream struct{ io.Reader }

func (deafStream) Write(b []byte) (int, error)      { return len(b), nil }
func (deafStream) Close() error                     { return nil }
func (deafStream) CloseWrite() error                { return nil }
func (deafStream) Reset()                           {}
func (deafStream) Name() string                     { return "" }
func (deafStream) LocalAddr() net.Addr              { return nil }
func (deafStream) RemoteAddr() net.Addr             { return nil }
func (deafStream) SetDeadline(time.Time) error      { return nil }
func (deafStream) SetReadDeadline(time.Time) error  { return nil }
func (deafStream) SetWriteDeadline(time.Time) error { return nil }
