package rtclink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// echo sends a word over a stream and back.
func echo(there, here link.Stream, word string) error {
	there.SetDeadline(time.Now().Add(20 * time.Second))
	here.SetDeadline(time.Now().Add(20 * time.Second))
	for _, ends := range [][2]link.Stream{{there, here}, {here, there}} {
		if _, err := ends[0].Write([]byte(word)); err != nil {
			return err
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(ends[1], got); err != nil || string(got) != word {
			return fmt.Errorf("read %q: %w", got, err)
		}
	}
	return nil
}

// settled waits until an end has nothing to negotiate.
func settled(t *testing.T, ends ...*end) {
	t.Helper()
	for _, e := range ends {
		eventually(t, func() error {
			state := make(chan error)
			e.post(func() {
				switch n := e.newest(); {
				case n.carrier.pc.SignalingState() != webrtc.SignalingStateStable:
					state <- fmt.Errorf("the signaling state is %v", n.carrier.pc.SignalingState())
				case !n.isConnected():
					state <- fmt.Errorf("the ICE state is %v", n.carrier.pc.ICEConnectionState())
				default:
					state <- nil
				}
			})
			return <-state
		})
	}
}

func descriptionIn(p wire.Payload) link.Description {
	var d link.Description
	json.Unmarshal(p.Description, &d)
	return d
}

// TestRestart restarts ICE at one end, at the other, and at both at once, under a stream that must not notice.
func TestRestart(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "stays")
	for round, ends := range [][]*end{{a}, {b}, {a, b}, {b, a}, {a, b}} {
		for _, e := range ends {
			e.Restart()
		}
		if err := echo(there, here, fmt.Sprintf("round %d", round)); err != nil {
			t.Fatalf("after restart %d: %v", round, err)
		}
		settled(t, a, b)
	}
}

// TestGlareOfRestarts has both ends offer before either hears of the other: the polite one must take its offer back, and make
// it again.
func TestGlareOfRestarts(t *testing.T) {
	a, b := newPair(t)
	release := make(chan struct{})
	hold := func(e *end) {
		e.setFilter(func(p wire.Payload) bool {
			if p.Description != nil && descriptionIn(p).Type == "offer" {
				<-release
			}
			return true
		})
	}
	connect(t, a, b)
	connect(t, b, a)
	there, here := streams(t, a, b, "stays")
	settled(t, a, b)
	hold(a)
	hold(b)
	a.Restart()
	b.Restart()
	for _, e := range []*end{a, b} {
		eventually(t, func() error {
			offering := make(chan bool)
			e.post(func() { offering <- e.current.isOffering() })
			if !<-offering {
				return errors.New("no offer was made")
			}
			return nil
		})
	}
	close(release)
	if err := echo(there, here, "both"); err != nil {
		t.Fatal(err)
	}
	settled(t, a, b)
}

// TestGlareAtFirst has both ends make the first offer.
func TestGlareAtFirst(t *testing.T) {
	noLeaks(t)
	a, b := newEnd(t, link.Config{Offers: true}), newEnd(t, link.Config{Offers: true, Polite: true})
	for _, e := range []*end{a, b} {
		eventually(t, func() error {
			if len(e.queue) == 0 {
				return errors.New("no offer was made")
			}
			return nil
		})
	}
	connect(t, a, b)
	connect(t, b, a)
	there, here := streams(t, b, a, "either")
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
}

// TestLostOffer loses the first offer, and TestLostAnswer a later answer: Restart makes good for both.
func TestLostOffer(t *testing.T) {
	a, b := newPair(t)
	lost := make(chan struct{})
	a.setFilter(func(p wire.Payload) bool {
		if p.Description == nil || isClosed(lost) {
			return isClosed(lost)
		}
		close(lost)
		return false
	})
	connect(t, a, b)
	connect(t, b, a)
	<-lost
	a.Restart()
	there, here := streams(t, a, b, "late")
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
}

