package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
)

// signingSecret loads the secret of a server on this machine. If there is none yet, it makes one, as the server would,
// and says so: an invite is void unless the server's own secret signed it.
func (p *program) signingSecret(cfg *config.Config) (auth.Secret, error) {
	_, err := os.Stat(cfg.SecretFile())
	made := errors.Is(err, fs.ErrNotExist)
	secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
	if err != nil {
		return auth.Secret{}, cfg.Errorf("state_dir", "%w", err)
	}
	if made {
		fmt.Fprintf(p.stderr, "turnpike: note: made a new secret in %s; if your server keeps its state elsewhere, pass its --config or --state\n", cfg.StateDir)
	}
	return secret, nil
}

// ticketMaker returns a function that makes a ticket for a name with the secret in the state directory. It returns nil
// if it cannot read a secret there, and never makes one.
func ticketMaker(cfg *config.Config) func(name string) (string, error) {
	if f, err := os.Open(cfg.SecretFile()); err != nil {
		return nil
	} else if f.Close() != nil {
		return nil
	}
	return func(name string) (string, error) {
		secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
		if err != nil {
			return "", err
		}
		ticket := auth.Ticket{Name: name, Rooms: []string{"*"}, Role: auth.RoleMember}
		token, _, err := auth.NewTickets(secret, time.Now, rand.Reader).Issue(ticket, cfg.Auth.TicketTTL)
		return token, err
	}
}
