// Package link is the interface between a room mate, as signaling knows it, and the two ways to reach it: QUIC where both
// ends are programs, WebRTC data channels where one end is a browser.
//
//	client ── Config, Receive, Restart ──▶ Link ── Config.Send, OnPath ──▶ client
//	                                        └ Open, Accept ──▶ Stream, for the program that embeds the client
package link

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"example.org/turnpike/signal/wire"
)

// Names of [wire.Peer]'s transports. A session that names none is a browser's, or another program with WebRTC.
const (
	QUIC   = "quic"
	WebRTC = "webrtc"
)

// MaxName is the greatest length of a stream's name, in bytes of UTF-8.
const MaxName = 64

// ReservedName begins the labels of data channels that are no streams.
const ReservedName = "turnpike."

// Config says what a Link needs of its surroundings.
type Config struct {
	// Offers means that this side makes the first offer: the newcomer in the room does. Polite is the side that yields
	// when both offer at once: the one whose session identifier is smaller.
	Offers, Polite bool

	// ICEServers are those of the session; [Link.SetICEServers] brings later ones.
	ICEServers []wire.ICEServer

	// RelayOnly allows no direct path, which hides this side's addresses from the other.
	RelayOnly bool

	// Send takes one payload to the other side, in order. It never blocks.
	Send func(wire.Payload)

	// OnPath hears of the first path and of every other one, one call at a time. It must not block. It hears of the zero
	// Path when there is none any more.
	OnPath func(Path)

	// TLS is for TURN over TLS and DTLS: roots above all. Nil trusts what the system trusts.
	TLS *tls.Config

	// OnMessage hears of what a page says to this side by room.send, peer.send and as chat: each message once, in order and
	// one call at a time. Nothing more is read of them while it runs. Nil: pages learn that this side takes no data.
	OnMessage func(Message)

	// Logger hears what happens. Nil is silence.
	Logger *slog.Logger
}

// Link is the connection to one room mate. It may be used by many goroutines at once.
type Link interface {
	// Receive takes what the other side sent. It is called in order, and never blocks for longer than its work takes.
	Receive(wire.Payload)

	// Restart looks for paths anew: the network has changed, or signaling lost messages. Streams stay as they are.
	Restart()

	// SetICEServers replaces the ICE servers for what is gathered from now on.
	SetICEServers([]wire.ICEServer)

	// Open opens a stream. It waits for the path, until ctx ends.
	Open(ctx context.Context, name string) (Stream, error)

	// Accept returns the next stream that the other side opened.
	Accept(ctx context.Context) (Stream, error)

	// SendDatagram sends one datagram, which may be lost. It fails for one that is longer than the path takes. It waits while 32
	// before it are on their way, which they stay where a path is lost.
	SendDatagram([]byte) error

	// ReceiveDatagram returns the next datagram. Those that come while 128 wait are dropped.
	ReceiveDatagram(ctx context.Context) ([]byte, error)

	// Path returns the path in use, with its present RTT, and false while there is none.
	Path() (Path, bool)

	// Close waits, for at most five seconds, until the other side has read the end of every stream whose writing was ended in
	// order. Then it ends the streams, tells the other side by the path, and waits until all goroutines of the Link have ended.
	Close() error
}

// Stream is a [net.Conn] with a name, whose two directions end on their own. Close ends writing in order, so that what
// was written arrives, and gives up reading.
type Stream interface {
	net.Conn
	// CloseWrite tells the other side that nothing follows. Reading goes on.
	CloseWrite() error
	// Reset gives up both directions at once: the other side's Read and Write fail.
	Reset()
	// Name is the name that the side that opened the stream gave it.
	Name() string
	// ChannelBinding returns 32 bytes that only the two ends of the stream's connection have in common. Every side between them
	// would have a connection to each, and so two others.
	ChannelBinding() ([]byte, error)
	// PeerCertificate returns the SHA-256 of the certificate that the other side has shown on the stream's connection. It is the same
	// for all connections of one link of the other side.
	PeerCertificate() [32]byte
}

// Message is what a page says to a program. Chat has the topic turnpike.chat and an object of text and at as its data, just
// as if it came by way of the server.
type Message struct {
	Topic string
	// Data is JSON; Bytes takes its place if the page has sent bytes.
	Data  json.RawMessage
	Bytes []byte
}

// Path is the way that packets take at this moment.
type Path struct {
	// Transport is QUIC or WebRTC.
	Transport string
	// Relayed means that at least one side reaches the other by a TURN server.
	Relayed bool
	// Protocol is how packets leave this machine: udp, tcp, tls or dtls. It is udp on a direct path.
	Protocol string
	// Relay is the host of this side's TURN server, empty if only the other side uses one.
	Relay string
	// Local is the address that packets leave from, as far as this machine knows; Remote the one that they go to, which is
	// the other side's relayed address if that side is relayed.
	Local, Remote netip.AddrPort
	// RTT is the smoothed round-trip time.
	RTT time.Duration
}

// String returns the path as the verbs print it.
func (p Path) String() string {
	rtt := p.RTT.Round(time.Millisecond)
	if p.RTT < 10*time.Millisecond {
		rtt = p.RTT.Round(100 * time.Microsecond)
	}
	switch {
	case p == Path{}:
		return "no path"
	case !p.Relayed && !p.Remote.IsValid():
		return fmt.Sprintf("direct %s to an address that the other side hides, %s", p.Protocol, rtt)
	case !p.Relayed:
		return fmt.Sprintf("direct %s %s, %s", p.Protocol, p.Remote, rtt)
	case p.Relay == "":
		return fmt.Sprintf("relayed by the other side over %s, %s", p.Protocol, rtt)
	}
	return fmt.Sprintf("relayed by %s over %s, %s", p.Relay, p.Protocol, rtt)
}
