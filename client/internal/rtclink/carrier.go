package rtclink

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
)

// Labels of data channels that are no streams.
const (
	datagramsLabel  = "turnpike.datagrams"  // of programs
	unreliableLabel = "turnpike.unreliable" // of the SDK
)

var errCrowded = errors.New("too many data channels are open")

// rawChannel is a data channel of pion's that was detached: reading it is what makes room for more, and OnBufferedAmountLow
// is called without a goroutine of its own, so that it must not block.
type rawChannel interface {
	ReadDataChannel([]byte) (int, bool, error)
	WriteDataChannel([]byte, bool) (int, error)
	Close() error
	BufferedAmount() uint64
	SetBufferedAmountLowThreshold(uint64)
	OnBufferedAmountLow(func())
}

// carrier is one PeerConnection with its data channels.
type carrier struct {
	link *Link
	pc   *webrtc.PeerConnection
	over chan struct{} // closed when the connection is given up, or has ended
	end  func()        // closes over

	mu       sync.Mutex
	chat     rawChannel // nil until it is open
	streams  map[*Stream]struct{}
	channels int             // that are not closed on both sides
	datagram rawChannel      // our own
	theirs   map[string]bool // labels that are no streams, of channels that the other side has opened
}

// peerCertificate returns the SHA-256 of the certificate that the other side has shown in DTLS.
func (c *carrier) peerCertificate() ([32]byte, error) {
	der := c.pc.SCTP().Transport().GetRemoteCertificate()
	if len(der) == 0 {
		return [32]byte{}, errors.New("the other side has shown no certificate yet")
	}
	return sha256.Sum256(der), nil
}

// configuration is that of new PeerConnections.
func (l *Link) configuration() webrtc.Configuration {
	policy := webrtc.ICETransportPolicyAll
	if l.config.RelayOnly {
		policy = webrtc.ICETransportPolicyRelay
	}
	return webrtc.Configuration{ICEServers: l.servers, ICETransportPolicy: policy, Certificates: []webrtc.Certificate{l.identity.certificate}}
}

// newCarrier makes a PeerConnection, whose events go to the goroutine of the link.
func newCarrier(n *negotiation) (*carrier, error) {
	l := n.link
	pc, err := l.api.NewPeerConnection(l.configuration())
	if err != nil {
		return nil, fmt.Errorf("new PeerConnection: %w", err)
	}
	c := &carrier{link: l, pc: pc, over: make(chan struct{}), streams: map[*Stream]struct{}{}, theirs: map[string]bool{}}
	c.end = sync.OnceFunc(func() { close(c.over) })
	pc.OnICECandidate(func(found *webrtc.ICECandidate) { l.post(func() { n.foundCandidate(c, found) }) })
	pc.OnICEConnectionStateChange(func(webrtc.ICEConnectionState) { l.post(func() { n.iceChanged(c) }) })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateClosed || pc.SCTP().Transport().State() == webrtc.DTLSTransportStateFailed {
			c.end()
			l.post(func() { n.ended(c) })
		}
	})
	pc.SCTP().Transport().ICETransport().OnSelectedCandidatePairChange(func(*webrtc.ICECandidatePair) { l.post(l.showPath) })
	pc.OnDataChannel(func(*webrtc.DataChannel) {}) // Without a handler, pion closes them.
	pc.SCTP().OnDataChannelOpened(c.came)
	negotiated, zero := true, uint16(0)
	chat, err := pc.CreateDataChannel("chat", &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &zero})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the channel of the SDK: %w", err), pc.GracefulClose())
	}
	chat.OnOpen(func() {
		if raw, err := detach(chat); err == nil && c.beginChat(raw) {
			l.post(func() { n.opened(c) })
		}
	})
	return c, nil
}

func detach(d *webrtc.DataChannel) (rawChannel, error) {
	detached, err := d.Detach()
	if err != nil {
		return nil, err
	}
	raw, ok := detached.(rawChannel)
	if !ok {
		return nil, errors.New("a detached data channel tells nothing of its buffer")
	}
	return raw, nil
}

func (c *carrier) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return c.pc.ConnectionState() == webrtc.PeerConnectionStateClosed
	}
}

// retire gives the connection up, while the link goes on.
func (c *carrier) retire() {
	c.end()
	c.link.retiring.Add(1)
	shutDown := func() {
		defer c.link.retiring.Add(-1)
		c.shutDown()
	}
	if !c.link.spawn(shutDown) {
		shutDown()
	}
}

// shutDown ends the connection and waits for pion's goroutines.
func (c *carrier) shutDown() {
	c.end()
	if err := c.pc.GracefulClose(); err != nil {
		c.link.logger.Debug("WebRTC closed with errors", "error", err)
	}
}

