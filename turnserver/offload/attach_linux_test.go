//go:build linux && (amd64 || arm64)

package offload

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"example.org/turnpike/internal/netlab"
)

// attachedTo counts the programs at the ingress of an interface, of both kinds.
func (l line) attachedTo(on *netlab.Host, dev string) int {
	l.t.Helper()
	n := 0
	must(l.t, on.Do(func() error {
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		programs, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return err
		}
		n = len(programs.Programs)
		return nil
	}))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := on.Command(ctx, "tc", "filter", "show", "dev", dev, "ingress").CombinedOutput()
	if err != nil {
		l.t.Fatalf("tc: %v\n%s", err, out)
	}
	return n + strings.Count(string(out), "handle")
}

// TestNothingStays: an end, orderly or not, leaves nothing attached.
func TestNothingStays(t *testing.T) {
	l := newLine(t)
	for name, end := range map[string]func(*daemon){"close": (*daemon).end, "kill -9": (*daemon).kill} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, l.Middle)
			d.do(order{Open: true, Addresses: l.addresses()})
			c := l.call(d, false, false, 0x4000)
			c.exchange(100)
			if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
				t.Errorf("%d programs are attached, want 1", n)
			}
			end(d)
			for _, dev := range []string{"eth0", "eth1"} {
				if n := l.attachedTo(l.Middle, dev); n != 0 {
					t.Errorf("%d programs stay attached to %s", n, dev)
				}
			}
			c.up(pattern(20))
			if b, _ := c.peer.read(50 * time.Millisecond); b != nil {
				t.Error("it goes on forwarding")
			}
		})
	}
}

// TestFilter tests attaching on kernels before 6.6. A killed process leaves a program behind, which soon stops by
// itself. The next process removes it.
func TestFilter(t *testing.T) {
	l := newLine(t)
	killed := startDaemon(t, l.Middle)
	killed.do(order{Open: true, Filter: true, Addresses: l.addresses()})
	c := l.call(killed, false, true, 0x4000)
	c.exchange(1400)
	killed.kill()
	begin := time.Now()
	for {
		c.up(pattern(20))
		if b, _ := c.peer.read(200 * time.Millisecond); b == nil {
			break
		}
		if time.Since(begin) > mortalTime+patience {
			t.Fatal("it goes on forwarding")
		}
	}
	if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
		t.Errorf("%d filters, want the killed process's", n)
	}
	next := startDaemon(t, l.Middle)
	next.do(order{Open: true, Filter: true, Addresses: l.addresses()})
	c = l.call(next, false, true, 0x4000)
	c.exchange(1400)
	if n := l.attachedTo(l.Middle, "eth0"); n != 1 {
		t.Errorf("%d filters, want one", n)
	}
	next.end()
	if n := l.attachedTo(l.Middle, "eth0"); n != 0 {
		t.Errorf("%d filters stay", n)
	}
}

// TestFilterInContainers: a process knows its own filter from that of another, though both have the same number in
// containers of their own. It removes the one that a killed process left, and no other.
func TestFilterInContainers(t *testing.T) {
	l := newLine(t)
	count := func(want int) {
		t.Helper()
		if n := l.attachedTo(l.Middle, "eth0"); n != want {
			t.Errorf("%d filters, want %d", n, want)
		}
	}
	open := order{Open: true, Filter: true, Addresses: l.addresses()}
	killed := startContained(t, l.Middle)
	killed.do(open)
	killed.kill()
	count(1)
	next := startContained(t, l.Middle)
	next.do(open)
	count(1)
	l.call(next, false, true, 0x4000).exchange(100)
	other := startContained(t, l.Middle)
	other.do(open)
	count(2)
	l.call(next, false, true, 0x4001).exchange(100)
	l.call(other, false, true, 0x4002).exchange(100)
	other.end()
	count(1)
	l.call(next, false, true, 0x4003).exchange(100)
	next.end()
	count(0)
}

// TestInterfacesComeAndGo: the program follows interfaces, and flows follow routes.
func TestInterfacesComeAndGo(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	c.exchange(100)
	l.anotherEth1()
	c.wantAgain()
}

// TestDeaf: a path that can no longer hear of changes says so, and follows them all the same.
func TestDeaf(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	c.exchange(100)
	d.do(order{Deafen: true})
	l.anotherEth1()
	c.wantAgain()
	if r := d.do(order{}); r.Faults == 0 {
		t.Error("no fault is counted")
	}
}

// anotherEth1 replaces the link between the middle and the right host.
func (l line) anotherEth1() {
	l.t.Helper()
	l.ip(l.Middle, "link del eth1")
	l.ip(l.Middle, "link add eth1 type veth peer name eth0 netns "+l.Right.Namespace())
	l.ip(l.Middle, "addr add "+l.ToRight.String()+"/24 dev eth1")
	l.ip(l.Middle, "link set eth1 up")
	l.ip(l.Right, "addr add "+l.Right.Addr().String()+"/24 dev eth0")
	l.ip(l.Right, "link set eth0 up")
}

// wantAgain waits until packets pass both ways.
func (c call) wantAgain() {
	t := c.client.t
	t.Helper()
	for begin := time.Now(); ; {
		c.up([]byte("again"))
		if b, _ := c.peer.read(50 * time.Millisecond); b != nil {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("nothing is forwarded to the new interface")
		}
	}
	for begin := time.Now(); ; {
		c.down([]byte("again"))
		if b, _ := c.client.read(50 * time.Millisecond); b != nil {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("nothing is forwarded from the new interface")
		}
	}
}
