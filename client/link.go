package client

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

const (
	firstPath     = 15 * time.Second // without a path, a new link is restarted after so long
	lostPath      = time.Second      // likewise after the path was lost, on the side that made the first offer
	lostPathOther = 3 * time.Second  // and on the other side
	longestWait   = 16 * time.Second
	relink        = time.Second // before a link is made in the place of one that died
	gather        = 50 * time.Millisecond

	maxEnding  = 8  // links to a peer that were given up and have not ended: until then, it cannot have another in its place
	maxFormers = 4  // links to a peer that go on for their streams
	maxOrphans = 32 // peers of a room whose session is over while their link works
)

// liveLink is a link to a peer, from the decision to make it to its end.
type liveLink struct {
	// Static after construction.
	peer      *Peer
	transport string
	offers    bool
	ctx       context.Context // ends with the link
	cancel    context.CancelFunc
	moved     chan struct{} // holds one: the path is another one
	open      atomic.Int32  // streams that were not closed
	due       atomic.Bool   // a restart waits until the session is online

	// Guarded by Session.mu.
	link       link.Link // nil until it is made, unchanged after that
	path       Path
	remote     string // the name of the other side's connection, from its descriptions
	former     bool   // it is replaced, and goes on for its streams
	closing    bool
	candidates []json.RawMessage // that wait to be sent
	gathering  *time.Timer
}

// links lists those of all peers. The caller holds mu.
func (s *Session) links() (all []*liveLink) {
	for _, r := range s.rooms {
		for _, p := range r.peers {
			if p.link != nil {
				all = append(all, p.link)
			}
		}
	}
	return all
}

// restartLinks has all links look for paths anew. It runs in signaling's loop.
func (s *Session) restartLinks() {
	s.mu.Lock()
	links := s.links()
	s.mu.Unlock()
	for _, l := range links {
		l.restart()
	}
}

