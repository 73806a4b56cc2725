package rtclink

import (
	"crypto/rand"
	"encoding/json"
	"strconv"
	"time"

	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// gathering is how long candidates wait for others, as signal/PROTOCOL.md asks.
const gathering = 50 * time.Millisecond

// negotiation makes one connection by offers and answers, as W3C's "perfect negotiation" says. The goroutine of the link
// owns it.
//
// pion cannot roll an offer back. The first one needs none: another PeerConnection takes its place, as nothing was agreed on.
// A later one gets an answer that says what the other side has said last; see takeBack.
type negotiation struct {
	link    *Link
	carrier *carrier
	// name is the first part of the ids of our descriptions, and descriptions the count in their second.
	name         string
	descriptions int
	offer        string // the id of our last offer
	theirs       string // the id of the other side's last description
	layout       layout
	remote       string // the other side's last description, as pion has it
	role         string // the other side's role in DTLS, which stays: active or passive
	ufrag        string
	ignores      bool // an offer of the other side, and so the candidates that come with it
	needsRestart bool
	newServers   bool // those of the link are others than the PeerConnection has
	isUp         bool
	early        []theirCandidate // that came before a description
	candidates   int              // that came with the last description
	restarts     link.Rate        // that the other side asks for
	found        []*candidate
	sending      *time.Timer // of found
}

func newNegotiation(l *Link) (*negotiation, error) {
	n := &negotiation{link: l, name: newName(), restarts: link.Restarts()}
	c, err := newCarrier(n)
	n.carrier = c
	return n, err
}

func newName() string { return rand.Text()[:12] }

// isForeign reports whether a description is an offer from another connection than the one that we know.
func (n *negotiation) isForeign(d *link.Description) bool {
	return d.Type == "offer" && d.ID != "" && n.theirs != "" && link.ConnectionOf(d.ID) != link.ConnectionOf(n.theirs)
}

// isStale reports whether a description follows one that does not count any more.
func (n *negotiation) isStale(d *link.Description) bool {
	if d.Type == "answer" {
		return !n.isOffering() || d.To != "" && d.To != n.offer
	}
	return d.To != "" && link.ConnectionOf(d.To) != n.name
}

func (n *negotiation) isOffering() bool {
	return n.carrier.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
}

func (n *negotiation) isConnected() bool {
	switch n.carrier.pc.ICEConnectionState() {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		return true
	}
	return false
}

// isOver reports whether the connection cannot work any more, whatever is negotiated.
func (n *negotiation) isOver() bool { return n.carrier.isOver() }

// receive takes a description of the other side. It reports false if that changes nothing.
func (n *negotiation) receive(d *link.Description) bool {
	if n.isStale(d) || n.isOver() {
		return false
	}
	n.theirs = d.ID
	n.ignores = d.Type == "offer" && n.isOffering() && !n.link.config.Polite
	if n.ignores {
		return false
	}
	reduced, layout, err := reduce(d.SDP)
	if err != nil {
		n.link.logger.Warn("dropped a description of the other side", "type", d.Type, "error", err)
		return false
	}
	if n.ignores = d.Type == "offer" && n.restartsTooOften(reduced); n.ignores {
		n.link.logger.Warn("the other side restarts more often than any network changes: one is not followed")
		return false
	}
	if d.Type == "offer" && n.isOffering() && !n.giveWay() {
		return false
	}
	if err := n.apply(d.Type, reduced); err != nil {
		n.broken("WebRTC refused a description of the other side", err)
		return false
	}
	n.layout, n.remote = layout, reduced
	if d.Type == "answer" {
		n.role = attributeIn(reduced, "setup")
	} else if !n.makeAnswer() {
		return false
	}
	early := n.early
	n.early, n.candidates = nil, 0
	n.addCandidates(early)
	if n.needsRestart {
		n.restart()
	}
	return true
}

// restartsTooOften counts an offer that has this side gather anew.
func (n *negotiation) restartsTooOften(reduced string) bool {
	const ufrag = "ice-ufrag"
	return n.remote != "" && attributeIn(n.remote, ufrag) != attributeIn(reduced, ufrag) && !n.restarts.Allow(time.Now())
}

func (n *negotiation) apply(kind, sdp string) error {
	n.renewServers() // An offer may have us gather.
	return n.carrier.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.NewSDPType(kind), SDP: sdp})
}

