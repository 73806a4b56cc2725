//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestCoturnClients runs coturn's programs against the server. Their credentials
// come from a shared secret, as with coturn's own server.
func TestCoturnClients(t *testing.T) {
	need(t, "turnutils_uclient", "turnutils_stunclient", "turnutils_peer")
	t.Parallel()
	lab := netlab.New(t)
	s, _, ca := startServer(t, lab)
	alice, echo := lab.Behind(netlab.Symmetric, "alice"), lab.Public("echo")
	address := s.host.Addr().String()

	t.Run("stunclient", func(t *testing.T) {
		ctx, cancel := within(t, 20*time.Second)
		defer cancel()
		out := stdout(t, alice.Command(ctx, "turnutils_stunclient", address))
		if !strings.Contains(out, alice.Public().String()+":") {
			t.Errorf("want the reflexive address %v: %s", alice.Public(), out)
		}
	})

	listenForEcho(t, echo)
	toPeer := []string{"-e", echo.Addr().String()}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"udp, channels, echo peer", toPeer},
		{"udp, indications, echo peer", append([]string{"-s"}, toPeer...)},
		// The buffer of one socket has room for 80 of these, so a machine that stalls loses none.
		{"udp, indications, large", append([]string{"-s", "-l", "1200", "-n", "80"}, toPeer...)},
		{"tcp, channels, echo peer", append([]string{"-t"}, toPeer...)},
		{"tcp, indications, echo peer", append([]string{"-t", "-s"}, toPeer...)},
		{"udp, client to client", []string{"-y", "-s", "-m", "2"}},
		{"tcp, client to client", []string{"-t", "-y", "-s", "-m", "2"}},
		{"tls, channels, echo peer", append([]string{"-t", "-S"}, toPeer...)},
		{"tls, indications, echo peer", append([]string{"-t", "-S", "-s"}, toPeer...)},
		{"tls on the port of the pages", append([]string{"-t", "-S", "-s", "-p", "443"}, toPeer...)},
		{"tls, client to client", []string{"-t", "-S", "-y", "-s", "-m", "2"}},
		{"tls, certificate verified", append([]string{"-t", "-S", "-s", "-E", ca.caFile}, toPeer...)},
		{"dtls, channels, echo peer", append([]string{"-S"}, toPeer...)},
		{"dtls, indications, echo peer", append([]string{"-S", "-s"}, toPeer...)},
		{"dtls, indications, large", append([]string{"-S", "-s", "-l", "1200", "-n", "80"}, toPeer...)},
		{"dtls, client to client", []string{"-S", "-y", "-s", "-m", "2"}},
		{"tcp, TCP relaying", []string{"-T", "-m", "4"}},
		{"tls, TCP relaying", []string{"-T", "-S", "-m", "4"}},
		{"tls on the port of the pages, TCP relaying", []string{"-T", "-S", "-p", "443"}},
		{"udp, negative tests", append([]string{"-N", "-s"}, toPeer...)}, // The clients send bad messages among good ones.
		{"tcp, negative tests", append([]string{"-t", "-N", "-s"}, toPeer...)},
		{"tls, negative tests", append([]string{"-t", "-S", "-N", "-s"}, toPeer...)},
		{"dtls, negative tests", append([]string{"-S", "-N", "-s"}, toPeer...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // The clients mostly wait for timers of their own.
			wantLossless(t, alice, append(test.args, address))
		})
	}
}

