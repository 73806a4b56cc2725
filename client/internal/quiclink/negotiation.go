package quiclink

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/path"
	"example.org/turnpike/signal/wire"
)

// negotiation is W3C's perfect negotiation, of ICE credentials and fingerprints only.
type negotiation struct {
	name   string // Of this Link.
	count  int
	mine   string // The id of the last description of this side.
	theirs string // The id of the last one of the other side.

	ufrag, pwd string           // Of this side's generation.
	local      []path.Candidate // Of this generation.
	described  bool             // The other side knows this generation.

	pending bool      // An offer of this side waits for its answer.
	offered time.Time // When it was made.

	restarts link.Rate // That the other side asks for.

	agreed bool   // There was an offer and an answer.
	remote string // The other side's ufrag.
	setup  string // This side's part in QUIC, once agreed.
}

// candidate is an RTCIceCandidateInit.
type candidate struct {
	Candidate string  `json:"candidate"`
	Mid       *string `json:"sdpMid,omitempty"`
	Line      *int    `json:"sdpMLineIndex,omitempty"`
	Ufrag     string  `json:"usernameFragment,omitempty"`
}

// pendingFor is how long an offer may wait for its answer before another one may be made without being asked for.
const pendingFor = 10 * time.Second

// begin gathers, and makes the first offer if that is this side's.
func (l *Link) begin() {
	l.talk.name, l.talk.restarts = newName(), link.Restarts()
	if !l.newGeneration() {
		return
	}
	if l.config.Offers {
		l.describe("offer")
	}
}

// newGeneration makes credentials and candidates anew.
func (l *Link) newGeneration() bool {
	n := &l.talk
	ufrag, pwd, err := l.path.Restart()
	if err != nil {
		l.config.Logger.Warn("ICE could not be restarted", "error", err)
		return false
	}
	n.ufrag, n.pwd = ufrag, pwd
	n.local, n.described = nil, false
	return true
}

// restart is asked for by the program.
func (l *Link) restart() {
	// An offer that was never answered may have been lost, and its generation is as good as another; but the network may
	// have changed since it gathered.
	if l.newGeneration() {
		l.describe("offer")
	}
}

// needed is asked for by the Path.
func (l *Link) needed() {
	n := &l.talk
	if !n.agreed && !n.pending || n.pending && time.Since(n.offered) < pendingFor {
		return
	}
	l.restart()
}

// describe sends a description, and the candidates that are known.
func (l *Link) describe(typ string) {
	n := &l.talk
	n.count++
	n.mine = fmt.Sprintf("%s.%d", n.name, n.count)
	setup := n.setup
	if setup == "" {
		setup = either
	}
	s := terms{n.ufrag, n.pwd, l.own, setup}.marshal()
	b, err := json.Marshal(link.Description{Type: typ, SDP: s, ID: n.mine, To: n.theirs})
	if err != nil {
		return
	}
	n.pending = typ == "offer"
	n.offered = time.Now()
	n.described = true
	l.config.Send(wire.Payload{Description: b})
	l.sendCandidates(n.local)
}

// localCandidate sends a candidate of this side, or keeps it until the generation is described.
func (l *Link) localCandidate(c path.Candidate) {
	n := &l.talk
	if c.Ufrag != n.ufrag {
		return
	}
	n.local = append(n.local, c)
	if n.described {
		l.sendCandidates([]path.Candidate{c})
	}
}

// sendCandidates sends as many in one payload as it takes.
func (l *Link) sendCandidates(list []path.Candidate) {
	mid, line := "0", 0
	for len(list) > 0 {
		n := min(len(list), wire.MaxCandidates)
		items := make([]*candidate, n)
		for i, c := range list[:n] {
			if c.Line != "" {
				items[i] = &candidate{c.Line, &mid, &line, c.Ufrag}
			}
		}
		list = list[n:]
		if b, err := json.Marshal(items); err == nil {
			l.config.Send(wire.Payload{Candidates: b})
		}
	}
}

