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
// The insides of the NATs use private addresses (RFC 1918). A home NAT can be behind that
// of a carrier, see [Carrier], and a host can have a slow line, see [Hop].
//
// The name of a namespace starts with "lab", the process ID and a number, so that
// labs do not collide. A lab removes exactly the namespaces that it made. If a test
// process is killed before that, `ip netns list` shows the leftovers.
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

// hostsDir has a directory for each namespace. `ip netns exec` shows the files
// there, such as hosts and resolv.conf, in place of those in /etc.
const hostsDir = "/etc/netns"

// labs counts the labs of this process, for their names only.
var labs atomic.Uint32

// A Lab is one public segment with its hosts. Only the test's goroutine may call
// its methods. They end the test when the kernel refuses something.
type Lab struct {
	t         testing.TB
	prefix    string // of the names of all its namespaces
	bridge    string // the namespace with the bridge
	addresses int    // addresses given out on the public segment
	hosts     []*Host
	names     []string // lines of every host's /etc/hosts
}

// New makes an empty public segment that lasts until t ends. Without the necessary
// rights or tools it skips t with the reason, or fails t where the environment
// variable CI is set.
func New(t testing.TB) *Lab {
	t.Helper()
	if why := missing(); why != "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("netlab: %s, and CI must not skip this test", why)
		}
		t.Skipf("netlab: %s", why)
	}
	l := &Lab{t: t, prefix: fmt.Sprintf("lab%d-%d", os.Getpid(), labs.Add(1))}
	l.bridge = l.namespace("bridge")
	l.ip(l.bridge,
		"link add br0 type bridge",
		"link set br0 up",
	)
	return l
}

// missing says why this process cannot make a lab, or returns "".
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
	return l.onSegment(name, Public)
}

// onSegment makes a host on the public segment, which has IPv4 unless its kind is IPv6Only.
func (l *Lab) onSegment(name string, kind Kind) *Host {
	l.t.Helper()
	addr, addr6, port := l.nextAddress()
	h := &Host{lab: l, name: name, netns: l.namespace(name), addr6: addr6, kind: kind}
	if kind != IPv6Only {
		h.addr, h.public = addr, addr
	}
	h.attach = func(join joiner) {
		l.t.Helper()
		join(l.bridge, port)
		l.ip(l.bridge, fmt.Sprintf("link set %s up master br0", port))
		// The default route leads nowhere. A server finds its own address by asking
		// for the source address of that route.
		commands := []string{
			"link set eth0 up",
			fmt.Sprintf("addr add %s/64 dev eth0 nodad", addr6),
			fmt.Sprintf("route add ::/0 dev eth0 src %s", addr6),
		}
		if kind != IPv6Only {
			commands = append(commands,
				fmt.Sprintf("addr add %s/24 dev eth0", addr),
				fmt.Sprintf("route add default dev eth0 src %s", addr),
			)
		}
		l.ip(h.netns, commands...)
	}
	h.attach(h.cable)
	l.register(h)
	return h
}

// AddAddresses gives a host on the public segment a second IPv4 and a second IPv6 address.
func (l *Lab) AddAddresses(h *Host) (v4, v6 netip.Addr) {
	l.t.Helper()
	if h.kind != Public {
		l.t.Fatalf("netlab: %s is %v, and has no second address", h.name, h.kind)
	}
	v4, v6, _ = l.nextAddress()
	l.ip(h.netns,
		fmt.Sprintf("addr add %s/24 dev eth0", v4),
		fmt.Sprintf("addr add %s/64 dev eth0 nodad", v6),
	)
	return v4, v6
}

// Supersede gives a host on the public segment other addresses, from which its default routes leave from now on. It keeps
// the ones before until [Lab.Withdraw], as with temporary IPv6 addresses.
func (l *Lab) Supersede(h *Host) {
	l.t.Helper()
	h.addr, h.addr6 = l.AddAddresses(h)
	h.public = h.addr
	l.ip(h.netns,
		fmt.Sprintf("route replace default dev eth0 src %s", h.addr),
		fmt.Sprintf("route replace ::/0 dev eth0 src %s", h.addr6),
	)
}

