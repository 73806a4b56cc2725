//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watcher learns from the kernel when interfaces, addresses or routes change, and makes the path follow them.
type watcher struct {
	// Static after newWatcher.
	path   *Path
	events *os.File // a netlink socket
	beats  bool     // the program may outlive the process

	done sync.WaitGroup // run

	moved atomic.Pointer[[]netip.Addr] // the addresses that run has not taken over yet, or nil

	// Owned by run, once that has begun.
	attacher attacher
	routes   *router
	looked   time.Time
}

const (
	settleTime = 100 * time.Millisecond // the pause after a change, as changes come in swarms
	heartbeat  = time.Second
	mortalTime = 3 * heartbeat    // how long the program of a killed process goes on forwarding
	idleTime   = 30 * time.Second // how often the watcher looks without a change, and tries again what failed
)

// newWatcher attaches the program to the interfaces of now, and begins to follow changes.
func newWatcher(p *Path, addresses []netip.Addr, method attachMethod) (*watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE | 1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)}
	if err := unix.Bind(fd, groups); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	routes, err := newRouter()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	w := &watcher{
		path: p, routes: routes, looked: time.Now(), events: os.NewFile(uintptr(fd), "netlink"), beats: method.mortal,
		attacher: attacher{
			program: p.objects.Forward, addresses: unmapped(addresses), method: method,
			attached: make(map[int]attachment), failed: make(map[int]bool),
		},
	}
	if err = w.beat(); err == nil {
		err = w.attacher.sync()
	}
	if err != nil {
		w.attacher.close()
		w.close()
		return nil, err
	}
	w.done.Go(w.run)
	return w, nil
}

func unmapped(addresses []netip.Addr) []netip.Addr {
	out := slices.Clone(addresses)
	for i := range out {
		out[i] = out[i].Unmap().WithZone("")
	}
	return out
}

// run follows changes until close. After any change it looks at everything again.
func (w *watcher) run() {
	defer w.attacher.close()
	buf := make([]byte, 1<<16)
	changed, pause := false, settleTime
	for next := time.Now().Add(w.period()); ; {
		_ = w.events.SetReadDeadline(next)
		if w.takeAddresses() {
			changed, next = true, time.Now()
			continue
		}
		_, err := w.events.Read(buf)
		begin := time.Now()
		switch {
		case err == nil || errors.Is(err, unix.ENOBUFS): // ENOBUFS: more changes than the socket holds
			if at := begin.Add(pause); !changed && at.Before(next) {
				next = at
			}
			changed = true
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return // closed
		}
		w.look(changed)
		pause = max(settleTime, 10*time.Since(begin)) // constant changes of routes must not take all of the time
		changed, next = false, time.Now().Add(w.period())
	}
}

// setAddresses makes run look for the interfaces of other addresses.
func (w *watcher) setAddresses(addresses []netip.Addr) {
	addresses = unmapped(addresses)
	w.moved.Store(&addresses)
	_ = w.events.SetReadDeadline(time.Now()) // run sets its own before it looks for what moved
}

// takeAddresses takes over the addresses of the last setAddresses, and reports whether there were any.
func (w *watcher) takeAddresses() bool {
	addresses := w.moved.Swap(nil)
	if addresses == nil {
		return false
	}
	w.attacher.addresses = *addresses
	return true
}

// period is how often run looks if nothing changes.
func (w *watcher) period() time.Duration {
	if w.beats {
		return heartbeat
	}
	return idleTime
}

func (w *watcher) look(changed bool) {
	if err := w.beat(); err != nil {
		w.path.log.Warn("turn: offloaded flows pause", "error", err)
	}
	if !changed && w.beats && time.Since(w.looked) < idleTime {
		return
	}
	w.looked = time.Now()
	if err := w.attacher.sync(); err != nil {
		w.path.log.Warn("turn: some flows are not offloaded", "error", err)
	}
	if changed {
		if err := w.path.reroute(w.routes); err != nil {
			w.path.log.Warn("turn: offloaded flows keep their routes", "error", err)
		}
	}
}

// beat lets a mortal program forward for a little longer.
func (w *watcher) beat() error {
	if !w.beats {
		return nil
	}
	return w.path.objects.Heartbeat.Put(uint32(0), uint64(now())+uint64(mortalTime))
}

// close detaches the program and waits for run.
func (w *watcher) close() {
	_ = w.events.Close()
	w.done.Wait()
	w.routes.close()
}
