//go:build linux

package bench

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/turnpike/internal/netlab"
)

// peerLab is where two peers transfer. Each is a host on the public segment, or behind a NAT of its own.
type peerLab struct {
	lab              *netlab.Lab
	sender, receiver *netlab.Host
}

func newPeerLab(t *testing.T, kind netlab.Kind) peerLab {
	t.Helper()
	l := netlab.New(t)
	return peerLab{lab: l, sender: l.Behind(kind, "sender"), receiver: l.Behind(kind, "receiver")}
}

// job returns what a transfer of that name needs here.
func (n peerLab) job(t *testing.T, name string) job {
	t.Helper()
	j := job{Transfer: name}
	if name == overQUIC {
		j.URL, j.Roots = startPeerServer(t, n.lab)
	}
	return j
}

// singleSegments lets the interfaces take no segments of TCP or UDP that are still together. They would pass the virtual
// cable as one packet of 64 KB, which no network carries.
func (n peerLab) singleSegments(t *testing.T) {
	t.Helper()
	for _, h := range []*netlab.Host{n.sender, n.receiver} {
		if out, err := h.Command(t.Context(), "ip", "link", "set", "eth0", "gso_max_segs", "1").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// firstPacket watches for a packet of TCP or UDP between two hosts, either way. The function that it returns tells when
// there was the first.
func firstPacket(t *testing.T, a, b *netlab.Host) func() time.Duration {
	t.Helper()
	fd := -1
	err := a.Do(func() (err error) {
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order; with that of IPv4 alone, what leaves is not seen
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	watched := os.NewFile(uintptr(fd), "packets of "+a.Namespace())
	var first atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b4, buf := b.Addr().As4(), make([]byte, 100); ; {
			n, err := watched.Read(buf)
			if err != nil {
				return
			}
			if n >= 20 && buf[0]>>4 == 4 && (buf[9] == unix.IPPROTO_UDP || buf[9] == unix.IPPROTO_TCP) &&
				([4]byte(buf[12:16]) == b4 || [4]byte(buf[16:20]) == b4) {
				first.Store(int64(monotonic()))
				return
			}
		}
	}()
	t.Cleanup(func() { watched.Close(); <-done })
	return func() time.Duration {
		t.Helper()
		if first.Load() == 0 {
			t.Fatalf("no packet between %v and %v", a.Addr(), b.Addr())
		}
		return time.Duration(first.Load())
	}
}
