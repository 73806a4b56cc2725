//go:build linux && (amd64 || arm64)

package offload

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// watcher learns from the kernel when interfaces, addresses, routes or IPsec policies change, and makes the path follow
// them.
type watcher struct {
	// Static after newWatcher.
	path     *Path
	routing  *events
	policies *events // or nil: this kernel has no IPsec
	beats    bool    // the program may outlive the process
	stop     chan struct{}

	done sync.WaitGroup // run

	moved atomic.Pointer[[]netip.Addr] // the addresses that run has not taken over yet, or nil

	// Owned by run, once that has begun.
	attacher attacher
	routes   *router
	looked   time.Time
}

// routingGroups are the kernel's events about how packets come and go.
const routingGroups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE | 1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1) |
	1<<(unix.RTNLGRP_NEXTHOP-1) // a route may name a nexthop, which changes without the route

const (
	settleTime = 100 * time.Millisecond // the pause after a change, as changes come in swarms
	heartbeat  = time.Second
	mortalTime = 3 * heartbeat    // how long the program of a killed process goes on forwarding
	idleTime   = 30 * time.Second // how often the watcher looks without a change, and tries again what failed
)

// newWatcher attaches the program to the interfaces of now, and begins to follow changes.
func newWatcher(p *Path, addresses []netip.Addr, method attachMethod) (w *watcher, err error) {
	w = &watcher{
		path: p, looked: time.Now(), beats: method.mortal, stop: make(chan struct{}),
		attacher: attacher{
			program: p.objects.Forward, addresses: unmapped(addresses), method: method,
			attached: make(map[int]attachment), failed: make(map[int]bool),
		},
	}
	if w.routing, err = subscribe(unix.NETLINK_ROUTE, routingGroups, p.fault); err == nil {
		w.policies, err = subscribe(unix.NETLINK_XFRM, policyGroups, p.fault)
	}
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		err = nil
	}
	if err == nil {
		w.routes, err = newRouter()
	}
	if err == nil {
		err = w.beat()
	}
	if err == nil {
		w.lookAtPolicies()
		err = w.attach()
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
	policies := make(<-chan struct{})
	if w.policies != nil {
		policies = w.policies.changed
	}
	changed, pause, next := false, settleTime, time.Now().Add(w.period())
	for {
		select {
		case <-w.stop:
			return
		case <-policies:
			if w.path.Paused() == "" { // at once, lest more leaves in clear
				w.lookAtPolicies()
				continue
			}
		case <-w.routing.changed:
		case <-time.After(time.Until(next)):
			begin := time.Now()
			w.look(changed)
			pause = max(settleTime, 10*time.Since(begin)) // constant changes of routes must not take all of the time
			changed, next = false, time.Now().Add(w.period())
			continue
		}
		if at := time.Now().Add(pause); !changed && at.Before(next) {
			next = at
		}
		if changed = true; w.takeAddresses() {
			next = time.Now()
		}
	}
}

// setAddresses makes run look for the interfaces of other addresses.
func (w *watcher) setAddresses(addresses []netip.Addr) {
	addresses = unmapped(addresses)
	w.moved.Store(&addresses)
	w.routing.poke()
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
		w.path.fault("turn: offloaded flows pause", err)
	}
	if !changed && w.beats && time.Since(w.looked) < idleTime {
		return
	}
	w.looked = time.Now()
	w.lookAtPolicies()
	if err := w.attach(); err != nil {
		w.path.fault("turn: some flows are not offloaded", err)
	}
	if changed || w.path.unrouted.Load() {
		if err := w.path.reroute(w.routes); err != nil {
			w.path.fault("turn: offloaded flows keep their routes", err)
		}
	}
}

// attach attaches the program to the interfaces of now, unless forwarding pauses.
func (w *watcher) attach() error {
	if w.path.Paused() != "" {
		return nil
	}
	return w.attacher.sync()
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
	close(w.stop)
	w.done.Wait()
	w.routing.close()
	w.policies.close()
	if w.routes != nil {
		w.routes.close()
	}
}
