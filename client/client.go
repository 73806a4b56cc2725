// Package client connects programs to each other through NATs, with a turnpike server that introduces them and relays what
// finds no direct path.
//
//	session, err := client.Dial(ctx, client.Config{URL: "https://turn.example.org", Ticket: ticket})
//	room, err := session.Join(ctx, "standup", client.JoinOptions{Create: true})
//	peer, err := room.WaitPeer(ctx, nil)
//	conn, err := peer.Open(ctx, "hello") // a net.Conn; the other side calls peer.Accept or room.Accept
//
// A [Session] outlives lost connections, changes of network and restarts of the server: it comes back by itself, into its rooms,
// and nothing that was said meanwhile is lost. Streams go from peer to peer. They do not end when the server is gone.
//
//	Session ── internal/signaling ──▶ server
//	  └ Room ── Peer ── internal/link ──▶ the other program: QUIC, or WebRTC data channels where one end is a browser
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/client/internal/quiclink"
	"example.org/turnpike/client/internal/rtclink"
	"example.org/turnpike/client/internal/signaling"
)

// Config says where the server is, and how to sign in: with Ticket, GetTicket or Invite. With none of them, the server is asked
// for a guest's ticket.
type Config struct {
	// URL is the address of the server's page, such as https://turn.example.org. http:// is for servers on this machine,
	// unless Insecure is set.
	URL string
	// Ticket is a JWT from POST /api/v1/tickets, from `turnpike ticket`, or from an app that the server trusts. Once it has
	// expired, no new session can begin with it.
	Ticket string
	// GetTicket returns a ticket whenever a new session begins, and before one ends that may not become older. Where a session
	// begins, an error that is an [*Error], and not Retryable, is the end; any other is tried again. It must return once its
	// context has ended: Close waits for it.
	GetTicket func(context.Context) (string, error)
	// Invite is what stands behind # in an invite link, or the whole link.
	Invite string
	// Name is what others see, 1 to 32 characters. Default: the ticket's, or one that is made up.
	Name string
	// RelayOnly allows no direct path, which hides this side's addresses from the peers.
	RelayOnly bool
	// Insecure allows http:// to other machines. Everybody on the way can read the ticket.
	Insecure bool
	// TLS is for the connections to the server. Default: the system's authorities.
	TLS *tls.Config
	// OnEvent hears what happens, one call at a time and in order. It must not block: behind 1,024 events that wait, or 4 MiB of
	// data in them, the session waits, and answers no request. It must not call [Session.Close].
	OnEvent func(Event)
	// Logger hears what happens inside. Default: silence.
	Logger *slog.Logger
}

// String hides the secrets.
func (c Config) String() string {
	return fmt.Sprintf("{URL:%s Name:%s Ticket:%s Invite:%s}", signaling.RedactURL(c.URL), c.Name, redacted(c.Ticket), redacted(c.Invite))
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// LogValue is String, for package slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func redacted(secret string) string {
	if secret == "" {
		return ""
	}
	return "[redacted]"
}

// setup is what a session is made of, so that tests can put other things in.
type setup struct {
	// quic and webrtc make links. Nil: this session has no such links.
	quic, webrtc func(link.Config) (link.Link, error)
	// dial opens WebSockets. Nil: those of the server.
	dial signaling.Dial
	// watch calls changed whenever the network may have changed, until ctx ends. Nil: nobody does.
	watch func(ctx context.Context, changed func())
	// random is in [0, 1), for pauses. Nil: rand.Float64.
	random func() float64
}

// Dial signs in. It tries once, and returns an [*Error] that says what is wrong; Retryable says whether waiting may help. From then
// on the session comes back by itself, until Close, or until the server lets it in no more.
func Dial(ctx context.Context, c Config) (*Session, error) {
	return dial(ctx, c, setup{quic: quiclink.New, webrtc: rtclink.New, watch: watchNetwork})
}

func dial(ctx context.Context, c Config, with setup) (*Session, error) {
	server, err := signaling.NewServer(c.URL, c.TLS, c.Insecure)
	if err != nil {
		return nil, publicError(err)
	}
	if with.dial == nil {
		with.dial = server.Dial
	}
	s := newSession(c, with)
	tickets := tickets{c, server}
	config := signaling.Config{
		Dial: with.dial, Handler: (*handler)(s), Name: c.Name, Random: with.random, Logger: s.log,
		Ticket: tickets.get, Again: c.Ticket == "" && c.Invite == "",
	}
	if c.GetTicket != nil {
		config.Renew = func(ctx context.Context) (string, error) { return tickets.get(ctx, true) }
	}
	s.signaling = signaling.New(config)
	if err := s.signaling.Open(ctx); err != nil {
		s.end()
		return nil, publicError(err)
	}
	s.start()
	return s, nil
}

// tickets gets them as a Config says.
type tickets struct {
	Config
	server *signaling.Server
}

// guestTries is how many names are made up, should somebody have the ones before.
const guestTries = 5

func (t tickets) get(ctx context.Context, _ bool) (string, error) {
	switch {
	case t.Ticket != "":
		return strings.TrimSpace(t.Ticket), nil
	case t.GetTicket != nil:
		ticket, err := t.GetTicket(ctx)
		if e, ok := errors.AsType[*Error](err); ok {
			return "", (*signaling.Error)(e)
		}
		if err != nil {
			return "", &signaling.Error{Code: signaling.CodeTicket, Message: "GetTicket failed: " + err.Error() + ".", Retryable: true, Err: err}
		}
		return strings.TrimSpace(ticket), nil
	}
	ticket := ""
	err := withName(t.Name, func(name string) (err error) {
		ticket, err = t.server.NewTicket(ctx, name, inviteIn(t.Invite))
		return err
	})
	return ticket, err
}

// withName asks with a name, or without one with names that are made up, until one is free.
func withName(name string, ask func(name string) error) error {
	if name != "" {
		return ask(name)
	}
	for tries := 1; ; tries++ {
		err := ask(fmt.Sprint("Guest ", 100+rand.IntN(9900)))
		if tries == guestTries || CodeOf(err) != "name-taken" {
			return err
		}
	}
}

// inviteIn returns the invite of a link, or of the text alone.
func inviteIn(text string) string {
	text = strings.TrimSpace(text)
	if _, after, found := strings.Cut(text, "invite="); found {
		return after
	}
	return text
}
