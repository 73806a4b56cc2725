package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"turnpike/auth"
	"turnpike/internal/config"
)

// signingSecret loads the server's secret for a command beside it. Where there is none yet it makes it, as the server
// would, and says so: an invite that the server's own secret did not sign is void.
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

func parseRole(s string) (auth.Role, error) {
	switch role := auth.Role(s); role {
	case auth.RoleGuest, auth.RoleMember, auth.RoleModerator, auth.RoleAdmin:
		return role, nil
	}
	return "", fmt.Errorf("--role %q is none of guest, member, moderator and admin", s)
}

func writeLine(w io.Writer, s string) error {
	_, err := fmt.Fprintln(w, s)
	return err
}