// TestCoturnFamilies runs the clients with IPv6 on either side of the server, and with relays of both families at once.
func TestCoturnFamilies(t *testing.T) {
	need(t, "turnutils_uclient", "turnutils_peer")
	t.Parallel()
	lab := netlab.New(t)
	s, _, _ := startServerOn(t, lab, lab.Public("server"), `listen = [
	"udp://0.0.0.0:3478", "tcp://0.0.0.0:3478", "tls://0.0.0.0:5349", "dtls://0.0.0.0:5349",
	"udp://[::]:3478", "tcp://[::]:3478", "tls://[::]:5349", "dtls://[::]:5349"]`)
	guest, echo := lab.Public("guest"), lab.Public("echo")
	listenForEcho(t, echo)
	four, six := s.host.Addr().String(), s.host.Addr6().String()
	toFour, toSix := []string{"-e", echo.Addr().String()}, []string{"-e", echo.Addr6().String()}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"IPv6, udp, channels", append([]string{"-x"}, append(toSix, six)...)},
		{"IPv6, udp, indications", append([]string{"-x", "-s"}, append(toSix, six)...)},
		{"IPv6, tcp, channels", append([]string{"-x", "-t"}, append(toSix, six)...)},
		{"IPv6, tls, indications", append([]string{"-x", "-t", "-S", "-s"}, append(toSix, six)...)},
		{"IPv6, dtls, indications", append([]string{"-x", "-S", "-s"}, append(toSix, six)...)},
		{"IPv6, client to client", []string{"-x", "-y", "-s", "-m", "2", six}},
		{"IPv6, TCP relaying", []string{"-x", "-T", six}},
		{"IPv6, TCP relaying over TLS", []string{"-x", "-T", "-S", six}},
		{"from IPv4 to IPv6", append([]string{"-x", "-s"}, append(toSix, four)...)},
		{"from IPv6 to IPv4", append([]string{"-X", "-s"}, append(toFour, six)...)},
		{"from IPv4 to IPv6, TCP relaying", []string{"-x", "-T", four}},
		{"both, udp, to IPv4", append([]string{"-Z", "-s"}, append(toFour, four)...)},
		{"both, udp, to IPv6", append([]string{"-Z", "-s"}, append(toSix, four)...)},
		{"both, udp, channels", append([]string{"-Z"}, append(toSix, six)...)},
		{"both, tcp, client to client", []string{"-Z", "-t", "-y", "-s", "-m", "2", four}},
		{"both, TCP relaying", []string{"-Z", "-T", four}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantLossless(t, guest, test.args)
		})
	}
	t.Run("TCP peers that connect to the relay", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := within(t, 60*time.Second)
		defer cancel()
		// One of the program's two clients is the peer. The program counts the peer's messages as sent and never as
		// received.
		out := uclient(ctx, t, guest, []string{"-P", "-L", guest.Addr().String(), four})
		if sent, received := totals(out, "bytes ~ "); sent == 0 || received != sent/2 {
			t.Errorf("sent %d, received %d\n%s", sent, received, out)
		}
	})
}

// TestCoturnMobility runs coturn's client with -M: it makes a relay, moves to another port with its ticket, and only
// then sends.
func TestCoturnMobility(t *testing.T) {
	need(t, "turnutils_uclient", "turnutils_peer")
	t.Parallel()
	lab := netlab.New(t)
	s, _, _ := startServerOn(t, lab, lab.Public("server"), "mobility = true\n"+defaultListen)
	alice, echo := lab.Behind(netlab.Symmetric, "alice"), lab.Public("echo")
	listenForEcho(t, echo)
	toPeer := []string{"-e", echo.Addr().String(), s.host.Addr().String()}
	t.Run("clients", func(t *testing.T) {
		for _, test := range []struct {
			name string
			args []string
		}{
			{"udp, channels", toPeer},
			{"udp, indications", append([]string{"-s"}, toPeer...)},
			{"tcp, channels", append([]string{"-t"}, toPeer...)},
			{"tcp, indications", append([]string{"-t", "-s"}, toPeer...)},
			{"tls, indications", append([]string{"-t", "-S", "-s"}, toPeer...)},
			{"dtls, indications", append([]string{"-S", "-s"}, toPeer...)},
			{"udp, client to client", []string{"-y", "-s", "-m", "2", s.host.Addr().String()}},
			{"tcp, client to client", []string{"-t", "-y", "-s", "-m", "2", s.host.Addr().String()}},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				wantLossless(t, alice, append([]string{"-M"}, test.args...))
			})
		}
	})
	metrics := s.metrics(t)
	if moved := metrics["turnpike_turn_allocations_moved_total"]; moved < 8 {
		t.Errorf("only %.0f clients moved their relay", moved)
	}
	for _, transport := range []string{"udp", "tcp", "tls", "dtls"} {
		for _, direction := range []string{"up", "down"} {
			if metrics[`turnpike_turn_relayed_bytes_total{direction="`+direction+`",transport="`+transport+`"}`] == 0 {
				t.Errorf("the metrics count nothing relayed %s over %s", direction, transport)
			}
		}
	}
}

// TestCoturnNegativeProtocol holds that clients which change random bytes of their messages harm neither the server nor
// other clients. They may fail or hang themselves: a changed request may never get an answer.
func TestCoturnNegativeProtocol(t *testing.T) {
	need(t, "turnutils_uclient", "turnutils_peer")
	t.Parallel()
	lab := netlab.New(t)
	s, _, _ := startServer(t, lab)
	alice, echo := lab.Behind(netlab.Symmetric, "alice"), lab.Public("echo")
	listenForEcho(t, echo)
	address, toPeer := s.host.Addr().String(), []string{"-e", echo.Addr().String()}
	var clients sync.WaitGroup
	for i := range 4 {
		for _, args := range [][]string{
			append([]string{"-s"}, toPeer...), append([]string{"-t", "-s"}, toPeer...), append([]string{"-t", "-S", "-s"}, toPeer...),
			append([]string{"-S", "-s"}, toPeer...), {"-T"},
		} {
			clients.Go(func() {
				ctx, cancel := within(t, 8*time.Second)
				defer cancel()
				args = append([]string{"-R", "-c", "-n", "200", "-z", "5", "-u", fmt.Sprintf("mallory%d", i), "-W", restSecret}, args...)
				_ = alice.Command(ctx, "turnutils_uclient", append(args, address)...).Run()
			})
		}
	}
	clients.Wait()
	if malformed := s.metrics(t)[`turnpike_turn_packets_dropped_total{reason="malformed"}`]; malformed == 0 {
		t.Error("the server counted no malformed packet")
	}
	wantLossless(t, alice, append(append([]string{"-t", "-s"}, toPeer...), address))
	wantLossless(t, alice, []string{"-T", address})
}

