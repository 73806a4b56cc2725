package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// Room is a room that the session is in. It outlives lost connections and restarts of the server.
type Room struct {
	// Static after construction.
	s        *Session
	id       string
	accepted chan *Conn    // nothing waits in it
	gone     chan struct{} // closed when the room was left

	// Guarded by Session.mu.
	session string // ours when we met the peers: under another one we must meet them anew
	size    int
	waiting bool             // newcomers wait to be let in
	wanted  bool             // somebody has it: a Join that gave up must not leave it
	peers   map[string]*Peer // by session of this moment
	changed chan struct{}    // closed, and made anew, when peers come or go
	reason  string           // why the room was left
}

// ID is the room's.
func (r *Room) ID() string { return r.id }

// Gone is closed when the room was left, by whatever cause.
func (r *Room) Gone() <-chan struct{} { return r.gone }

// Peers lists the others in the room.
func (r *Room) Peers() []*Peer {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	peers := make([]*Peer, 0, len(r.peers))
	for _, p := range r.peers {
		peers = append(peers, p)
	}
	return peers
}

// Peer returns the peer of a session, nil if there is none.
func (r *Room) Peer(session string) *Peer {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.peers[session]
}

// WaitPeer waits for a peer that fits, there or coming. A nil fits takes any.
func (r *Room) WaitPeer(ctx context.Context, fits func(*Peer) bool) (*Peer, error) {
	for {
		r.s.mu.Lock()
		changed, reason := r.changed, r.reason
		r.s.mu.Unlock()
		if reason != "" {
			return nil, errLeft(reason)
		}
		for _, p := range r.Peers() {
			if fits == nil || fits(p) {
				return p, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Accept returns the next stream that any peer opens.
func (r *Room) Accept(ctx context.Context) (*Conn, error) {
	select {
	case c := <-r.accepted:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.gone:
		return nil, errLeft(locked(r.s, &r.reason))
	}
}

// Say takes data, which is anything that JSON can say, to the given peers by way of the server, or to all. It needs no path.
func (r *Room) Say(ctx context.Context, data any, to ...*Peer) error {
	return r.SayTopic(ctx, "", data, to...)
}

// SayTopic is Say, with a topic of 1 to 64 characters for the program there.
func (r *Room) SayTopic(ctx context.Context, topic string, data any, to ...*Peer) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("say: %w", err)
	}
	if len(text) > wire.MaxData {
		return &Error{Code: CodeTooLong, Message: fmt.Sprintf("By way of the server, data may have %d bytes of JSON.", wire.MaxData)}
	}
	m := &wire.Say{Room: r.id, Topic: topic, Data: text}
	for _, p := range to {
		m.To = append(m.To, p.ID())
	}
	answer, err := r.s.request(ctx, m)
	if err != nil {
		return err
	}
	if said, ok := answer.(*wire.Said); ok && len(said.Missed) > 0 {
		return &Error{Code: CodeMissed, Retryable: true,
			Message: fmt.Sprintf("%d of the receivers did not get it: they have left, or too much waits for them.", len(said.Missed))}
	}
	return nil
}

// Leave leaves the room, and returns when the server knows. The links to its peers end.
func (r *Room) Leave(ctx context.Context) error {
	s := r.s
	s.mu.Lock()
	if r.reason != "" {
		s.mu.Unlock()
		return nil
	}
	var fx effects
	pending, err := r.leave(&fx)
	s.mu.Unlock()
	fx.run()
	if err != nil {
		return publicError(err)
	}
	if _, err = pending.Wait(ctx); CodeOf(err) == string(wire.CodeNotInRoom) {
		return nil
	}
	return publicError(err)
}

// The methods below need Session.mu.

// leave leaves the room, and has the server learn of it.
func (r *Room) leave(fx *effects) (signaling.Pending, error) {
	pending, err := r.s.signaling.Ask(&wire.Leave{Room: r.id}) // before end, so that leaving knows of it
	r.end(wire.ReasonLeave, fx)
	return pending, err
}

// joined applies what the server says of a room that we are in.
func (s *Session) joined(m *wire.Joined, fx *effects) {
	if s.closing || s.leaving(m.Room) {
		return
	}
	r := s.rooms[m.Room]
	if r == nil {
		r = &Room{s: s, id: m.Room, accepted: make(chan *Conn), gone: make(chan struct{}), session: s.id,
			peers: map[string]*Peer{}, changed: make(chan struct{})}
		s.rooms[m.Room] = r
	}
	r.size, r.waiting = m.Size, m.Waiting
	r.entered(m.Peers, fx)
	if e := s.entries[m.Room]; e != nil {
		e.led(r)
	}
	for _, c := range s.calls {
		c.joined(r)
	}
}

// entered lists the others. Those that were there before us get an offer.
func (r *Room) entered(infos []wire.Peer, fx *effects) {
	there := map[string]wire.Peer{}
	for _, info := range infos {
		there[info.Session] = info
	}
	if r.session != r.s.id {
		r.session = r.s.id
		for session, p := range r.peers {
			if info, ok := there[session]; ok {
				p.renew(info, true, true, fx)
			} else {
				r.remove(session, wire.ReasonGone, fx)
			}
		}
	}
	for _, info := range infos {
		r.add(info, true, fx)
	}
}

// restored applies the room as another process of the server has made it again, with the peers that are back already.
func (r *Room) restored(state *wire.Joined, fx *effects) {
	r.size, r.waiting = state.Size, state.Waiting
	r.awaitAllBut(state.Peers)
	for _, info := range state.Peers {
		if p := r.peers[info.Session]; p != nil {
			p.recover(fx)
		}
	}
	for _, info := range state.Peers {
		r.add(info, true, fx)
	}
}

// awaitAllBut gives those who are not back some time.
func (r *Room) awaitAllBut(infos []wire.Peer) {
	back := map[string]bool{}
	for _, info := range infos {
		back[info.Session] = true
	}
	for session, p := range r.peers {
		if !back[session] {
			p.await(r.s.window)
		}
	}
}

// add adds a peer. offers means that the first offer is ours.
func (r *Room) add(info wire.Peer, offers bool, fx *effects) {
	if p := r.peers[info.Session]; p != nil {
		if info.Away {
			p.stopWaiting()
			p.setAway()
		} else {
			r.back(info.Session, false, fx)
		}
		return
	}
	for _, p := range r.peers {
		if p.orphan && p.info.User == info.User { // it is back under another session
			p.orphan = false
			p.renew(info, offers, true, fx)
			p.isBack(true)
			r.tell()
			return
		}
	}
	p := newPeer(r, info)
	r.peers[info.Session] = p
	r.s.events.post(PeerJoined{p})
	p.connect(offers, fx)
	r.tell()
}

// unreached are the reasons for which a peer has lost the server, but perhaps not us.
func unreached(reason string) bool {
	return reason == wire.ReasonGone || reason == wire.ReasonSlow || reason == wire.ReasonShutdown
}

// remove notes that the session of a peer is not in the room any more. While its link works, the peer stays.
func (r *Room) remove(session, reason string, fx *effects) {
	p := r.peers[session]
	if p == nil {
		return
	}
	if unreached(reason) && p.link != nil && p.link.path != (Path{}) && r.orphans() < maxOrphans {
		p.stopWaiting()
		p.setAway()
		p.orphan = true
		return
	}
	r.drop(p, reason, fx)
}

// orphans counts the peers that stay because of their link alone. They have no seat in the room, which would bound them.
func (r *Room) orphans() (n int) {
	for _, p := range r.peers {
		if p.orphan {
			n++
		}
	}
	return n
}

func (r *Room) drop(p *Peer, reason string, fx *effects) {
	if p.reason != "" {
		return
	}
	delete(r.peers, p.info.Session)
	p.leave(reason, fx)
	r.s.events.post(PeerLeft{p, reason})
	r.tell()
}

func (r *Room) dropPeers(reason string, fx *effects) {
	for _, p := range r.peers {
		r.drop(p, reason, fx)
	}
}

func (r *Room) away(session string) {
	if p := r.peers[session]; p != nil {
		p.setAway()
	}
}

// back notes that the server reaches a peer. fresh means that it has lost everything, and makes an offer as a newcomer does.
func (r *Room) back(session string, fresh bool, fx *effects) {
	p := r.peers[session]
	if p == nil {
		return
	}
	if fresh {
		p.renew(p.info, false, false, fx)
	} else if p.awaited != nil {
		p.recover(fx)
	}
	p.stopWaiting()
	p.isBack(fresh)
	r.tell()
}

// tell wakes those who wait for peers.
func (r *Room) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// left notes that the server has taken us out of a room, or does not let us in.
func (s *Session) left(room, reason string, fx *effects) {
	delete(s.unwanted, room)
	if r := s.rooms[room]; r != nil {
		r.end(reason, fx)
	}
	if e := s.entries[room]; e != nil {
		e.settle(waitEnded(reason))
	}
}

// end notes that we are out for good.
func (r *Room) end(reason string, fx *effects) {
	if r.reason != "" {
		return
	}
	r.reason = reason
	delete(r.s.rooms, r.id)
	r.dropPeers(reason, fx)
	r.s.events.post(RoomLeft{r, reason})
	for _, c := range r.s.calls {
		if c.room == r.id {
			c.end(reason)
		}
	}
	close(r.gone)
	r.tell()
}

const (
	rejoinTries = 12 // our own former session may hold our place, until the server gives it up
	rejoinPause = 5 * time.Second
)

// rejoin joins a room again that the server does not know us in. patience is for how long to wait for the others to come
// back; zero if they come back as strangers.
func (s *Session) rejoin(r *Room, patience time.Duration) {
	session := s.id
	m := s.joinMessage(r.id, JoinOptions{Create: true, Size: r.size, Waiting: r.waiting})
	first, err := s.signaling.Ask(m)
	s.goLocked(func() {
		for tries := 1; ; tries++ {
			var answer wire.Message
			if err == nil {
				answer, err = first.Wait(s.life)
			}
			if err == nil {
				if joined, ok := answer.(*wire.Joined); ok && patience > 0 {
					s.mu.Lock()
					r.awaitAllBut(joined.Peers)
					s.mu.Unlock()
				}
				return
			}
			if !s.mayRejoin(r, session, err, tries) {
				return
			}
			wait := rejoinPause
			if e := (*Error)(nil); asPublic(err, &e) {
				wait = max(wait, e.RetryAfter)
			}
			if !pause(s.life, wait) {
				return
			}
			first, err = s.signaling.Ask(m)
		}
	})
}

// mayRejoin reports whether another try makes sense. If none does, the room ends.
func (s *Session) mayRejoin(r *Room, session string, err error, tries int) bool {
	s.mu.Lock()
	if s.life.Err() != nil || s.id != session || r.reason != "" {
		s.mu.Unlock()
		return false
	}
	e := (*Error)(nil)
	passes := asPublic(err, &e) && (e.Retryable || e.Code == string(wire.CodeFull))
	if passes && tries < rejoinTries {
		s.mu.Unlock()
		return true
	}
	var fx effects
	r.end(CodeOf(err), &fx)
	s.mu.Unlock()
	fx.run()
	return false
}

// pause reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