// Withdraw takes addresses away from a host on the public segment.
func (l *Lab) Withdraw(h *Host, addresses ...netip.Addr) {
	l.t.Helper()
	l.sysctl(h.netns, "net/ipv4/conf/all/promote_secondaries", "1") // else the first address of a network takes the others along
	for _, a := range addresses {
		bits := 64
		if a.Is4() {
			bits = 24
		}
		l.ip(h.netns, fmt.Sprintf("addr del %s/%d dev eth0", a, bits))
	}
}

// Behind makes a host behind a NAT of the given kind, with no other host there. For
// Public, which is no NAT, it does the same as [Lab.Public]. The host of IPv6Only is on
// the public segment too.
func (l *Lab) Behind(kind Kind, name string) *Host {
	l.t.Helper()
	switch kind {
	case Public:
		return l.Public(name)
	case IPv6Only:
		return l.onSegment(name, kind)
	case CGNAT:
		h := l.Carrier(name+"-carrier", Symmetric, false).Behind(PortRestricted, name)
		h.kind = kind
		return h
	}
	h := &Host{lab: l, name: name, netns: l.namespace(name)}
	l.putBehindNAT(h, kind, name+"-nat", nil)
	l.register(h)
	return h
}

// Move takes a host from behind its NAT and puts it behind another one of the given kind, as when a telephone leaves the
// house. Its address and its public address change. Its open connections die without a reset: nothing answers at the old
// address. A hop stays behind.
func (l *Lab) Move(h *Host, kind Kind) {
	l.t.Helper()
	if h.router == "" || kind == Public || kind == CGNAT || kind == IPv6Only {
		l.t.Fatalf("netlab: %s, %v, cannot be moved to %v: only from a NAT to one at home", h.name, h.kind, kind)
	}
	if h.hop != nil {
		h.hop.close() // which takes eth0 with it
		h.hop = nil
	} else {
		l.ip(h.netns, "link del eth0")
	}
	h.moves++
	l.putBehindNAT(h, kind, fmt.Sprintf("%s-nat%d", h.name, h.moves), nil)
}

// Readdress gives the NAT of a host another public address, as some providers do every night. The host itself does not
// notice. Its open connections die without a reset, because the NAT picks up no connection in mid-stream.
func (l *Lab) Readdress(h *Host) {
	l.t.Helper()
	if h.router == "" || h.carrier != nil {
		l.t.Fatalf("netlab: %s is %v, and has no NAT with a public address", h.name, h.kind)
	}
	l.sysctl(h.router, "net/netfilter/nf_conntrack_tcp_loose", "0")
	former := h.public
	h.public, _, _ = l.nextAddress()
	l.ip(h.router,
		fmt.Sprintf("addr del %s/24 dev wan", former),
		fmt.Sprintf("addr add %s/24 dev wan", h.public),
		"route replace default dev wan",
	)
}

// putBehindNAT makes a NAT of the given kind and puts h behind it. The NAT is a carrier's customer, or on the public segment.
func (l *Lab) putBehindNAT(h *Host, kind Kind, router string, carrier *Carrier) {
	l.t.Helper()
	h.router, h.kind, h.carrier = l.namespace(router), kind, carrier
	var n byte // of the network inside
	if carrier != nil {
		carrier.connect(h.router)
		other, _, _ := l.nextAddress() // no other NAT has its number
		h.public, n = carrier.public, other.As4()[3]
	} else {
		h.public = l.uplink(h.router)
		n = h.public.As4()[3]
	}
	inside := netip.AddrFrom4([4]byte{192, 168, n, 1})
	h.addr = inside.Next()
	h.attach = func(join joiner) {
		l.t.Helper()
		join(h.router, "lan")
		l.ip(h.router, "link set lan up", fmt.Sprintf("addr add %s/24 dev lan", inside))
		l.ip(h.netns,
			"link set eth0 up",
			fmt.Sprintf("addr add %s/24 dev eth0", h.addr),
			fmt.Sprintf("route add default via %s", inside),
		)
	}
	h.attach(h.cable)
	l.sysctl(h.router, "net/ipv4/ip_forward", "1")
	l.nft(h.router, ruleset(kind, h.addr))
}