// receive takes one payload.
func (l *Link) receive(p wire.Payload) {
	switch {
	case p.Description != nil:
		var d link.Description
		if err := json.Unmarshal(p.Description, &d); err != nil {
			l.config.Logger.Warn("the other side's description is not understood", "error", err)
			return
		}
		l.receiveDescription(d)
	case p.Candidates != nil:
		var list []*candidate
		if err := json.Unmarshal(p.Candidates, &list); err != nil {
			l.config.Logger.Warn("the other side's candidates are not understood", "error", err)
			return
		}
		for _, c := range list {
			l.remoteCandidate(c)
		}
	case p.Candidate != nil:
		var c *candidate
		if err := json.Unmarshal(p.Candidate, &c); err != nil {
			l.config.Logger.Warn("the other side's candidate is not understood", "error", err)
			return
		}
		l.remoteCandidate(c)
	}
}

func (l *Link) remoteCandidate(c *candidate) {
	if c == nil || c.Candidate == "" {
		return // The last one. Nothing depends on it.
	}
	if c.Ufrag != "" && c.Ufrag != l.talk.remote || l.talk.remote == "" {
		return
	}
	if err := l.path.AddCandidate(c.Candidate); err != nil {
		l.config.Logger.Debug("a candidate of the other side is not used", "candidate", c.Candidate, "error", err)
	}
}

func (l *Link) receiveDescription(d link.Description) {
	n := &l.talk
	switch d.Type {
	case "offer":
		if d.To != "" && link.ConnectionOf(d.To) != n.name {
			return
		}
	case "answer":
		if !n.pending || d.To != n.mine {
			return
		}
	default:
		return // Nothing else is sent to programs.
	}
	t, err := parseTerms(d.SDP)
	if err != nil {
		l.config.Logger.Warn("the other side's description is not understood", "error", err)
		return
	}
	if d.Type == "offer" {
		l.receiveOffer(d, t)
	} else {
		l.receiveAnswer(d, t)
	}
}

func (l *Link) receiveOffer(d link.Description, t terms) {
	n := &l.talk
	if n.pending && !l.config.Polite {
		return
	}
	if n.remote != "" && n.remote != t.ufrag && !n.restarts.Allow(time.Now()) {
		l.config.Logger.Warn("the other side restarts more often than any network changes: one is not followed")
		return
	}
	replaced := l.meet(t)
	n.theirs = d.ID
	switch {
	case n.pending, n.remote == "": // This side's generation is new to the other side.
	case n.remote != t.ufrag:
		if !l.newGeneration() {
			return
		}
	}
	if replaced { // Not before ICE has forgotten the old pair.
		l.path.Forget()
	}
	if n.setup == "" {
		n.setup = active
		if t.setup == active {
			n.setup = passive
		}
	}
	l.accept(t, false)
	l.describe("answer")
}

func (l *Link) receiveAnswer(d link.Description, t terms) {
	n := &l.talk
	if l.meet(t) {
		l.path.Forget()
	}
	n.theirs, n.pending = d.ID, false
	if n.setup == "" {
		n.setup = passive
		if t.setup == passive {
			n.setup = active
		}
	}
	l.accept(t, true)
}

// meet forgets what was agreed with another Link of the other side, and tells whether there was one.
func (l *Link) meet(t terms) bool {
	l.mu.Lock()
	old := l.peer
	conns := slices.Clone(l.conns)
	l.mu.Unlock()
	if old.fingerprint == t.fingerprint || old.fingerprint == (fingerprint{}) {
		return false
	}
	l.talk.setup, l.talk.theirs = "", ""
	for _, c := range conns {
		_ = c.q.CloseWithError(unwantedCode, "another link")
	}
	return true
}

// accept gives the other side's terms to those who need them.
func (l *Link) accept(t terms, controls bool) {
	n := &l.talk
	n.remote, n.agreed = t.ufrag, true
	l.mu.Lock()
	l.peer = peer{known: true, fingerprint: t.fingerprint, active: n.setup == active}
	l.broadcast()
	l.mu.Unlock()
	if err := l.path.SetRemote(t.ufrag, t.pwd, controls); err != nil {
		l.config.Logger.Warn("ICE did not take the other side's credentials", "error", err)
	}
	signal(l.kick)
}
