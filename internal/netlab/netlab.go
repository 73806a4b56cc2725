//go:build linux

// Package netlab makes hosts, NATs and servers out of network namespaces,
// veth pairs, a bridge and nftables, so that a test can put two browsers
// behind two symmetric NATs on one machine.
//
//	  server            relay2                 the public segment
//	11.22.33.1        11.22.33.2               11.22.33.0/24, 2a11:2233::/64
//	    │ eth0            │ eth0
//	┌───┴─────────────────┴───────────────┐
//	│  br0, alone in its namespace        │    no link to the machine's own
//	└───┬─────────────────┬───────────────┘    network: no packet gets out
//	    │ wan             │ wan
//	11.22.33.3        11.22.33.4
//	 alice's NAT       bob's NAT               nftables: see nat.go
//	192.168.3.1       192.168.4.1
//	    │ lan             │ lan
//	    │ eth0            │ eth0
//	192.168.3.2       192.168.4.2              IPv4 only
//	  alice              bob
//
// The public segment uses addresses that look public, because a relay refuses
// the ranges that are reserved for documentation and for labs like this one.
// What is private is private: the insides of the NATs use RFC 1918.
//
// Names of namespaces start with "lab", the process id and a number, so that labs
// do not meet; a lab removes exactly what it made. Should a test process be
// killed before it could, `ip netns list` shows what it left behind.
package netlab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hostsDir is where `ip netns exec NAME` looks for the files, hosts and
// resolv.conf among them, that it shows in place of those in /etc.
const hostsDir = "/etc/netns"

// labs counts the labs of this process, for names only.
var labs atomic.Uint32

// A Lab is one public segment and what stands on it. Its methods are called
// from the test's goroutine, and end the test when the kernel refuses something.
type Lab struct {
	t      testing.TB
	prefix string // of the names of all its namespaces
	wire   string // the namespace with the bridge
	used   int    // addresses given out on the public segment
	hosts  []*Host
	names  []string // lines of every host's /etc/hosts
}

// New makes an empty public segment, which is gone when t ends. Without the
// rights or the tools for it, t is skipped with the reason; where the
// environment variable CI is set, that is a failure.
func New(t testing.TB) *Lab {
	t.Helper()
	if why := missing(); why != "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("netlab: %s, and CI must not skip this test", why)
		}
		t.Skipf("netlab: %s", why)
	}
	l := &Lab{t: t, prefix: fmt.Sprintf("lab%d-%d", os.Getpid(), labs.Add(1))}
	l.wire = l.namespace("wire")
	l.ip(l.wire,
		"link add br0 type bridge",
		"link set br0 up",
	)
	return l
}

// missing says why there can be no lab here, or "".
func missing() string {
	if os.Geteuid() != 0 {
		return "needs root, to make network namespaces"
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("needs the program %s (Debian: apt-get install iproute2 nftables)", tool)
		}
	}
	return ""
}

// Public makes a host with an IPv4 and an IPv6 address on the public segment.
func (l *Lab) Public(name string) *Host {
	l.t.Helper()
	addr, addr6, port := l.address()
	h := &Host{lab: l, name: name, netns: l.namespace(name), addr: addr, addr6: addr6, public: addr, kind: Public}
	l.ip(l.wire, fmt.Sprintf("link add %s master br0 type veth peer name eth0 netns %s", port, h.netns))
	l.ip(l.wire, fmt.Sprintf("link set %s up", port))
	// The default route leads to nobody. It is there because a server finds its
	// own address by asking for the source address of that route.
	l.ip(h.netns,
		"link set eth0 up",
		fmt.Sprintf("addr add %s/24 dev eth0", addr),
		fmt.Sprintf("addr add %s/64 dev eth0 nodad", addr6),
		fmt.Sprintf("route add default dev eth0 src %s", addr),
		fmt.Sprintf("route add ::/0 dev eth0 src %s", addr6),
	)
	l.add(h)
	return h
}

// Second gives a host on the public segment another IPv4 and another IPv6 address.
func (l *Lab) Second(h *Host) (v4, v6 netip.Addr) {
	l.t.Helper()
	if h.kind != Public {
		l.t.Fatalf("netlab: %s is %v, and has one address", h.name, h.kind)
	}
	v4, v6, _ = l.address()
	l.ip(h.netns,
		fmt.Sprintf("addr add %s/24 dev eth0", v4),
		fmt.Sprintf("addr add %s/64 dev eth0 nodad", v6),
	)
	return v4, v6
}

// Behind makes a host that has a NAT of the given kind to itself. Public is
// not a NAT: it makes what [Lab.Public] makes.
func (l *Lab) Behind(kind Kind, name string) *Host {
	l.t.Helper()
	if kind == Public {
		return l.Public(name)
	}
	h := &Host{lab: l, name: name, netns: l.namespace(name)}
	l.connect(h, kind, name+"-nat")
	l.add(h)
	return h
}

// Move takes a host from behind its NAT and puts it behind another one of the given kind, as when a telephone leaves the house: its
// address, and the one that others see, are new ones. What was open dies without a word: nothing that is sent to the old
// address is answered.
func (l *Lab) Move(h *Host, kind Kind) {
	l.t.Helper()
	if h.router == "" || kind == Public {
		l.t.Fatalf("netlab: %s, %v, cannot be moved: only from NAT to NAT", h.name, h.kind)
	}
	l.ip(h.netns, "link del eth0")
	h.moves++
	l.connect(h, kind, fmt.Sprintf("%s-nat%d", h.name, h.moves))
}