func TestLostAnswer(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "stays")
	settled(t, a, b)
	lost := make(chan struct{})
	b.setFilter(func(p wire.Payload) bool {
		if p.Description != nil && descriptionIn(p).Type == "answer" && !isClosed(lost) {
			close(lost)
			return false
		}
		return true
	})
	a.Restart()
	<-lost
	a.Restart()
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
	settled(t, a, b)
}

// TestBegunAnew has the other side lose everything and come back with another connection: a page that was loaded again.
func TestBegunAnew(t *testing.T) {
	a, b := newPair(t)
	connect(t, a, b)
	connect(t, b, a)
	old, _ := streams(t, a, b, "old")
	b.setFilter(func(wire.Payload) bool { return false })
	again := newEnd(t, link.Config{Offers: true, Polite: true})
	connect(t, a, again)
	connect(t, again, a)
	there, here := streams(t, again, a, "new")
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
	old.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := old.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Errorf("a stream of the former connection ended with %v", err)
	}
}

// offerOf returns the first offer of an end that nothing was delivered to.
func offerOf(t *testing.T, e *end) link.Description {
	t.Helper()
	for {
		select {
		case p := <-e.queue:
			if p.Description != nil {
				return descriptionIn(p)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no offer was made")
		}
	}
}

// TestBadNewConnection holds that an offer of another connection that cannot be followed leaves the present one as it is.
func TestBadNewConnection(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "stays")
	settled(t, a, b)
	good := offerOf(t, newEnd(t, link.Config{Offers: true})).SDP
	for name, sdp := range map[string]string{
		"no SDP":            "v=0\r\n",
		"refused by WebRTC": strings.Replace(good, "a=fingerprint:sha-256 ", "a=fingerprint:", 1),
		"nothing":           "",
	} {
		a.Receive(payloadOf(link.Description{Type: "offer", SDP: sdp, ID: "other.1"}))
		before, after := make(chan int), make(chan int)
		a.post(func() { before <- a.current.descriptions })
		made := <-before
		a.Restart()
		a.post(func() { after <- a.current.descriptions })
		if n := <-after; n != made+1 {
			t.Errorf("%s: then a restart makes %d offers", name, n-made)
		}
		if err := echo(there, here, "word"); err != nil {
			t.Fatal(err)
		}
		settled(t, a, b)
	}

	// One that can be followed, and ends before it works.
	a.Receive(payloadOf(link.Description{Type: "offer", SDP: good, ID: "third.1"}))
	a.post(func() { _ = a.next.carrier.pc.Close() })
	eventually(t, func() error {
		next := make(chan *negotiation)
		a.post(func() { next <- a.next })
		if <-next != nil {
			return errors.New("it still takes all that is signalled")
		}
		return nil
	})
	a.Restart()
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
	settled(t, a, b)
}

// answersTo counts the descriptions that an end makes to offers.
func answersTo(t *testing.T, e *end, offers []link.Description) (answers int) {
	t.Helper()
	for _, d := range offers {
		e.Receive(payloadOf(d))
		done := make(chan struct{})
		e.post(func() { close(done) })
		<-done
		eventually(t, func() error {
			if n := e.retiring.Load(); n > 0 {
				return fmt.Errorf("%d connections that were given up have not ended", n)
			}
			return nil
		})
	}
	for {
		select {
		case p := <-e.queue:
			if p.Description != nil && descriptionIn(p).Type == "answer" {
				answers++
			}
		default:
			return answers
		}
	}
}

// TestTooManyNewConnections holds that the other side cannot have this one make connections, or gather, without end.
func TestTooManyNewConnections(t *testing.T) {
	noLeaks(t)
	good := offerOf(t, newEnd(t, link.Config{Offers: true}))
	const many = 60
	anew, restarts := make([]link.Description, many), make([]link.Description, many)
	ufrag := "a=ice-ufrag:" + attributeIn(good.SDP, "ice-ufrag")
	for i := range many {
		anew[i] = link.Description{Type: "offer", SDP: good.SDP, ID: fmt.Sprintf("page%d.1", i)}
		restarts[i] = link.Description{Type: "offer", SDP: strings.Replace(good.SDP, ufrag, fmt.Sprint("a=ice-ufrag:ufrag", i), 1), ID: fmt.Sprint("page.", i)}
	}
	if n := answersTo(t, newEnd(t, link.Config{Polite: true}), anew); n < 2 || n > many/2 {
		t.Errorf("%d of %d new connections were followed", n, many)
	}
	if n := answersTo(t, newEnd(t, link.Config{Polite: true}), restarts); n < 2 || n > many/2 {
		t.Errorf("%d of %d restarts were followed", n, many)
	}
}

