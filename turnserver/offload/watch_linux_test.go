//go:build linux && (amd64 || arm64)

package offload

import (
	"encoding/binary"
	"errors"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestRouteUnknown: a flow whose route the kernel did not tell is not offloaded, is counted, and is tried again. A flow
// that had a route keeps it meanwhile.
func TestRouteUnknown(t *testing.T) {
	r := newRig(t)
	faults := 0
	r.fault = func(string, error) { faults++ }
	broken := &router{get: func(net.IP, *netlink.RouteGetOptions) ([]netlink.Route, error) { return nil, unix.ENOBUFS }}
	working := r.routes
	w := &watcher{path: r.Path, looked: time.Now(), routes: broken, attacher: attacher{method: tcx()}}

	before := r.flow(true, true)
	r.confirmed(before)
	r.routes = broken
	f := r.flow(false, false)
	must(t, r.Put(f))
	r.routes = working
	if faults != 2 {
		t.Errorf("%d faults are counted, want one each way", faults)
	}
	for _, key := range []Key{f.Up(), f.Down()} {
		r.change(key, func(e *forwardFlow) { e.Confirmed, e.Seen = 1, 1 })
	}
	r.wantVerdict(upPacket(f, pattern(20), 0), pass)
	w.look(false)
	if faults == 2 {
		t.Error("a look in vain is not counted")
	}
	r.wantVerdict(upPacket(f, pattern(20), 0), pass)
	r.wantVerdict(upPacket(before, pattern(20), 0), forward)
	w.routes = working
	w.look(false)
	r.wantVerdict(upPacket(f, pattern(20), 0), forward)
	r.wantVerdict(downPacket(f, pattern(20)), forward)
	if r.unrouted.Load() {
		t.Error("it looks for ever")
	}
}

// TestNexthops: the watcher hears of nexthops, which change without the routes that name them.
func TestNexthops(t *testing.T) {
	newRig(t) // for its namespace
	e := &events{protocol: unix.NETLINK_ROUTE, groups: routingGroups}
	socket, err := e.open()
	must(t, err)
	defer socket.Close()
	if out, err := exec.Command("ip", "nexthop", "add", "id", "7", "blackhole").CombinedOutput(); err != nil {
		t.Fatalf("ip nexthop: %v\n%s", err, out)
	}
	must(t, socket.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 1<<16)
	for {
		n, err := socket.Read(buf)
		if err != nil {
			t.Fatal("nothing is told of the nexthop: ", err)
		}
		if n >= unix.NLMSG_HDRLEN && binary.NativeEndian.Uint16(buf[4:]) == unix.RTM_NEWNEXTHOP {
			return
		}
	}
}

// TestCloseWhileReading: Close waits for those who read the maps, and later readers are told.
func TestCloseWhileReading(t *testing.T) {
	r := newRig(t)
	for i := range 200 {
		f := r.flow(false, false)
		f.Channel += uint16(i)
		must(t, r.Put(f))
	}
	f := r.flow(true, false)
	var rounds atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				err := r.Each(func(Entry) {})
				if errors.Is(err, ErrClosed) {
					break
				}
				_, totalsErr := r.Totals()
				putErr := r.Put(f)
				r.Usage(f)
				for _, err := range []error{err, totalsErr, putErr} {
					if err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
				rounds.Add(1)
			}
		})
	}
	for begin := time.Now(); rounds.Load() < 20; {
		if time.Since(begin) > patience {
			t.Fatal("nobody reads")
		}
	}
	must(t, r.Path.Close())
	readers.Wait()
	if _, _, ok := r.Usage(f); ok {
		t.Error("usage of a closed path")
	}
}