// checkName returns an error unless a stream may have that name.
func checkName(name string) error {
	if name == "" || len(name) > link.MaxName || !utf8.ValidString(name) || strings.HasPrefix(name, link.ReservedName) {
		return fmt.Errorf("a stream's name has 1 to %d bytes of UTF-8 and does not begin with %q, unlike %q", link.MaxName, link.ReservedName, name)
	}
	return nil
}

// open opens a stream.
func (c *carrier) open(name string) (*Stream, error) {
	if err := c.book(); err != nil {
		return nil, err
	}
	d, err := c.pc.CreateDataChannel(name, nil)
	var raw rawChannel
	if err == nil {
		raw, err = detach(d)
	}
	if err != nil {
		c.unbook()
		return nil, fmt.Errorf("open the data channel %q: %w", name, err)
	}
	return c.stream(name, raw, true)
}

// stream begins to read a channel for which there is a booking.
func (c *carrier) stream(name string, raw rawChannel, ours bool) (*Stream, error) {
	peer, err := c.peerCertificate()
	if err != nil { // pion opens no channel before its handshake is over.
		_ = raw.Close()
		c.unbook()
		return nil, err
	}
	s := newStream(c, name, raw, ours)
	s.peer = peer
	c.mu.Lock()
	c.streams[s] = struct{}{}
	c.mu.Unlock()
	if !c.link.spawn(s.receive) {
		c.forget(s)
		return nil, net.ErrClosed
	}
	return s, nil
}

func (c *carrier) forget(s *Stream) {
	c.mu.Lock()
	delete(c.streams, s)
	c.mu.Unlock()
	c.unbook()
}

// book counts one more channel.
func (c *carrier) book() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channels >= c.link.channels {
		return errCrowded
	}
	c.channels++
	return nil
}

func (c *carrier) unbook() {
	c.mu.Lock()
	c.channels--
	c.mu.Unlock()
}

// came takes a channel that the other side has opened. pion calls it for one after the other.
func (c *carrier) came(d *webrtc.DataChannel) {
	raw, err := detach(d)
	if err != nil {
		c.link.logger.Warn("a data channel cannot be used", "error", err)
		return
	}
	if err := c.book(); err != nil {
		c.abandon(err.Error())
		return
	}
	switch label := d.Label(); {
	case label == datagramsLabel && c.first(label):
		c.readDatagrams(raw)
	case label == unreliableLabel && c.first(label):
		c.spawn(func() { c.readChat(raw) })
	case checkName(label) != nil || !d.Ordered() || d.MaxRetransmits() != nil || d.MaxPacketLifeTime() != nil:
		c.link.logger.Debug("refused a data channel that is no stream", "label", label[:min(len(label), link.MaxName)])
		_ = raw.Close()
		c.spawn(func() { c.discard(raw) })
	default:
		s, err := c.stream(label, raw, false)
		if err != nil {
			return
		}
		select {
		case c.link.accepting <- s:
		default:
			c.link.logger.Debug("reset a stream: too many wait to be accepted", "name", label)
			s.Reset()
		}
	}
}

// first reports whether the other side has opened no channel of that label before.
func (c *carrier) first(label string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	again := c.theirs[label]
	c.theirs[label] = true
	return !again
}

// abandon gives up the connection, because the other side does what no side may. It may be called on pion's goroutines.
func (c *carrier) abandon(why string) {
	if c.isOver() {
		return
	}
	c.link.logger.Warn("gave up the connection", "why", why)
	c.link.post(c.retire)
}

// spawn runs a function that reads a booked channel to its end.
func (c *carrier) spawn(read func()) {
	started := c.link.spawn(func() {
		defer c.unbook()
		read()
	})
	if !started {
		c.unbook()
	}
}

// drain waits until the other side has read the ends of the streams that were ended in order, and resets the others.
func (c *carrier) drain(atMost time.Duration) {
	c.mu.Lock()
	streams := make([]*Stream, 0, len(c.streams))
	for s := range c.streams {
		streams = append(streams, s)
	}
	c.mu.Unlock()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	late := false
	for _, s := range streams {
		if !s.isEnded() {
			s.Reset()
			continue
		}
		if late {
			continue
		}
		select {
		case <-s.wasRead:
		case <-s.gone:
		case <-c.over:
		case <-timer.C:
			late = true
		}
	}
}

// discard reads a channel to its end, so that what nobody wants does not fill the window of the others.
func (c *carrier) discard(raw rawChannel) {
	buffer := make([]byte, maxMessage)
	for {
		_, _, err := raw.ReadDataChannel(buffer)
		if errors.Is(err, io.ErrShortBuffer) {
			c.abandon("a message is longer than any may be")
		}
		if err != nil {
			return
		}
	}
}