// broken gives the connection up after a step that pion does not take back. What was negotiated before goes on only if that
// step did not begin.
func (n *negotiation) broken(what string, err error) {
	n.link.logger.Warn(what, "error", err)
	if n.carrier.pc.SignalingState() != webrtc.SignalingStateStable {
		n.carrier.retire()
	}
}

// giveWay takes our offer back for one of the other side. The name stays: the other side may have seen it.
func (n *negotiation) giveWay() bool {
	if n.remote == "" {
		return n.startOver()
	}
	n.needsRestart = true
	return n.takeBack()
}

// startOver takes another PeerConnection for a first offer that was never answered.
func (n *negotiation) startOver() bool {
	c, err := newCarrier(n)
	if err != nil {
		n.link.logger.Error("no new connection", "error", err)
		return false
	}
	n.carrier.retire()
	n.carrier, n.found, n.layout, n.newServers = c, nil, layout{}, false
	return true
}

// takeBack ends the state in which an offer waits for its answer. The answer changes nothing: it is what the other side has
// said last.
func (n *negotiation) takeBack() bool {
	if err := n.apply("answer", asAnswer(n.remote, n.role)); err != nil {
		n.broken("an offer cannot be taken back", err)
		return false
	}
	return true
}

// restart looks for another path.
func (n *negotiation) restart() {
	n.needsRestart = false
	switch {
	case n.remote == "" && n.offer == "":
		return // The other side makes the first offer.
	case n.remote == "":
		// If the other side had the former offer, it must not take the next one for a change of the same connection.
		n.name, n.descriptions = newName(), 0
		if !n.startOver() {
			return
		}
	case n.isOffering():
		if !n.takeBack() {
			return
		}
	}
	n.makeOffer()
}

// makeOffer reports false if there was none to make.
func (n *negotiation) makeOffer() bool {
	n.renewServers()
	pc := n.carrier.pc
	// Without a description of the other side, the ICE agent is as good as new.
	d, err := pc.CreateOffer(&webrtc.OfferOptions{
		ICERestart:         n.remote != "",
		OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true},
	})
	if err != nil {
		n.broken("no offer can be made", err)
		return false
	}
	return n.describe(d)
}

func (n *negotiation) makeAnswer() bool {
	d, err := n.carrier.pc.CreateAnswer(&webrtc.AnswerOptions{OfferAnswerOptions: webrtc.OfferAnswerOptions{ICETricklingSupported: true}})
	if err != nil {
		n.broken("no answer can be made", err)
		return false
	}
	n.role = "passive"
	if attributeIn(d.SDP, "setup") == "passive" {
		n.role = "active"
	}
	return n.describe(d)
}

// describe applies and sends a description of ours.
func (n *negotiation) describe(d webrtc.SessionDescription) bool {
	sdp, err := n.layout.expand(d.SDP)
	if err == nil {
		n.sendCandidates() // They belong to the description before this one.
		n.ufrag = attributeIn(d.SDP, "ice-ufrag")
		err = n.carrier.pc.SetLocalDescription(d)
	}
	if err != nil {
		n.broken("WebRTC refused a description of ours", err)
		return false
	}
	n.descriptions++
	id := n.name + "." + strconv.Itoa(n.descriptions)
	if d.Type == webrtc.SDPTypeOffer {
		n.offer = id
	}
	n.send(payloadOf(link.Description{Type: d.Type.String(), SDP: sdp, ID: id, To: n.theirs}))
	return true
}

