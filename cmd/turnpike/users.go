package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

// users lists who is online at the server that runs on this machine.
func (p *program) users(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("users", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	asJSON := fs.Bool("json", false, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if err := needState(cfg); err != nil {
		return err
	}
	users, err := node.NewAdminClient(cfg).Users(ctx)
	if errors.Is(err, node.ErrNoServer) {
		return noServer(cfg)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(p.stdout).Encode(users)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tNAME\tROLE\tROOMS\tSINCE\tADDRESS\tRELAYS")
	for _, u := range users {
		for _, s := range u.Sessions {
			rooms, address := strings.Join(s.Rooms, ","), s.Address
			if rooms == "" {
				rooms = "-"
			}
			if s.Away {
				address += " (away)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", u.User, u.Name, s.Role, rooms, s.Since.Format(time.RFC3339), address, s.Relays)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeRelaysOfNoSession(p.stdout, users)
}

// writeRelaysOfNoSession adds the relays that the table has no place for.
func writeRelaysOfNoSession(w io.Writer, users []node.User) error {
	for _, u := range users {
		more := u.Relays
		for _, s := range u.Sessions {
			more -= s.Relays
		}
		if more > 0 {
			if _, err := fmt.Fprintf(w, "%s has %d more, by credentials that belong to no session\n", u.User, more); err != nil {
				return err
			}
		}
	}
	return nil
}

// noServer is what commands say that need a running server.
func noServer(cfg *config.Config) error {
	dir := cfg.StateDir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return cfg.Errorf("state_dir", "no server runs with the state in %s; start it, or pass the --config or --state that your server has", dir)
}
