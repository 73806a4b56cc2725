//go:build linux

package e2e

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"turnpike/internal/netlab"
)

// TestCoturnClients lets the programs of coturn judge the server, with a
// credential as coturn's users make them: from a secret that both sides have.
func TestCoturnClients(t *testing.T) {
	need(t, "turnutils_uclient", "turnutils_stunclient", "turnutils_peer")
	lab := netlab.New(t)
	s, _, ca := open(t, lab)
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

	ctx, cancel := within(t, 2*time.Minute)
	peer := echo.Command(ctx, "turnutils_peer", "-L", echo.Addr().String())
	var peerLog output
	peer.Stdout, peer.Stderr = &peerLog, &peerLog
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = peer.Wait() // Killed, as it never ends by itself.
		if t.Failed() {
			t.Logf("turnutils_peer: %s", peerLog.String())
		}
	})

	toPeer := []string{"-e", echo.Addr().String()}
	for _, test := range []struct {
		name string
		args []string
	}{
		{"udp, channels, echo peer", toPeer},
		{"udp, indications, echo peer", append([]string{"-s"}, toPeer...)},
		// 80 of these fit into the buffer of one socket: a machine that stalls loses none.
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
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // The clients mostly wait for themselves.
			ctx, cancel := within(t, 60*time.Second)
			defer cancel()
			out := uclient(ctx, t, alice, append(test.args, address))
			if err := lossless(out); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// uclient runs turnutils_uclient until it has made requests that the server may grant, and returns what it printed.
//
// Version 4.6.1 rolls dice: every other Allocate has an EVEN-PORT, even where no second port is wanted (-c), which a
// server may refuse to know (420), and channel numbers are from the range of RFC 5766, a quarter of which RFC 8656 §12 has
// left (400 for the rest). It gives up within milliseconds then. Any other error is the server's. Over DTLS it dices for the
// version, too, and goes on doing so by itself where that is 1.0.
func uclient(ctx context.Context, t *testing.T, from *netlab.Host, args []string) string {
	t.Helper()
	for try := 1; ; try++ {
		// A user for every try: the allocations of those given up stay until they expire, and count.
		common := []string{"-c", "-n", "50", "-z", "5", "-u", fmt.Sprintf("alice%d", try), "-W", restSecret}
		cmd := from.Command(ctx, "turnutils_uclient", append(common, args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Logf("try %d", try)
			return string(out)
		}
		dice := strings.Contains(string(out), "error 420 (") || strings.Contains(string(out), "channel bind: error 400 (")
		if !dice || try == 500 {
			t.Fatalf("%s, try %d: %v\n%s", strings.Join(cmd.Args, " "), try, err, out)
		}
	}
}

// lossless reads what turnutils_uclient counted: it exits with 0 whatever it lost.
func lossless(out string) error {
	totals := regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`).FindAllStringSubmatch(out, -1)
	if len(totals) == 0 {
		return fmt.Errorf("turnutils_uclient printed no totals")
	}
	last := totals[len(totals)-1]
	if last[1] == "0" || last[1] != last[2] {
		return fmt.Errorf("sent %s, received %s", last[1], last[2])
	}
	return nil
}
