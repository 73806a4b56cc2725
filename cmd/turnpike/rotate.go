package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

// leastKeep is how long a former secret verifies at least: the server that runs goes on signing with it for a moment, and
// apps keep tickets and credentials for a while.
const leastKeep = 24 * time.Hour

// secret is `turnpike secret rotate`.
func (p *program) secret(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("secret", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	keep := fs.Duration("keep", -1, "")
	rest, err := parseFlags(fs, args, 1)
	switch {
	case err != nil:
		return err
	case len(rest) == 0 || rest[0] != "rotate":
		return &usageError{"secret", errors.New("say what to do with it: turnpike secret rotate")}
	case setBeside(fs, "keep") != "" && *keep < 0:
		return &usageError{"secret", fmt.Errorf("--keep %v is negative; write it like 24h, or 0s to void what was signed", *keep)}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if err := needState(cfg); err != nil {
		return err
	}
	now := time.Now()
	until := now.Add(*keep)
	if *keep < 0 {
		if until, err = p.lastSigned(cfg, now); err != nil {
			return cfg.Errorf("state_dir", "%w", err)
		}
	}
	if err := auth.RotateSecret(cfg.SecretFile(), until, now, rand.Reader); err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "made a new secret in %s\n", cfg.StateDir)
	if now.Before(until) {
		fmt.Fprintf(&b, "the former one verifies what it has signed until %s\n", until.UTC().Format(time.RFC3339))
	} else {
		b.WriteString("every invite, ticket and credential that was signed before is void\n")
	}
	b.WriteString("a running server takes it up within a second")
	return writeLine(p.stdout, b.String())
}

// lastSigned returns when everything that the secret has signed has expired, as far as the state and the configuration
// tell.
func (p *program) lastSigned(cfg *config.Config, now time.Time) (time.Time, error) {
	ledger, err := auth.ReadLedger(cfg.LedgerFile(), time.Now, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err != nil {
		return time.Time{}, err
	}
	last := now.Add(max(leastKeep, auth.ResumeTTL, cfg.Auth.TicketTTL, cfg.Auth.CredentialTTL))
	for _, inv := range ledger.List() {
		if inv.Expires.After(last) {
			last = inv.Expires
		}
	}
	return last, nil
}
