package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
)

// needState complains if there is no secret in the state directory. Only the server and setup make one: what another secret
// signs is void, and a command that makes one has looked at a state that is not the server's.
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

// signingSecret loads the secret of the server on this machine.
func signingSecret(cfg *config.Config) (auth.Secret, error) {
	if err := needState(cfg); err != nil {
		return auth.Secret{}, err
	}
	secret, err := auth.LoadSecret(cfg.SecretFile())
	if err != nil {
		return auth.Secret{}, cfg.Errorf("state_dir", "%w", err)
	}
	return secret, nil
}

// ticketMaker returns a function that makes a ticket for a name with the secret in the state directory. It returns nil
// if it cannot read a secret there.
func ticketMaker(cfg *config.Config) func(name string) (string, error) {
	if f, err := os.Open(cfg.SecretFile()); err != nil {
		return nil
	} else if f.Close() != nil {
		return nil
	}
	return func(name string) (string, error) {
		secret, err := auth.LoadSecret(cfg.SecretFile())
		if err != nil {
			return "", err
		}
		ticket := auth.Ticket{Name: name, Rooms: []string{"*"}, Role: auth.RoleMember}
		token, _, err := auth.NewTickets(secret, time.Now, rand.Reader).Issue(ticket, cfg.Auth.TicketTTL)
		return token, err
	}
}