// connect makes a link to the peer, once mu is free. The caller holds mu.
func (p *Peer) connect(offers bool, fx *effects) {
	s := p.s
	transport := s.transport(p.info)
	switch {
	case s.closing:
		return
	case transport == "":
		p.linkErr = &Error{Code: CodeNoTransport, Message: "The peer and this program have no transport in common.",
			Hint: "By way of the server, Room.Say reaches it."}
		return
	}
	l := &liveLink{peer: p, transport: transport, offers: offers, moved: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(s.life)
	p.link, p.linkErr = l, nil
	s.linking.Add(1) // until it is closed
	config := link.Config{
		Offers: offers, Polite: s.id < p.info.Session, ICEServers: s.iceServers, RelayOnly: s.cfg.RelayOnly,
		Send: l.send, OnPath: l.onPath, OnMessage: l.onMessage, TLS: s.cfg.TLS, Logger: s.log.With("peer", p.info.Session),
	}
	create := s.setup.quic
	if transport == link.WebRTC {
		create = s.setup.webrtc
	}
	fx.add(func() {
		made, err := create(config)
		if err != nil {
			s.log.Warn("no link could be made", "peer", p.ID(), "err", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			if l.closing { // it was given up meanwhile
				p.ending--
			}
			l.closing = true
			l.cancel()
			s.linking.Done()
			if p.link == l {
				p.link, p.linkErr = nil, err
				p.tell()
			}
			return
		}
		l.link = made
		if l.closing { // it was given up meanwhile
			go l.shut()
			return
		}
		s.linking.Go(l.accept)
		s.linking.Go(l.keep)
		p.tell()
	})
}

// retire takes the link away from its peer. Its streams go on, if keeps is set and there are some. The caller holds mu.
func (p *Peer) retire(keeps bool, fx *effects) {
	l := p.link
	if l == nil {
		return
	}
	p.link = nil
	p.tell()
	if keeps && l.path != (Path{}) && l.open.Load() > 0 {
		l.former = true
		p.formers = append(slices.DeleteFunc(p.formers, func(l *liveLink) bool { return l.closing }), l)
		if len(p.formers) > maxFormers {
			p.formers[0].close()
		}
		return
	}
	l.close()
}

// close ends the link, in the background. The caller holds mu.
func (l *liveLink) close() {
	if l.closing {
		return
	}
	l.closing = true
	l.peer.ending++
	if l.gathering != nil {
		l.gathering.Stop()
	}
	l.cancel()
	if l.link != nil {
		go l.shut()
	} // else connect does it
}

// shut waits until the link has ended.
func (l *liveLink) shut() {
	_ = l.link.Close() // it is given up
	s := l.peer.s
	s.mu.Lock()
	l.peer.ending--
	s.mu.Unlock()
	s.linking.Done()
}

func (l *liveLink) isOver() bool { return locked(l.peer.s, &l.closing) }

func (l *liveLink) hasPath() bool { return l.path != Path{} && !l.closing }

// send is the link's way to the other side. Candidates are gathered for a moment.
func (l *liveLink) send(payload wire.Payload) {
	s := l.peer.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.closing || l.former {
		return
	}
	if payload.Candidate == nil {
		l.sendCandidates()
		l.signal(payload)
		return
	}
	l.candidates = append(l.candidates, payload.Candidate)
	switch {
	case len(l.candidates) >= wire.MaxCandidates || string(payload.Candidate) == "null":
		l.sendCandidates()
	case len(l.candidates) == 1:
		l.gathering = time.AfterFunc(gather, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			l.sendCandidates()
		})
	}
}

// sendCandidates sends those that wait. The caller holds mu.
func (l *liveLink) sendCandidates() {
	if len(l.candidates) == 0 || l.closing || l.former {
		return
	}
	if l.gathering != nil {
		l.gathering.Stop()
	}
	list := append([]byte{'['}, bytes.Join(raw(l.candidates), []byte{','})...)
	l.candidates = nil
	l.signal(wire.Payload{Candidates: append(list, ']')})
}

func raw(list []json.RawMessage) (all [][]byte) {
	for _, one := range list {
		all = append(all, one)
	}
	return all
}

func (l *liveLink) signal(payload wire.Payload) {
	m := &wire.Signal{Room: l.peer.room.id, To: l.peer.info.Session, Payload: payload}
	_ = l.peer.s.signaling.Send(m) // or the session is over
}

// receive hands a payload to the link. The caller holds mu.
func (p *Peer) receive(payload wire.Payload, fx *effects) {
	if p.link == nil {
		return
	}
	if payload.Description != nil && p.link.transport == link.QUIC { // a link by WebRTC takes new connections by itself
		if remote, replaces := p.link.judge(payload.Description); replaces {
			if p.ending >= maxEnding || !p.anew.Allow(time.Now()) {
				return // a later offer may find that they have ended
			}
			p.retire(false, fx)
			p.connect(false, fx)
			if p.link == nil {
				return
			}
			p.link.remote = remote
		}
	}
	l := p.link
	var parts []json.RawMessage
	if payload.Candidates == nil || json.Unmarshal(payload.Candidates, &parts) != nil {
		fx.add(func() { l.receive(payload) })
		return
	}
	for _, part := range parts {
		if part == nil {
			part = json.RawMessage("null")
		}
		fx.add(func() { l.receive(wire.Payload{Candidate: part}) })
	}
}

// judge reads the name of a description. An offer of another connection than before, which follows none of our descriptions, says
// that the other side has a new one.
func (l *liveLink) judge(text []byte) (remote string, replaces bool) {
	var d link.Description
	if json.Unmarshal(text, &d) != nil {
		return "", false
	}
	if remote = link.ConnectionOf(d.ID); remote == "" || d.Type != "offer" && d.Type != "answer" {
		return "", false
	}
	if d.Type == "offer" && d.To == "" && l.remote != "" && l.remote != remote {
		return remote, true
	}
	if l.remote == "" || d.Type == "answer" {
		l.remote = remote
	}
	return remote, false
}

func (l *liveLink) receive(payload wire.Payload) {
	if made := l.made(); made != nil {
		made.Receive(payload)
	}
}

func (l *liveLink) restart() {
	if made := l.made(); made != nil {
		made.Restart()
	}
}

// restartOnline restarts the link as soon as the server is known to hear us, unless it has a path by then: a restart that nobody
// hears could take away a path that would have healed.
func (l *liveLink) restartOnline() {
	if l.due.Swap(true) {
		return
	}
	s := l.peer.s
	s.signaling.WhenHeard(func() {
		l.due.Store(false)
		s.mu.Lock()
		has := l.path != Path{}
		s.mu.Unlock()
		if !has {
			l.restart()
		}
	})
}

func (l *liveLink) setICEServers(servers []wire.ICEServer) {
	if made := l.made(); made != nil {
		made.SetICEServers(servers)
	}
}

// made returns the link, nil if there is none any more.
func (l *liveLink) made() link.Link {
	s := l.peer.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.closing {
		return nil
	}
	return l.link
}

// onPath hears of paths.
func (l *liveLink) onPath(path Path) {
	p := l.peer
	var fx effects
	p.s.mu.Lock()
	had := l.path != Path{}
	l.path = path
	switch {
	case l.closing:
	case l.former && path == Path{}:
		l.close()
	case l.former:
	case p.orphan && path == Path{}:
		p.room.drop(p, wire.ReasonGone, &fx)
	case had || path != Path{}:
		p.s.events.post(PathChanged{p, path})
		p.tell()
	}
	p.s.mu.Unlock()
	fx.run()
	sign(l.moved)
	if had && path == (Path{}) {
		p.s.signaling.Doubt() // the server may be out of reach, too
	}
}

// onMessage hears what a page says on its data channel.
func (l *liveLink) onMessage(m link.Message) {
	s := l.peer.s
	s.mu.Lock()
	if !l.closing {
		s.events.post(Data{l.peer, m.Topic, m.Data, m.Bytes})
	}
	s.mu.Unlock()
	s.events.wait(l.ctx)
}

// accept hands the streams of the other side to those who wait for them. While one waits, no other is taken.
func (l *liveLink) accept() {
	p := l.peer
	for {
		stream, err := l.link.Accept(l.ctx)
		if err != nil {
			l.died(err)
			return
		}
		c := l.conn(stream)
		select {
		case p.accepted <- c:
		case p.room.accepted <- c:
		case <-l.ctx.Done():
			c.Reset()
			return
		}
	}
}

// died makes another link in the place of one that ended by itself.
func (l *liveLink) died(err error) {
	p := l.peer
	s := p.s
	var fx effects
	s.mu.Lock()
	wanted := !l.closing && !l.former && !s.closing
	if !l.closing {
		l.close()
	}
	if wanted && p.orphan {
		p.room.drop(p, wire.ReasonGone, &fx)
		wanted = false
	}
	s.mu.Unlock()
	fx.run()
	if !wanted {
		return
	}
	s.log.Info("a link has ended by itself; making another", "peer", p.ID(), "err", err)
	s.goBackground(func() {
		if !pause(s.life, relink) {
			return
		}
		s.signaling.Do(func() {
			var fx effects
			s.mu.Lock()
			if p.link == l && p.reason == "" {
				p.retire(false, &fx)
				p.connect(true, &fx)
			}
			s.mu.Unlock()
			fx.run()
		})
	})
}

// keep restarts a link that has no path for too long.
func (l *liveLink) keep() {
	s := l.peer.s
	lost := lostPath
	if !l.offers {
		lost = lostPathOther
	}
	wait := firstPath
	timer := time.NewTimer(wait)
	defer timer.Stop()
	had := false
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.moved:
			s.mu.Lock()
			has := l.path != Path{}
			s.mu.Unlock()
			switch {
			case has:
				timer.Stop()
			case had:
				wait = lost
				timer.Reset(wait)
			}
			had = has
		case <-timer.C:
			l.restartOnline()
			wait = min(2*wait, longestWait)
			timer.Reset(wait)
		}
	}
}