// send takes a payload to the other side, unless another connection has taken the place of this one.
func (n *negotiation) send(p wire.Payload) {
	if n == n.link.newest() {
		n.link.config.Send(p)
	}
}

// foundCandidate sends a candidate of ours, nil after the last, together with those that follow at once.
func (n *negotiation) foundCandidate(by *carrier, c *webrtc.ICECandidate) {
	if by != n.carrier {
		return
	}
	if c == nil {
		n.found = append(n.found, nil)
	} else {
		mid, index := n.layout.tag()
		found := found(c, mid, index, n.ufrag)
		n.found = append(n.found, &found)
	}
	if len(n.found) >= wire.MaxCandidates {
		n.sendCandidates()
	} else if n.sending == nil {
		n.sending = time.AfterFunc(gathering, func() { n.link.post(n.sendCandidates) })
	}
}

func (n *negotiation) sendCandidates() {
	if n.sending != nil {
		n.sending.Stop()
		n.sending = nil
	}
	if len(n.found) == 0 {
		return
	}
	raw, err := json.Marshal(n.found)
	n.found = nil
	if err == nil {
		n.send(wire.Payload{Candidates: raw})
	}
}

func (n *negotiation) addCandidates(list []theirCandidate) {
	for _, c := range list {
		if n.candidates++; n.ignores || n.isOver() || n.candidates > maxCandidates {
			return
		}
		if n.remote == "" {
			n.early = append(n.early, c)
			continue
		}
		if c.UsernameFragment != "" && c.UsernameFragment != attributeIn(n.remote, "ice-ufrag") {
			continue // It belongs to a description of before, or to one that was ignored.
		}
		if err := n.carrier.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c.Candidate}); err != nil {
			n.link.logger.Debug("dropped a candidate of the other side", "error", err)
		}
	}
	n.link.showPath() // What was an unknown address may be a relayed one.
}

// renewServers has pion gather with the servers of the moment. It must not do so while it gathers.
func (n *negotiation) renewServers() {
	pc := n.carrier.pc
	if !n.newServers || pc.ICEGatheringState() == webrtc.ICEGatheringStateGathering {
		return
	}
	n.newServers = false
	if err := pc.SetConfiguration(n.link.configuration()); err != nil {
		n.link.logger.Warn("WebRTC refused the ICE servers", "error", err)
	}
}

// iceChanged hears of each state of the ICE transport of the present PeerConnection. Looking for another path is up to the
// owner of the link, who hears that there is none.
func (n *negotiation) iceChanged(c *carrier) {
	if c == n.carrier && n == n.link.current {
		n.link.showPath()
	}
}

// opened hears that a connection works.
func (n *negotiation) opened(c *carrier) {
	if c != n.carrier || n != n.link.current && n != n.link.next {
		return
	}
	n.isUp = true
	if n == n.link.next {
		n.link.switchOver()
	}
	n.link.setUp(n.carrier)
	n.link.showPath()
}

// ended hears that the connection is over, by the other side or because it failed for good.
func (n *negotiation) ended(c *carrier) {
	if c == n.carrier && n == n.link.next { // It has never worked, so the present one stays.
		n.link.next = nil
		n.retire()
		return
	}
	if c != n.carrier || n != n.link.current {
		return
	}
	n.isUp = false
	n.link.setUp(nil)
	n.link.showPath()
	if n.link.next != nil {
		n.link.switchOver()
	}
}

// retire gives the connection up for another one.
func (n *negotiation) retire() {
	n.isUp = false
	n.stopTimer()
	n.carrier.retire()
}

// close ends the connection with the link.
func (n *negotiation) close() {
	n.isUp = false
	n.stopTimer()
	n.carrier.shutDown()
}

func (n *negotiation) stopTimer() {
	if n.sending != nil {
		n.sending.Stop()
		n.sending = nil
	}
}
