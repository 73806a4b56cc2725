package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
)

// needState complains if there is no secret in the state directory. A command that only reads or takes back must not make
// one: it would look at a state that is not the server's.
func needState(cfg *config.Config) error {
	if _, err := os.Stat(cfg.SecretFile()); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir := cfg.StateDir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return cfg.Errorf("state_dir", "%s has no server's state; pass the --config or --state that your server has (its first start makes the state)", dir)
}

// signingSecret loads the secret of a server on this machine. If there is none yet, it makes one, as the server would,
// and says so: an invite is void unless the server's own secret signed it. With existing it makes none.
func (p *program) signingSecret(cfg *config.Config, existing bool) (auth.Secret, error) {
	missing := needState(cfg)
	if existing && missing != nil {
		return auth.Secret{}, missing
	}
	secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
	if err != nil {
		return auth.Secret{}, cfg.Errorf("state_dir", "%w", err)
	}
	if missing != nil {
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