// uplink joins a router to the public segment, and returns its address there.
func (l *Lab) uplink(router string) (wan netip.Addr) {
	l.t.Helper()
	wan, _, port := l.nextAddress()
	l.ip(l.bridge, fmt.Sprintf("link add %s master br0 type veth peer name wan netns %s", port, router))
	l.ip(l.bridge, fmt.Sprintf("link set %s up", port))
	l.ip(router,
		"link set wan up",
		fmt.Sprintf("addr add %s/24 dev wan", wan),
		"route add default dev wan",
	)
	l.denyPrivate(router)
	return wan
}

// denyPrivate lets a router answer that private addresses, but those inside it, are not reachable. A provider would not route
// packets there either.
func (l *Lab) denyPrivate(router string) {
	l.t.Helper()
	l.ip(router,
		"route add unreachable 10.0.0.0/8",
		"route add unreachable 172.16.0.0/12",
		"route add unreachable 192.168.0.0/16",
	)
}

// AddName lets all hosts of the lab, present and future, resolve name to the address of h.
// It writes their /etc/hosts, so only programs that [Host.Command] started see it. The file also has the name with a
// final dot, because Chromium appends one to the names of STUN and TURN servers.
func (l *Lab) AddName(name string, h *Host) {
	l.t.Helper()
	l.addName(name, h.addr)
}

// AddName6 adds the IPv6 address of h to a name.
func (l *Lab) AddName6(name string, h *Host) {
	l.t.Helper()
	l.addName(name, h.addr6)
}

func (l *Lab) addName(name string, addr netip.Addr) {
	l.t.Helper()
	l.names = append(l.names, fmt.Sprintf("%s %s %s.\n", addr, name, name))
	for _, h := range l.hosts {
		l.writeNames(h)
	}
}

// Rules loads rules of nftables on a host, as its firewall.
func (l *Lab) Rules(h *Host, ruleset string) {
	l.t.Helper()
	l.nft(h.netns, ruleset)
}

// nextAddress returns the next address of the public segment, and a name for the
// bridge's port to it.
func (l *Lab) nextAddress() (v4, v6 netip.Addr, port string) {
	l.t.Helper()
	if l.addresses++; l.addresses > 250 {
		l.t.Fatal("netlab: the public segment is full")
	}
	v4 = netip.AddrFrom4([4]byte{11, 22, 33, byte(l.addresses)})
	v6 = netip.AddrFrom16([16]byte{0x2a, 0x11, 0x22, 0x33, 15: byte(l.addresses)})
	return v4, v6, fmt.Sprintf("port%d", l.addresses)
}

func (l *Lab) register(h *Host) {
	l.t.Helper()
	l.hosts = append(l.hosts, h)
	l.writeNames(h)
}

// namespace makes a namespace with its loopback interface up. The end of the test removes it.
func (l *Lab) namespace(name string) string {
	l.t.Helper()
	netns := l.prefix + "-" + name
	l.run("", "ip", "netns", "add", netns)
	l.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", netns).CombinedOutput(); err != nil {
			l.t.Errorf("netlab: remove namespace %s: %v: %s", netns, err, out)
		}
	})
	// Duplicate address detection would delay an IPv6 address by a second or two.
	l.sysctl(netns, "net/ipv6/conf/all/accept_dad", "0")
	l.sysctl(netns, "net/ipv6/conf/default/accept_dad", "0")
	l.ip(netns, "link set lo up")
	return netns
}

// writeNames writes h's hosts and resolv.conf. The latter names a server that does
// not exist, so that a query for an unknown name fails at once. A query to the
// machine's own name server, which h does not reach, would time out.
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
			_ = os.Remove(hostsDir) // Succeeds only once the directory is empty.
		})
	}
	// Write in place: running programs see this very file through a bind mount.
	hosts := "127.0.0.1 localhost\n::1 localhost\n" + strings.Join(l.names, "")
	for file, content := range map[string]string{"hosts": hosts, "resolv.conf": "nameserver 127.0.0.1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			l.t.Fatalf("netlab: %v", err)
		}
	}
}

// ip runs commands of ip(8) in a namespace.
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
