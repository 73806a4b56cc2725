//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

const overDataChannel = "data channel"

// channelTransfer is WebRTC as Go programs have it without us: a data channel of pion/webrtc for each stream, with the settings that make it fastest.
type channelTransfer struct {
	pc       *webrtc.PeerConnection
	accepted chan stream
}

const (
	channelWindow  = 16 << 20 // that a receiver has, so that it holds nobody up
	channelWaiting = 1 << 20  // bytes that a sender lets wait
	channelMessage = 64 << 10 // the greatest message that pion sends by default
)

// description is what the ends tell each other.
type description struct {
	Description *webrtc.SessionDescription
	Candidate   *webrtc.ICECandidateInit
}

func newChannelTransfer(ctx context.Context, j job, s signals) (transfer, error) {
	var settings webrtc.SettingEngine
	settings.DetachDataChannels()
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetSCTPMaxReceiveBufferSize(channelWindow)
	settings.EnableSCTPZeroChecksum(true)
	settings.SetDTLSInsecureSkipHelloVerify(true)
	settings.EnableSctpSnap(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	t := &channelTransfer{pc: pc, accepted: make(chan stream, 100)}
	connected := make(chan struct{})
	ready := sync.OnceFunc(func() { close(connected) })
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			ready()
		}
	})
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			init := c.ToJSON()
			s.send(description{Candidate: &init})
		}
	})
	pc.OnDataChannel(func(d *webrtc.DataChannel) {
		if d.Label() == "" {
			return
		}
		d.OnOpen(func() {
			if opened, err := newChannelStream(d); err == nil {
				t.accepted <- opened
			}
		})
	})
	if j.Sends {
		// The first channel is there so that the offer has a section for channels.
		if _, err := pc.CreateDataChannel("", nil); err != nil {
			return nil, err
		}
		offer, err := pc.CreateOffer(nil)
		if err != nil {
			return nil, err
		}
		s.send(description{Description: &offer})
		if err := pc.SetLocalDescription(offer); err != nil {
			return nil, err
		}
	}
	for {
		select {
		case raw := <-s.receive:
			if err := t.signal(raw, s); err != nil {
				return nil, err
			}
		case <-connected:
			return t, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// signal takes what the other end says.
func (t *channelTransfer) signal(raw json.RawMessage, s signals) error {
	var d description
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if d.Candidate != nil {
		return t.pc.AddICECandidate(*d.Candidate)
	}
	if d.Description == nil {
		return fmt.Errorf("neither a description nor a candidate: %s", raw)
	}
	if err := t.pc.SetRemoteDescription(*d.Description); err != nil || d.Description.Type == webrtc.SDPTypeAnswer {
		return err
	}
	answer, err := t.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	s.send(description{Description: &answer})
	return t.pc.SetLocalDescription(answer)
}

func (t *channelTransfer) open(ctx context.Context) (stream, error) {
	d, err := t.pc.CreateDataChannel("stream", nil)
	if err != nil {
		return nil, err
	}
	opened := make(chan error, 1)
	var s *channelStream
	d.OnOpen(func() {
		var err error
		s, err = newChannelStream(d)
		opened <- err
	})
	select {
	case err := <-opened:
		return s, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *channelTransfer) accept(ctx context.Context) (stream, error) {
	select {
	case s := <-t.accepted:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// channelStream is a data channel as a stream of bytes. One goroutine reads it, and one writes it.
type channelStream struct {
	raw     io.ReadWriter
	channel *webrtc.DataChannel
	low     chan struct{} // something has left
	message []byte        // that has come
	rest    []byte        // of it, that nobody has read
}

func newChannelStream(d *webrtc.DataChannel) (*channelStream, error) {
	raw, err := d.Detach()
	if err != nil {
		return nil, err
	}
	s := &channelStream{raw: raw, channel: d, low: make(chan struct{}, 1), message: make([]byte, channelMessage)}
	d.SetBufferedAmountLowThreshold(channelWaiting / 2)
	d.OnBufferedAmountLow(func() {
		select {
		case s.low <- struct{}{}:
		default:
		}
	})
	return s, nil
}

func (s *channelStream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		n, err := s.raw.Read(s.message)
		if err != nil {
			return 0, err
		}
		s.rest = s.message[:n]
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *channelStream) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		for s.channel.BufferedAmount() > channelWaiting {
			<-s.low
		}
		k, err := s.raw.Write(b[:min(len(b), channelMessage)])
		if n += k; err != nil {
			return n, err
		}
		b = b[k:]
	}
	return n, nil
}
