//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Hop stands between a host and its neighbour, and carries packets with delay, loss and a rate. The kernel's own means,
// netem, is not in every kernel.
//
//	host's eth0 ── TAP ── this process, a thread a direction ── TAP ── its NAT's lan, or a port of the bridge
//
// The devices have no offloads, so every packet that a hop carries is one of the wire: a segment of TCP or of UDP's GSO.
// What comes on a hop in one direction leaves it in the same order.
type Hop struct {
	fds   [3]int // the host's device, the neighbour's, and an eventfd that wakes the threads when they must end
	ended atomic.Bool
	done  sync.WaitGroup
	up    lane
	down  lane
}

// lane is the thread of one direction.
type lane struct {
	in, out, wake int
	ended         *atomic.Bool
	scheduler     *scheduler
	flight        *flight
	fates         [3]atomic.Uint64 // as of [Fates]
}

// AddHop puts a hop between a host and its neighbour: the public segment, or its NAT. up is what becomes of the packets
// that the host sends. It must be called before the host is used, and lasts until the test ends or the host moves.
func (l *Lab) AddHop(h *Host, up, down Way) *Hop {
	l.t.Helper()
	if h.attach == nil || h.hop != nil {
		l.t.Fatalf("netlab: %s, %v, cannot have a hop, or has one", h.name, h.kind)
	}
	l.ip(h.netns, "link del eth0")
	hop := &Hop{fds: [3]int{-1, -1, -1}}
	h.hop = hop
	l.t.Cleanup(hop.close)
	h.attach(func(neighbour, port string) {
		l.t.Helper()
		for i, end := range [][2]string{{h.netns, "eth0"}, {neighbour, port}} {
			err := inside(end[0], func() (err error) { hop.fds[i], err = openTAP(end[1]); return err })
			if err != nil {
				l.t.Fatalf("netlab: make a hop at %s: %v", h.name, err)
			}
			// By default a device drops what comes while 500 packets wait for this process.
			l.ip(end[0], fmt.Sprintf("link set %s txqueuelen 10000", end[1]))
		}
	})
	var err error
	if hop.fds[2], err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		l.t.Fatalf("netlab: %v", err)
	}
	hop.up = lane{in: hop.fds[0], out: hop.fds[1], wake: hop.fds[2], ended: &hop.ended, scheduler: newScheduler(up), flight: newFlight()}
	hop.down = lane{in: hop.fds[1], out: hop.fds[0], wake: hop.fds[2], ended: &hop.ended, scheduler: newScheduler(down), flight: newFlight()}
	for _, lane := range []*lane{&hop.up, &hop.down} {
		hop.done.Go(lane.run)
	}
	return hop
}

// Fates tells what became of the packets so far.
func (h *Hop) Fates() (up, down Fates) { return h.up.counts(), h.down.counts() }

func (l *lane) counts() Fates {
	return Fates{Passed: l.fates[0].Load(), Lost: l.fates[1].Load(), Overflowed: l.fates[2].Load()}
}

// close ends the threads and removes the devices. It may be called twice.
func (h *Hop) close() {
	h.ended.Store(true)
	if h.fds[2] >= 0 {
		_, _ = unix.Write(h.fds[2], []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	h.done.Wait()
	for i, fd := range h.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		h.fds[i] = -1
	}
}

// openTAP makes an Ethernet device in the namespace of the calling thread. It lasts as long as the descriptor.
func openTAP(name string) (int, error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w; where it is missing: mkdir -p /dev/net && mknod %s c 10 200", device, err, device)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("make the device %s: %w", name, err)
	}
	return fd, nil
}

// run carries packets until the hop ends. One thread reads, waits and writes, so that no packet waits for another thread.
func (l *lane) run() {
	// The thread is never unlocked: it ends with its priority and its timers, which are exact to a microsecond.
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
	begin := time.Now()
	for !l.ended.Load() {
		now := time.Since(begin)
		l.deliver(now)
		more, err := l.collect(now)
		if err != nil {
			return // The device is gone: its namespace was removed, or the host has moved.
		}
		if l.publish(); more {
			continue
		}
		wait := time.Duration(-1)
		if head := l.flight.head(); head != nil {
			if wait = head.leaves - time.Since(begin); wait <= 0 {
				continue
			}
		}
		l.await(wait)
	}
}

// batch is how many packets are read before those that are due leave.
const batch = 16

// collect reads packets. It reports whether there may be more.
func (l *lane) collect(now time.Duration) (more bool, err error) {
	for range batch {
		if l.flight.full() {
			return false, nil // Then the device's own queue fills, and drops.
		}
		room := l.flight.room()
		n, err := transfer(unix.SYS_READ, l.in, room.bytes[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		}
		if ofLink(room.bytes[:n]) {
			l.write(room.bytes[:n])
			continue
		}
		leaves, ok := l.scheduler.take(now, n)
		if !ok {
			continue
		}
		room.leaves, room.size = leaves, n
		l.flight.launch()
	}
	return true, nil
}

// deliver writes the packets that are due.
func (l *lane) deliver(now time.Duration) {
	for head := l.flight.head(); head != nil && head.leaves <= now; head = l.flight.head() {
		l.write(head.bytes[:head.size])
		l.flight.land()
	}
}

// write passes a packet to the other device. An error means that the device is down or full of what nobody wants: the
// packet is lost, as on a cable that nobody has plugged in.
func (l *lane) write(b []byte) {
	for {
		if _, err := transfer(unix.SYS_WRITE, l.out, b); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// transfer reads or writes without telling the Go runtime, because neither blocks here: it would look at each call.
func transfer(trap uintptr, fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// await waits for a packet, and not longer than wait unless that is negative. The end of the hop ends the wait.
func (l *lane) await(wait time.Duration) {
	fds := []unix.PollFd{{Fd: int32(l.wake), Events: unix.POLLIN}, {Fd: int32(l.in), Events: unix.POLLIN}}
	if l.flight.full() {
		fds[1].Events = 0
	}
	var timeout *unix.Timespec
	if wait >= 0 {
		t := unix.NsecToTimespec(int64(wait))
		timeout = &t
	}
	_, _ = unix.Ppoll(fds, timeout, nil) // An interruption ends the wait early, which does no harm.
}

// publish lets others read the counts.
func (l *lane) publish() {
	f := l.scheduler.fates
	for i, n := range []uint64{f.Passed, f.Lost, f.Overflowed} {
		l.fates[i].Store(n)
	}
}
