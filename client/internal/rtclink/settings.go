package rtclink

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"

	"example.org/turnpike/signal/wire"
)

const (
	// receiveWindow bounds what waits to be read on all channels of a connection together. It is as much as a path of
	// 40 ms takes at 100 MB/s.
	receiveWindow = 4 << 20
	// socketBuffer is asked for; the system may give less.
	socketBuffer = 4 << 20
)

// newAPI returns pion's WebRTC as the link uses it: with no media, and with the settings that carry much data.
func newAPI(logger *slog.Logger, relayOnly bool, streams *streamDialer, tune func(*webrtc.SettingEngine)) *webrtc.API {
	var e webrtc.SettingEngine
	e.LoggerFactory = loggers{logger}
	e.DetachDataChannels() // Reading is what opens the window again; events would fill memory.
	e.SetSCTPMaxReceiveBufferSize(receiveWindow)
	e.SetSCTPMaxMessageSize(maxChatMessage)
	e.EnableSCTPZeroChecksum(true)         // DTLS guards every byte already.
	e.SetDTLSInsecureSkipHelloVerify(true) // ICE has proved the address; this saves a round trip.
	e.SetNet(&network{})
	e.SetICEProxyDialer(streams)
	if relayOnly {
		e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	}
	tune(&e)
	// Without these two, each connection would have what reports on audio and video.
	noMedia, noInterceptors := &webrtc.MediaEngine{}, &interceptor.Registry{}
	return webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(noMedia), webrtc.WithInterceptorRegistry(noInterceptors))
}

// serversOf returns the ICE servers that pion understands.
func serversOf(servers []wire.ICEServer, logger *slog.Logger) []webrtc.ICEServer {
	var list []webrtc.ICEServer
	for _, s := range servers {
		server := webrtc.ICEServer{Username: s.Username, Credential: s.Credential}
		for _, url := range s.URLs {
			if _, err := stun.ParseURI(url); err != nil {
				logger.Warn("passed over an ICE server", "url", url, "error", err)
				continue
			}
			server.URLs = append(server.URLs, url)
		}
		if len(server.URLs) > 0 {
			list = append(list, server)
		}
	}
	return list
}

// network is the system's, with sockets whose buffers take bursts. It looks at the interfaces anew for each gathering: stdnet
// knows those of its beginning.
type network struct{ stdnet.Net }

func (*network) Interfaces() ([]*transport.Interface, error) {
	now, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return now.Interfaces()
}

func (n *network) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	return widened(n.Net.ListenUDP(network, local))
}

func (n *network) DialUDP(network string, local, remote *net.UDPAddr) (transport.UDPConn, error) {
	return widened(n.Net.DialUDP(network, local, remote))
}

func (n *network) ListenPacket(network, address string) (net.PacketConn, error) {
	return widened(n.Net.ListenPacket(network, address))
}

// widened asks for bigger buffers. Without them it is slower, and works.
func widened[C any](c C, err error) (C, error) {
	if s, ok := any(c).(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok && err == nil {
		_ = s.SetReadBuffer(socketBuffer)
		_ = s.SetWriteBuffer(socketBuffer)
	}
	return c, err
}

// loggers has pion's news among those that are for the author of the program: what matters, the link says itself.
type loggers struct{ to *slog.Logger }

func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return &logger{l.to.With("part", scope)}
}

type logger struct{ to *slog.Logger }

func (l *logger) say(format string, args []any) {
	if ctx := context.Background(); l.to.Enabled(ctx, slog.LevelDebug) {
		l.to.Debug(fmt.Sprintf(format, args...))
	}
}

func (l *logger) Trace(string)                  {}
func (l *logger) Tracef(string, ...any)         {}
func (l *logger) Debug(string)                  {}
func (l *logger) Debugf(string, ...any)         {}
func (l *logger) Info(message string)           { l.say("%s", []any{message}) }
func (l *logger) Infof(format string, a ...any) { l.say(format, a) }
func (l *logger) Warn(message string)           { l.say("%s", []any{message}) }
func (l *logger) Warnf(format string, a ...any) { l.say(format, a) }
func (l *logger) Error(message string)          { l.say("%s", []any{message}) }
func (l *logger) Errorf(format string, a ...any) {
	l.say(format, a)
}