// listenForEcho runs coturn's peer on a host until t ends. It echoes UDP datagrams.
func listenForEcho(t *testing.T, host *netlab.Host) {
	t.Helper()
	ctx, cancel := within(t, 4*time.Minute)
	args := []string{"-L", host.Addr().String()}
	if host.Addr6().IsValid() {
		args = append(args, "-L", host.Addr6().String())
	}
	peer := host.Command(ctx, "turnutils_peer", args...)
	var log output
	peer.Stdout, peer.Stderr = &log, &log
	if err := peer.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = peer.Wait() // It never ends by itself: cancel has killed it.
		if t.Failed() {
			t.Logf("turnutils_peer: %s", log.String())
		}
	})
}

// wantLossless runs turnutils_uclient, and checks that everything it sends comes back.
func wantLossless(t *testing.T, from *netlab.Host, args []string) {
	t.Helper()
	ctx, cancel := within(t, 60*time.Second)
	defer cancel()
	out := uclient(ctx, t, from, args)
	judge := lossless
	if slices.Contains(args, "-T") {
		judge = losslessTCP
	}
	if err := judge(out); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// uclient runs turnutils_uclient and returns its output. It tries again each time the program gives up by its own dice,
// which takes only milliseconds.
func uclient(ctx context.Context, t *testing.T, from *netlab.Host, args []string) string {
	t.Helper()
	collisions := 0 // tries on the five-tuple of an earlier one
	for try := 1; ; try++ {
		// A user for every try: the allocations of earlier tries stay until they expire, and count against a user's quota.
		common := []string{"-c", "-n", "50", "-z", "5", "-u", fmt.Sprintf("alice%d", try), "-W", restSecret}
		cmd := from.Command(ctx, "turnutils_uclient", append(common, args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Logf("try %d", try)
			return string(out)
		}
		if strings.Contains(string(out), "error 437 (") {
			collisions++
		}
		if !gaveUpByItself(args, string(out), err) || collisions > 3 || try == 500 {
			t.Fatalf("%s, try %d: %v\n%s", strings.Join(cmd.Args, " "), try, err, out)
		}
	}
}

// gaveUpByItself reports whether version 4.6.1 of turnutils_uclient gave up without any fault of the server's. It rolls dice:
//   - Every other Allocate has an EVEN-PORT, even without a second port (-c). A server may answer that it does not know it (420).
//   - Over TLS and DTLS it rolls for the version. If that is too old it tries another, unless it relays TCP.
//   - With -M, one in four frees the old (D)TLS connection twice. If the new one has got that memory, this ends it, or the program crashes.
//   - With -M over UDP, a new socket may get the port of an earlier try, whose allocation still exists (437).
func gaveUpByItself(args []string, out string, err error) bool {
	given := func(flag string) bool { return slices.Contains(args, flag) }
	says := func(what string) bool { return strings.Contains(out, what) }
	return says("error 420 (") || says("alert protocol version") ||
		given("-M") && given("-S") && (says("send: Success") || crashed(err)) ||
		given("-M") && !given("-t") && says("error 437 (")
}

// crashed reports whether a program has ended by a fault in its memory.
func crashed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && (status.Signal() == syscall.SIGSEGV || status.Signal() == syscall.SIGABRT)
}

// lossless checks what turnutils_uclient counted: the program exits with 0 even if it lost messages.
func lossless(out string) error { return equalTotals(out, "msgs=") }

// losslessTCP does the same for relayed TCP. It compares bytes, because the program counts two messages that arrive
// together as one.
func losslessTCP(out string) error { return equalTotals(out, "bytes ~ ") }

func equalTotals(out, unit string) error {
	if sent, received := totals(out, unit); sent == 0 || sent != received {
		return fmt.Errorf("sent %d, received %d", sent, received)
	}
	return nil
}

// totals reads how many of a unit turnutils_uclient counted. It returns 0 if the program did not print them.
func totals(out, unit string) (sent, received int) {
	all := regexp.MustCompile(`tot_send_`+unit+`(\d+), tot_recv_`+unit+`(\d+)`).FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return 0, 0
	}
	last := all[len(all)-1]
	sent, _ = strconv.Atoi(last[1])
	received, _ = strconv.Atoi(last[2])
	return sent, received
}
