//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.org/turnpike/internal/netlab"
)

// kinds are those of the matrix.
func kinds() []netlab.Kind {
	return []netlab.Kind{netlab.Public, netlab.FullCone, netlab.AddressRestricted, netlab.PortRestricted, netlab.Symmetric,
		netlab.CGNAT, netlab.IPv6Only, netlab.UDPBlocked, netlab.Only443}
}

// directly reports whether two hosts of these kinds reach each other without a relay.
func directly(a, b netlab.Kind) bool {
	sendsUDP := func(k netlab.Kind) bool { return k != netlab.UDPBlocked && k != netlab.Only443 }
	hasIPv4 := func(k netlab.Kind) bool { return k != netlab.IPv6Only }
	hasIPv6 := func(k netlab.Kind) bool { return k == netlab.Public || k == netlab.IPv6Only }
	// The address of such a host is another for each that it sends to, so the other one cannot know it beforehand.
	unforeseen := func(k netlab.Kind) bool { return k == netlab.Symmetric || k == netlab.CGNAT }
	// Such a host lets in a packet from a port that it has not sent to.
	open := func(k netlab.Kind) bool {
		return slices.Contains([]netlab.Kind{netlab.Public, netlab.IPv6Only, netlab.FullCone, netlab.AddressRestricted}, k)
	}
	return sendsUDP(a) && sendsUDP(b) && (hasIPv4(a) && hasIPv4(b) || hasIPv6(a) && hasIPv6(b)) &&
		(!unforeseen(a) || open(b)) && (!unforeseen(b) || open(a))
}

// relayedOver is how a host of a kind reaches the server's relay.
func relayedOver(k netlab.Kind) string {
	switch k {
	case netlab.UDPBlocked:
		return "tcp"
	case netlab.Only443:
		return "tls"
	}
	return "udp"
}

// startDualStackServer starts a server that takes clients by IPv4 and by IPv6.
func startDualStackServer(t *testing.T, lab *netlab.Lab) (*server, string, *authority) {
	t.Helper()
	host := lab.Public("server")
	lab.AddName6(publicName, host)
	return startServerOn(t, lab, host, `listen = ["udp://0.0.0.0:3478", "udp://[::]:3478", "tcp://0.0.0.0:3478", "tcp://[::]:3478"]`)
}

// hostsBySide returns a function that makes a host of each kind for each side, once.
func hostsBySide(lab *netlab.Lab) func(kind netlab.Kind, side string) *netlab.Host {
	hosts := map[string]*netlab.Host{}
	return func(kind netlab.Kind, side string) *netlab.Host {
		name := side + strings.ReplaceAll(strings.ToLower(kind.String()), " ", "-")
		if hosts[name] == nil {
			hosts[name] = lab.Behind(kind, name)
		}
		return hosts[name]
	}
}

// TestPipeMatrix carries bytes from command line to command line between hosts of every two kinds, each way, and holds that
// they use the relay just where nothing else connects them.
func TestPipeMatrix(t *testing.T) {
	need(t)
	t.Parallel()
	lab := netlab.New(t)
	s, config, ca := startDualStackServer(t, lab)
	short := [][2]netlab.Kind{
		{netlab.CGNAT, netlab.CGNAT}, {netlab.CGNAT, netlab.FullCone}, {netlab.PortRestricted, netlab.CGNAT},
		{netlab.IPv6Only, netlab.IPv6Only}, {netlab.IPv6Only, netlab.Symmetric}, {netlab.Symmetric, netlab.AddressRestricted},
	}
	at := hostsBySide(lab)
	for i, from := range kinds() {
		for j, to := range kinds() {
			if !matrix() && !slices.Contains(short, [2]netlab.Kind{from, to}) || leftOut(false) {
				continue
			}
			near, far := at(from, "from-"), at(to, "to-")
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				name := fmt.Sprintf("nas-%d-%d", i, j) // all pairs are online at the same time
				link := s.link(t, config, name)
				there, here := openTerminal(t, far, ca, link), openTerminal(t, near, ca, link)
				t.Parallel()
				upward, downward := random(1<<20), random(1<<20)
				listening := there.start(t, bytes.NewReader(downward), "pipe", "--listen", "--name", name)
				listening.says(t, "listens as "+name)
				stdin, typing, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer typing.Close()
				sending := here.start(t, stdin, "pipe", "--to", name)
				stdin.Close() // here, so that writing fails once the verb has ended
				// Half of it goes by whatever path is there first, the rest by the best one.
				half := len(upward) / 2
				if _, err := typing.Write(upward[:half]); err != nil {
					t.Fatal(err)
				}
				await(t, fmt.Sprintf("a path that is %q", bestPath(name, from, to)), func() bool {
					return bestPath(name, from, to).MatchString(lastPath(sending, name))
				})
				if _, err := typing.Write(upward[half:]); err != nil {
					t.Fatal(err)
				}
				typing.Close()
				sending.exits(t, 0)
				listening.exits(t, 0)
				if listening.stdout.String() != string(upward) || sending.stdout.String() != string(downward) {
					t.Errorf("%d bytes of %d arrived, and %d of %d came back, or others",
						len(listening.stdout.String()), len(upward), len(sending.stdout.String()), len(downward))
				}
			})
		}
	}
}

// TestBrowserMatrix has a program of the library and Chromium open streams to each other, between hosts of every two kinds.
func TestBrowserMatrix(t *testing.T) {
	need(t, "node", "chromium", "certutil")
	lab := netlab.New(t)
	s, config, ca := startDualStackServer(t, lab)
	at := hostsBySide(lab)
	for i, one := range kinds() {
		for j, two := range kinds()[i:] {
			page, program := one, two
			if j%2 == 1 {
				page, program = two, one
			}
			isHardest := page == netlab.IPv6Only && program == netlab.Only443
			if !matrix() && !isHardest {
				continue
			}
			t.Run(page.String()+" x "+program.String(), func(t *testing.T) {
				room, path := fmt.Sprintf("matrix-%d-%d", i, j), "relayed"
				if directly(page, program) {
					path = "direct"
				}
				exchangeWithPage(t, exchange{chromium, at(page, "page-"), at(program, "program-"), ca, s.link(t, config, room), room, 1 << 20, false, path})
			})
		}
	}
}

// bestPath matches the line that a verb on a host prints of the best path to a peer: direct, or by this side's relay or the other's.
func bestPath(peer string, from, to netlab.Kind) *regexp.Regexp {
	path := "direct udp "
	if !directly(from, to) {
		path = "relayed by " + publicName + " over " + relayedOver(from) + ", "
		if relayedOver(from) == "udp" {
			path = "relayed by (" + publicName + "|the other side) over udp, "
		}
	}
	return regexp.MustCompile("^" + peer + ": " + path)
}

// lastPath returns the last line that a verb has printed of the path to a peer.
func lastPath(v *verb, peer string) (last string) {
	for line := range strings.Lines(v.stderr.String()) {
		if strings.HasPrefix(line, peer+": ") && strings.HasSuffix(line, "\n") {
			last = line
		}
	}
	return last
}
