//go:build linux

package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"example.org/turnpike/internal/netlab"
)

// openMachine returns the shell of a machine that has joined the server, in a room that is named like the invite's.
func openMachine(t *testing.T, s *server, config string, ca *authority, host *netlab.Host, room, name string) *terminal {
	t.Helper()
	term := openTerminal(t, host, ca, s.link(t, config, room))
	joining := term.start(t, nil, "join", "--name", name)
	joining.exits(t, 0)
	term.env = append(term.env, "TURNPIKE_INVITE=") // the last one counts: from here on the machine signs itself in
	return term
}

// twoMachines has nas listen, and returns the shells of both.
func twoMachines(t *testing.T, lab *netlab.Lab, s *server, config string, ca *authority, kind netlab.Kind, mark string) (near, far *terminal) {
	t.Helper()
	far = openMachine(t, s, config, ca, lab.Behind(kind, "far"+mark), "home"+mark, "nas"+mark)
	near = openMachine(t, s, config, ca, lab.Behind(kind, "near"+mark), "home"+mark, "laptop"+mark)
	return near, far
}

// listenTCP is a service on loopback of a host: do serves each of its connections.
func listenTCP(t *testing.T, host *netlab.Host, do func(*net.TCPConn)) (port string) {
	t.Helper()
	var listener *net.TCPListener
	err := host.Do(func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				do(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// hashTCP answers with the hash of all that it has read, after the end of that.
func hashTCP(conn *net.TCPConn) {
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	hash := sha256.New()
	if _, err := io.Copy(hash, conn); err == nil {
		_, _ = conn.Write(hash.Sum(nil))
	}
}

// echoTCP answers each byte with itself.
func echoTCP(conn *net.TCPConn) {
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	_, _ = io.Copy(conn, struct{ io.Reader }{conn})
}

// forwarded waits until a forward says that it leads to a place, and returns the address of its listener.
func (v *verb) forwarded(t *testing.T, to string) netip.AddrPort {
	t.Helper()
	line := regexp.MustCompile(`(?m)^forwards (?:SOCKS5 on |udp/)?(127\.0\.0\.1:\d+)(?: at \S+)? to ` + regexp.QuoteMeta(to))
	if !v.stderr.await(40*time.Second, line.MatchString) {
		t.Fatalf("it says of no forward to %s, but %q", to, v.stderr.String())
	}
	return netip.MustParseAddrPort(line.FindStringSubmatch(v.stderr.String())[1])
}

// dialFrom connects from a host.
func dialFrom(t *testing.T, host *netlab.Host, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	conn, err := host.DialTCP(to, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(90 * time.Second))
	return conn.(*net.TCPConn)
}

// sendsHashed sends size bytes, ends them, and checks the hash that comes back.
func sendsHashed(t *testing.T, conn *net.TCPConn, size int) {
	t.Helper()
	data := random(size)
	if _, err := conn.Write(data); err != nil {
		t.Error(err)
		return
	}
	_ = conn.CloseWrite()
	got, err := io.ReadAll(conn)
	if want := sha256.Sum256(data); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("%d bytes came back, %v: not the hash of %d", len(got), err, size)
	}
}

// echoes sends a byte or more, and waits until they come back.
func echoes(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("%q came back, %v", got, err)
	}
}

// udpExchange sends a datagram from a host until an answer comes.
func udpExchange(t *testing.T, host *netlab.Host, to netip.AddrPort, text string) string {
	t.Helper()
	var conn net.Conn
	if err := host.Do(func() (err error) {
		conn, err = net.Dial("udp4", to.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, 2048)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		_, _ = io.WriteString(conn, text)
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := conn.Read(buffer); err == nil {
			return string(buffer[:n])
		}
	}
	t.Fatal("no answer came")
	return ""
}

// listenUDP is a UDP service on loopback of a host, which answers each datagram with itself behind a mark.
func listenUDP(t *testing.T, host *netlab.Host) (port string) {
	t.Helper()
	var socket *net.UDPConn
	if err := host.Do(func() (err error) {
		socket, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(append([]byte(">"), buffer[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return strconv.Itoa(socket.LocalAddr().(*net.UDPAddr).Port)
}

// TestForward carries TCP and UDP by -L, -R and -D at once, by the best path that each pair of NATs allows.
func TestForward(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	for i, test := range []struct {
		kind netlab.Kind
		path string
	}{
		{netlab.PortRestricted, "direct udp "},
		{netlab.Symmetric, `relayed by (turn\.lab|the other side) over udp, `},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			mark := strconv.Itoa(i)
			near, far := twoMachines(t, lab, s, config, ca, test.kind, mark)
			t.Parallel()
			tcp, udp, back := listenTCP(t, far.host, hashTCP), listenUDP(t, far.host), listenTCP(t, near.host, hashTCP)
			listening := far.start(t, nil, "listen", "--allow", "localhost:"+tcp+",udp/localhost:"+udp, "--allow-remote", "*", "--from", "laptop"+mark)
			listening.says(t, "listens as nas"+mark+" in the room home"+mark+" for laptop"+mark)
			forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+tcp, "-L", "udp/0:localhost:"+udp, "-R", "0:localhost:"+back, "-D", "0", "nas"+mark)
			socks := forwarding.forwarded(t, "what nas"+mark+" allows")
			sendsHashed(t, dialFrom(t, near.host, forwarding.forwarded(t, "localhost:"+tcp)), 4<<20)
			sendsHashed(t, dialFrom(t, far.host, forwarding.forwarded(t, "localhost:"+back+" here")), 1<<20)
			if got := udpExchange(t, near.host, forwarding.forwarded(t, "localhost:"+udp), "hello"); got != ">hello" {
				t.Errorf("%q came back", got)
			}
			dialer, err := proxy.SOCKS5("tcp", socks.String(), nil, hostDialer{near.host})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := dialer.Dial("tcp", "localhost:"+tcp)
			if err != nil {
				t.Fatal(err)
			}
			sendsHashed(t, conn.(*net.TCPConn), 1<<20)
			if _, err := dialer.Dial("tcp", "localhost:1"); err == nil || !strings.Contains(err.Error(), "not allowed by ruleset") {
				t.Errorf("what is not allowed: %v", err)
			}
			if said := forwarding.stderr.String(); !regexp.MustCompile("(?m)^nas" + mark + ": " + test.path).MatchString(said) {
				t.Errorf("it said %q", said)
			}

			// pipe reaches a port of the same listen.
			piping := near.start(t, strings.NewReader("hello"), "pipe", "--to", "nas"+mark, tcp)
			piping.exits(t, 0)
			if want := sha256.Sum256([]byte("hello")); piping.stdout.String() != string(want[:]) {
				t.Errorf("pipe printed %q", piping.stdout.String())
			}
			forwarding.interrupt(t)
			forwarding.exits(t, 0)
			listening.interrupt(t)
			listening.exits(t, 0)
		})
	}
}

// hostDialer connects from a host.
type hostDialer struct{ host *netlab.Host }

func (d hostDialer) Dial(_, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return d.host.DialTCP(to, 10*time.Second)
}

// TestForwardMany has 200 connections at once through one forward between symmetric NATs, beside 20 that nobody reads.
func TestForwardMany(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	near, far := twoMachines(t, lab, s, config, ca, netlab.Symmetric, "")
	const many, stalled = 200, 20
	var all sync.WaitGroup
	all.Add(many)
	port := listenTCP(t, far.host, func(conn *net.TCPConn) {
		all.Done()
		all.Wait() // until all are there
		hashTCP(conn)
	})
	endless := listenTCP(t, far.host, func(conn *net.TCPConn) {
		for data := random(1 << 20); ; {
			if _, err := conn.Write(data); err != nil {
				return
			}
		}
	})
	far.start(t, nil, "listen", "--allow", port, "--allow", endless, "--from", "laptop").says(t, "listens as nas")
	forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "-L", "0:localhost:"+endless, "nas")
	to, stalls := forwarding.forwarded(t, "localhost:"+port), forwarding.forwarded(t, "localhost:"+endless)
	for range stalled {
		conn := dialFrom(t, near.host, stalls)
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil { // it flows, and then nobody reads
			t.Fatal(err)
		}
	}
	var running sync.WaitGroup
	for range many {
		conn := dialFrom(t, near.host, to)
		running.Go(func() { sendsHashed(t, conn, 64<<10) })
	}
	running.Wait()
}

// TestForwardGoesOn has a connection outlive the server's death, and changes of network at both sides.
func TestForwardGoesOn(t *testing.T) {
	need(t)
	t.Parallel()
	for _, kind := range []netlab.Kind{netlab.PortRestricted, netlab.Symmetric} {
		t.Run(kind.String(), func(t *testing.T) {
			lab := netlab.New(t)
			s, config, ca := startServer(t, lab)
			near, far := twoMachines(t, lab, s, config, ca, kind, "")
			t.Parallel()
			port, back := listenTCP(t, far.host, echoTCP), listenTCP(t, near.host, echoTCP)
			far.start(t, nil, "listen", "--allow", port, "--allow-remote", "*", "--from", "laptop").says(t, "listens as nas")
			forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "-R", "0:localhost:"+back, "--wait", "40s", "nas")
			to, here := forwarding.forwarded(t, "localhost:"+port), forwarding.forwarded(t, "localhost:"+back)
			there, alsoBack := dialFrom(t, near.host, to), dialFrom(t, far.host, here)
			for i, hurt := range []func(){
				func() {},
				func() { lab.Readdress(near.host) },
				func() { s.restart(t) },
				func() { lab.Readdress(far.host) },
				func() { lab.Move(near.host, kind) },
			} {
				hurt()
				text := strings.Repeat(fmt.Sprintf("after blow %d, ", i), 1000)
				echoes(t, there, text)
				echoes(t, alsoBack, text)
				echoes(t, dialFrom(t, near.host, to), text) // and new ones come
			}
		})
	}
}

// TestForwardAway has the other machine go and come back. Meanwhile the listener stays, and refuses after its wait.
func TestForwardAway(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	near, far := twoMachines(t, lab, s, config, ca, netlab.PortRestricted, "")
	port, back := listenTCP(t, far.host, echoTCP), listenTCP(t, near.host, echoTCP)
	listen := func() *verb {
		listening := far.start(t, nil, "listen", "--allow", port, "--allow-remote", "9000", "--from", "laptop")
		listening.says(t, "listens as nas")
		return listening
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			listening := listen()
			forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "-R", "9000:localhost:"+back, "--wait", "5s", "nas")
			to, here := forwarding.forwarded(t, "localhost:"+port), forwarding.forwarded(t, "localhost:"+back)
			open := dialFrom(t, near.host, to)
			echoes(t, open, "hello")
			if err := listening.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("an open connection has ended with %v", err)
			}
			if err := readFrom(near.host, to); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("a new connection has ended with %v", err)
			}
			again := listen()
			echoes(t, dialUntil(t, near.host, to), "hello again")
			echoes(t, dialUntil(t, far.host, here), "hello back")
			forwarding.interrupt(t)
			forwarding.exits(t, 0)
			again.interrupt(t)
			again.exits(t, 0)
		})
	}
}