// Readdress gives the NAT of a host another public address, as some providers do every night. The host itself does not notice: its
// connections die without a word, since the NAT takes up none in mid-stream.
func (l *Lab) Readdress(h *Host) {
	l.t.Helper()
	if h.router == "" {
		l.t.Fatalf("netlab: %s is %v, and has no NAT", h.name, h.kind)
	}
	l.sysctl(h.router, "net/netfilter/nf_conntrack_tcp_loose", "0")
	former := h.public
	h.public, _, _ = l.address()
	l.ip(h.router,
		fmt.Sprintf("addr del %s/24 dev wan", former),
		fmt.Sprintf("addr add %s/24 dev wan", h.public),
		"route replace default dev wan",
	)
}

// connect makes a NAT of the given kind and puts h behind it.
func (l *Lab) connect(h *Host, kind Kind, router string) {
	l.t.Helper()
	wan, _, port := l.address()
	n := wan.As4()[3]
	inside := netip.AddrFrom4([4]byte{192, 168, n, 1})
	h.router, h.addr, h.public, h.kind = l.namespace(router), inside.Next(), wan, kind
	l.ip(l.wire, fmt.Sprintf("link add %s master br0 type veth peer name wan netns %s", port, h.router))
	l.ip(l.wire, fmt.Sprintf("link set %s up", port))
	l.ip(h.router, fmt.Sprintf("link add lan type veth peer name eth0 netns %s", h.netns))
	l.ip(h.router,
		"link set lan up",
		"link set wan up",
		fmt.Sprintf("addr add %s/24 dev lan", inside),
		fmt.Sprintf("addr add %s/24 dev wan", wan),
		// Private destinations are somebody else's inside. A provider would not
		// route them either.
		"route add unreachable 10.0.0.0/8",
		"route add unreachable 172.16.0.0/12",
		"route add unreachable 192.168.0.0/16",
		"route add default dev wan",
	)
	l.ip(h.netns,
		"link set eth0 up",
		fmt.Sprintf("addr add %s/24 dev eth0", h.addr),
		fmt.Sprintf("route add default via %s", inside),
	)
	l.sysctl(h.router, "net/ipv4/ip_forward", "1")
	l.nft(h.router, ruleset(kind, h.addr))
}

// Name lets every host of the lab, also those to come, resolve name to the address of h.
// It goes by /etc/hosts, thus only programs started by [Host.Command] see it. The name stands there with a
// final dot too, since Chromium appends one to the names of STUN and TURN servers.
func (l *Lab) Name(name string, h *Host) {
	l.t.Helper()
	l.names = append(l.names, fmt.Sprintf("%s %s %s.\n", h.addr, name, name))
	for _, h := range l.hosts {
		l.writeNames(h)
	}
}

// address gives out the next address of the public segment, and a name for
// the bridge's port to it.
func (l *Lab) address() (v4, v6 netip.Addr, port string) {
	l.t.Helper()
	if l.used++; l.used > 250 {
		l.t.Fatal("netlab: the public segment is full")
	}
	v4 = netip.AddrFrom4([4]byte{11, 22, 33, byte(l.used)})
	v6 = netip.AddrFrom16([16]byte{0x2a, 0x11, 0x22, 0x33, 15: byte(l.used)})
	return v4, v6, fmt.Sprintf("port%d", l.used)
}

func (l *Lab) add(h *Host) {
	l.t.Helper()
	l.hosts = append(l.hosts, h)
	l.writeNames(h)
}

// namespace makes one, with its loopback interface up, and removes it at the end of the test.
func (l *Lab) namespace(name string) string {
	l.t.Helper()
	netns := l.prefix + "-" + name
	l.run("", "ip", "netns", "add", netns)
	l.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", netns).CombinedOutput(); err != nil {
			l.t.Errorf("netlab: remove namespace %s: %v: %s", netns, err, out)
		}
	})
	// Duplicate address detection holds an IPv6 address back for a second or two.
	l.sysctl(netns, "net/ipv6/conf/all/accept_dad", "0")
	l.sysctl(netns, "net/ipv6/conf/default/accept_dad", "0")
	l.ip(netns, "link set lo up")
	return netns
}

// writeNames writes h's hosts and resolv.conf. No name server exists: asking
// for an unknown name fails at once, where the machine's own name server, out
// of reach, would be waited for.
func (l *Lab) writeNames(h *Host) {
	l.t.Helper()
	dir := filepath.Join(hostsDir, h.netns)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			l.t.Fatalf("netlab: %v", err)
		}
		l.t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				l.t.Errorf("netlab: %v", err)
			}
			_ = os.Remove(hostsDir) // Succeeds for the last of all labs, and only if nobody else uses it.
		})
	}
	// Written in place: programs that run already see the same file through a bind mount.
	hosts := "127.0.0.1 localhost\n::1 localhost\n" + strings.Join(l.names, "")
	for file, content := range map[string]string{"hosts": hosts, "resolv.conf": "nameserver 127.0.0.1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			l.t.Fatalf("netlab: %v", err)
		}
	}
}

// ip runs commands of ip(8) in one namespace.
func (l *Lab) ip(netns string, commands ...string) {
	l.t.Helper()
	l.run(strings.Join(commands, "\n"), "ip", "-n", netns, "-batch", "-")
}

func (l *Lab) nft(netns, ruleset string) {
	l.t.Helper()
	l.run(ruleset, "ip", "netns", "exec", netns, "nft", "-f", "-")
}

func (l *Lab) sysctl(netns, key, value string) {
	l.t.Helper()
	err := inside(netns, func() error {
		return os.WriteFile("/proc/sys/"+key, []byte(value), 0)
	})
	if err != nil {
		l.t.Fatalf("netlab: %v", err)
	}
}

func (l *Lab) run(stdin, name string, args ...string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("netlab: %s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stdin)
	}
}
