//go:build linux && (amd64 || arm64)

package offload

import (
	"strings"
	"testing"
	"time"
)

// TestIPsec: nothing is forwarded while there are IPsec policies, whether they come later or were there before. Those for
// packets that this host only forwards or for an XFRM interface, and those that change nothing, do not count.
func TestIPsec(t *testing.T) {
	l := newLine(t)
	d := startDaemon(t, l.Middle)
	d.do(order{Open: true, Addresses: l.addresses()})
	c := l.call(d, false, false, 0x4000)
	c.exchange(100)
	stops := func(d *daemon) {
		t.Helper()
		for begin := time.Now(); d.do(order{}).Paused == ""; {
			if time.Since(begin) > patience {
				t.Fatal("it goes on forwarding")
			}
		}
		if why := d.do(order{}).Paused; !strings.Contains(why, "IPsec") {
			t.Errorf("it pauses because %q", why)
		}
		for _, dev := range []string{"eth0", "eth1"} {
			if n := l.attachedTo(l.Middle, dev); n != 0 {
				t.Errorf("%d programs are attached to %s", n, dev)
			}
		}
		c.up([]byte("in clear"))
		if b, _ := c.peer.read(50 * time.Millisecond); b != nil {
			t.Errorf("%q arrived", b)
		}
	}
	const tunnel = " tmpl src 9.9.9.1 dst 9.9.9.2 proto esp mode tunnel"
	for _, row := range [][2]string{{"out", tunnel}, {"in", tunnel}, {"out", " action block"}} {
		policy := "src 0.0.0.0/0 dst " + l.Right.Addr().String() + "/32 dir " + row[0]
		l.ip(l.Middle, "xfrm policy add "+policy+row[1])
		stops(d)
		l.ip(l.Middle, "xfrm policy delete "+policy)
		c.wantAgain()
	}
	for _, direction := range []string{"in", "out"} {
		l.ip(l.Middle, "xfrm policy setdefault "+direction+" block")
		stops(d)
		l.ip(l.Middle, "xfrm policy setdefault "+direction+" accept")
		c.wantAgain()
	}
	l.ip(l.Middle, "xfrm policy setdefault fwd block")
	l.ip(l.Middle, "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd"+tunnel)
	l.ip(l.Middle, "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out if_id 7"+tunnel)
	l.ip(l.Middle, "xfrm policy add src 0.0.0.0/0 dst 9.0.0.0/8 dir out action allow")
	must(t, l.Middle.Do(func() error {
		why, err := policiesInForce()
		if why != "" {
			t.Error("policies of others count: ", why)
		}
		return err
	}))
	d.end()

	l.ip(l.Middle, "xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out"+tunnel)
	later := startDaemon(t, l.Middle)
	later.do(order{Open: true, Addresses: l.addresses()})
	stops(later)
	l.ip(l.Middle, "xfrm policy flush")
	for begin := time.Now(); l.attachedTo(l.Middle, "eth0") == 0 || l.attachedTo(l.Middle, "eth1") == 0; {
		if time.Since(begin) > patience {
			t.Fatal("it does not begin")
		}
	}
	c = l.call(later, false, false, 0x4000)
	c.exchange(100)
}