// TestStale holds that what comes too late changes nothing: an answer to an offer that was taken back, and an offer for a
// connection that is gone.
func TestStale(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "stays")
	settled(t, a, b)
	stale := []link.Description{
		{Type: "answer", SDP: "v=0\r\n", ID: "x.1", To: "y.1"},
		{Type: "offer", SDP: "v=0\r\n", ID: "x.2", To: "other.7"},
		{Type: "answer", SDP: "v=0\r\n"},
	}
	for _, d := range stale {
		b.Receive(payloadOf(d))
	}
	if err := echo(there, here, "word"); err != nil {
		t.Fatal(err)
	}
	theirs := make(chan string)
	b.post(func() { theirs <- b.current.theirs })
	if id := <-theirs; link.ConnectionOf(id) == "x" || link.ConnectionOf(id) == "" {
		t.Errorf("a stale description counts as the last one: %q", id)
	}
}

// TestPeerGone ends streams and paths when the other side closes, and lets nobody wait for ever.
func TestPeerGone(t *testing.T) {
	a, b := connectedPair(t)
	there, _ := streams(t, a, b, "cut")
	<-a.paths
	b.Close()
	there.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, errReset) {
		t.Errorf("a read ended with %v", err)
	}
	if path := <-a.paths; path != (link.Path{}) {
		t.Errorf("told of the path %v", path)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Open(ctx, "none"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open without a connection ended with %v", err)
	}
	if _, ok := a.Path(); ok {
		t.Error("there is a path to nobody")
	}
}

// TestCloseAtAnyTime closes ends that have not yet connected, and twice.
func TestCloseAtAnyTime(t *testing.T) {
	a, b := newPair(t)
	a.Restart()
	a.SetICEServers([]wire.ICEServer{{URLs: []string{"stun:127.0.0.1:9", "nonsense"}}})
	a.Close()
	a.Close()
	b.Receive(wire.Payload{Description: json.RawMessage(`{"type":"offer","sdp":"v=0"}`)})
	b.Close()
	if _, err := b.Accept(t.Context()); err == nil {
		t.Error("a closed link accepts")
	}
	a.Restart()
	a.Receive(wire.Payload{Candidate: json.RawMessage(`null`)})
}

// TestServersAndRelays gathers with the servers of the moment, and, with relays only, tells no address of this machine.
func TestServersAndRelays(t *testing.T) {
	noLeaks(t)
	e := newEnd(t, link.Config{Offers: true, RelayOnly: true, ICEServers: []wire.ICEServer{{URLs: []string{"stun:127.0.0.1:9"}}}})
	e.SetICEServers([]wire.ICEServer{{URLs: []string{"turn:127.0.0.1:9?transport=udp", "turn:nonsense:x"}, Username: "u", Credential: "c"}})
	eventually(t, func() error {
		servers := make(chan []webrtc.ICEServer)
		e.post(func() {
			e.current.renewServers()
			servers <- e.current.carrier.pc.GetConfiguration().ICEServers
		})
		if got := <-servers; len(got) != 1 || len(got[0].URLs) != 1 || got[0].Username != "u" {
			return fmt.Errorf("the servers are %v", got)
		}
		return nil
	})
	for range 2 { // The offer, and the end of gathering.
		p := <-e.queue
		if text := string(p.Description) + string(p.Candidates); strings.Contains(text, "candidate:") {
			t.Errorf("with relays only and no relay, the other side hears %s", text)
		}
	}
}
