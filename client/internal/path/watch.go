package path

import (
	"time"

	"github.com/pion/ice/v4"
)

// watch is what run knows of the path's health.
type watch struct {
	generation int       // The one that was looked at last.
	began      time.Time // When it began.
	inUse      int       // The generation whose pair is the route.
	lost       time.Time // Since when ICE has had no selected pair that answers.
	asked      time.Time // When a restart was last asked for.
	losses     int       // Restarts asked for since it last worked.
	tried      time.Time // When packets were last sent into the silence again.
	relayed    time.Time // Since when the path has been relayed.
	retries    int       // Restarts asked for to get a direct one.

	info        Info // What people see of the route described, as it was in a generation.
	described   route
	describedIn int
}

// tick is how often the path's health is judged.
const tick = 250 * time.Millisecond

// Times after which a restart is asked for: again after a loss, and to get from a relayed path to a direct one. The last
// one repeats.
var (
	afterLoss  = []time.Duration{0, 5 * time.Second, 10 * time.Second}
	afterRelay = []time.Duration{8 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
)

// followerWaits is how much longer the side that does not lead waits after a loss.
const followerWaits = time.Second

// neverConnected is how long the first checks may take, before they begin anew.
const neverConnected = 6 * time.Second

func (p *Path) run() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wakes:
		case <-t.C:
			if left := p.named.Load(); left > 0 {
				p.named.CompareAndSwap(left, left-1)
			} else if !p.watch.pending() {
				p.judge(time.Now())
				continue
			}
		}
		p.look(time.Now())
		p.judge(time.Now())
	}
}

// pending tells whether the newest generation has not got its route yet.
func (w *watch) pending() bool { return w.inUse != w.generation }

// look takes the pair that ICE has selected. Before there is one, it takes the best that works; after a restart only once
// the former path is silent.
func (p *Path) look(now time.Time) {
	w := &p.watch
	p.mu.Lock()
	generation := p.generation
	if p.forgotten {
		w.inUse, p.forgotten = 0, false
	}
	p.mu.Unlock()
	if generation != w.generation {
		w.generation, w.began = generation, now
	}
	selected, best := p.pairs()
	x := selected
	if x == nil || best != nil && x.relayed && !best.relayed {
		x = best
	}
	if x == nil {
		return
	}
	if selected == nil && w.pending() && w.inUse > 0 {
		since := max(p.socket.heard.Load(), w.began.UnixNano())
		if now.UnixNano()-since < int64(outlives) {
			return
		}
	}
	if selected == nil && x.route.relay != nil && x.route.relay.stream != nil && p.answered.Load() && now.Sub(w.began) < relayWait {
		return // UDP works, if slowly.
	}
	if selected != nil {
		if w.pending() {
			defer p.closeStaleServers()
			defer p.closeStale()
			defer p.config.Changed()
		}
		p.settled.Store(true)
		w.inUse = generation
		p.mu.Lock()
		p.settledIn = generation
		p.mu.Unlock()
	} else if w.inUse == 0 {
		w.inUse = -1 // There is a route, yet none is selected.
	}
	p.use(x)
}

// use makes a pair the route.
func (p *Path) use(x *pair) {
	if old := p.socket.route.Load(); old == nil || *old != x.route {
		p.changeSources(func(s *sources) { s.peers[x.route.remote] = struct{}{} })
		r := x.route
		p.socket.setRoute(&r)
	}
	w := &p.watch
	if w.described != x.route || w.describedIn != w.generation {
		w.info, w.described, w.describedIn = p.info(x), x.route, w.generation
	}
	info := w.info
	info.RTT, info.Relayed = x.rtt, x.relayed
	p.mu.Lock()
	before, wasUp := p.current, p.up
	p.current, p.up = info, true
	p.mu.Unlock()
	before.RTT, info.RTT = 0, 0
	if !wasUp || before != info {
		p.config.Changed()
	}
}

// judge asks for a restart where one is due, and tells when the path is lost.
func (p *Path) judge(now time.Time) {
	w := &p.watch
	state := ice.ConnectionState(p.state.Load())
	switch state {
	case ice.ConnectionStateConnected, ice.ConnectionStateCompleted:
		if !w.lost.IsZero() {
			p.socket.sendKept()
			w.lost, w.losses = time.Time{}, 0
			p.look(now)
		}
		p.judgeRelayed(now)
		return
	case ice.ConnectionStateNew:
		return
	}
	if w.lost.IsZero() {
		w.lost, w.asked = now, now
	}
	wait := afterLoss[min(w.losses, len(afterLoss)-1)]
	if state == ice.ConnectionStateChecking {
		wait = max(wait, neverConnected)
	}
	if !p.config.Leads {
		wait += followerWaits
	}
	if now.Sub(w.asked) >= wait {
		w.asked = now
		w.losses++
		p.config.Needs()
	}
	if now.Sub(w.tried) >= time.Second {
		w.tried = now
		p.socket.sendKept()
	}
	silent := now.UnixNano()-p.socket.heard.Load() > int64(lostAfter)
	if !silent || now.Sub(w.lost) < lostAfter {
		return
	}
	p.mu.Lock()
	was := p.up
	p.up = false
	p.mu.Unlock()
	if was {
		p.config.Changed()
	}
}

// judgeRelayed asks for a restart now and then while the path is relayed, since a direct one may have become possible, or
// a relay over UDP.
func (p *Path) judgeRelayed(now time.Time) {
	w := &p.watch
	i, up := p.Current()
	if !up || !i.Relayed {
		w.relayed, w.retries = time.Time{}, 0
		return
	}
	if w.relayed.IsZero() {
		w.relayed = now
	}
	if p.config.RelayOnly && i.Protocol == "udp" || !p.config.Leads {
		return
	}
	if now.Sub(w.relayed) >= afterRelay[min(w.retries, len(afterRelay)-1)] {
		w.relayed = now
		w.retries++
		p.config.Needs()
	}
}