// readFrom connects from a host, and returns how reading a byte ends. A reset may come before the connection counts as made.
func readFrom(host *netlab.Host, to netip.AddrPort) error {
	conn, err := host.DialTCP(to, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// dialUntil connects until an echo comes: a forward that waits for its peer refuses meanwhile.
func dialUntil(t *testing.T, host *netlab.Host, to netip.AddrPort) net.Conn {
	t.Helper()
	for end := time.Now().Add(80 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		conn, err := host.DialTCP(to, 10*time.Second)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err = conn.Write([]byte("x")); err == nil {
			if _, err = io.ReadFull(conn, make([]byte, 1)); err == nil {
				return conn
			}
		}
	}
	t.Fatal("no connection comes through")
	return nil
}

// TestForwardRefused: nobody connects but the machines of --from, and a machine that was revoked is out within seconds.
func TestForwardRefused(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startServer(t, lab)
	near, far := twoMachines(t, lab, s, config, ca, netlab.PortRestricted, "")
	mallory := openMachine(t, s, config, ca, lab.Public("mallory"), "home", "mallory")
	stranger := openTerminal(t, lab.Public("stranger"), ca, s.link(t, config, "home"))
	port := listenTCP(t, far.host, echoTCP)
	listening := far.start(t, nil, "listen", "--allow", port, "--from", "laptop")
	listening.says(t, "listens as nas in the room home for laptop: localhost:"+port)

	others := mallory.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	if err := readFrom(mallory.host, others.forwarded(t, "localhost:"+port)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a machine that is not named has read %v", err)
	}
	others.says(t, "nas refuses: mallory may not connect; it takes turnpike listen --from mallory")
	listening.says(t, "refused mallory: mallory may not connect")
	remote := mallory.start(t, nil, "forward", "-R", "0:localhost:"+port, "nas")
	remote.exits(t, 1)
	remote.says(t, "mallory may not connect")

	guest := stranger.start(t, nil, "pipe", "--to", "nas", port, "--name", "guest")
	guest.exits(t, 1)
	guest.says(t, "nas refuses: only machines that have proved their key may connect")
	stranger.env = append(stranger.env, "TURNPIKE_INVITE=", "TURNPIKE_SERVER="+publicURL)
	noMachine := stranger.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	noMachine.exits(t, 1)
	noMachine.says(t, "has not joined")
	nobody := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "printer", "--wait", "1s")
	nobody.exits(t, 1)
	nobody.says(t, "turnpike: there is no printer in the room home; there is ")

	forwarding := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	conn := dialFrom(t, near.host, forwarding.forwarded(t, "localhost:"+port))
	echoes(t, conn, "hello")
	s.run(t, "machines", "--config", config, "--revoke", "laptop")
	revoked := time.Now()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a revoked machine is connected")
	}
	forwarding.exits(t, 1)
	forwarding.says(t, "turnpike: "+publicURL+" has ended the session of laptop: the machine was revoked, or thrown out")
	t.Logf("the end came %v after the revocation: %s", time.Since(revoked), forwarding.stderr.String())
	late := near.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	late.exits(t, 1)
	late.says(t, "was revoked")

	// Another machine gets the name nas. Who has met the former one notices.
	s.run(t, "machines", "--config", config, "--revoke", "nas")
	listening.exits(t, 1)
	listening.says(t, "turnpike: "+publicURL+" has ended the session of nas: the machine was revoked, or thrown out")
	other := openMachine(t, s, config, ca, far.host, "home", "nas")
	other.start(t, nil, "listen", "--allow", port, "--from", "mallory").says(t, "listens as nas")
	fooled := mallory.start(t, nil, "forward", "-L", "0:localhost:"+port, "nas")
	fooled.exits(t, 1)
	fooled.says(t, "turnpike: nas has another key than the one that was pinned here")
}
