//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"example.org/turnpike/client"
)

// clientTransfer is the client library. Both ends join a room of our server as guests.
type clientTransfer struct {
	room *client.Room
	peer *client.Peer // of the sender
}

func newClientTransfer(ctx context.Context, j job, s signals) (transfer, error) {
	pem, err := os.ReadFile(j.Roots)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New(j.Roots + " has no certificate")
	}
	session, err := client.Dial(ctx, client.Config{
		URL: j.URL, RelayOnly: j.RelayOnly, TLS: &tls.Config{RootCAs: roots},
		OnEvent: func(e client.Event) {
			if e, ok := e.(client.PathChanged); ok {
				s.path(e.Path != client.Path{} && !e.Path.Relayed, e.Path.String())
			}
		},
	})
	if err != nil {
		return nil, err
	}
	t := &clientTransfer{}
	if t.room, err = session.Join(ctx, "bench", client.JoinOptions{Create: true}); err != nil || !j.Sends {
		return t, err
	}
	t.peer, err = t.room.WaitPeer(ctx, func(*client.Peer) bool { return true })
	return t, err
}

func (t *clientTransfer) open(ctx context.Context) (stream, error) { return t.peer.Open(ctx, "bench") }

func (t *clientTransfer) accept(ctx context.Context) (stream, error) { return t.room.Accept(ctx) }
