package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

func (p *program) ticket(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("ticket", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	name := fs.String("name", "", "")
	user := fs.String("user", "", "")
	rooms := fs.String("rooms", "*", "")
	roleName := fs.String("role", string(auth.RoleMember), "")
	ttl := fs.Duration("ttl", 0, "")
	asJSON := fs.Bool("json", false, "")
	inspect := fs.Bool("inspect", false, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	if *inspect {
		if name := setBeside(fs, "name", "user", "rooms", "role", "ttl"); name != "" {
			return &usageError{"ticket", fmt.Errorf("--%s describes a ticket to make, and --inspect makes none", name)}
		}
	}
	role, err := parseRole(*roleName)
	if err != nil {
		return &usageError{"ticket", err}
	}
	shown := ""
	if *name != "" {
		if shown = auth.FitName(*name); shown == "" {
			return &usageError{"ticket", errors.New("--name: a name needs at least one visible character")}
		}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if *ttl == 0 {
		*ttl = cfg.Auth.TicketTTL
	}
	if *inspect {
		return p.inspectTicket(cfg, *asJSON)
	}
	secret, err := signingSecret(cfg)
	if err != nil {
		return err
	}
	want := auth.Ticket{User: auth.User{Subject: *user}, Name: shown, Rooms: roomPatterns(*rooms), Role: role}
	token, got, err := auth.NewTickets(secret, time.Now, rand.Reader).Issue(want, *ttl)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(p.stdout).Encode(map[string]any{"ticket": token, "user": got.User.String(), "name": got.Name, "role": got.Role, "rooms": got.Rooms, "expires": got.Expires})
	}
	return writeLine(p.stdout, token)
}

// setBeside returns one of the named flags that the caller gave, empty if none.
func setBeside(fs *flag.FlagSet, names ...string) (found string) {
	fs.Visit(func(f *flag.Flag) {
		if slices.Contains(names, f.Name) {
			found = f.Name
		}
	})
	return found
}

// roomPatterns reads the list of --rooms.
func roomPatterns(s string) []string {
	var out []string
	for pattern := range strings.SplitSeq(s, ",") {
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			out = append(out, pattern)
		}
	}
	return out
}

// parseRole reads --role.
func parseRole(s string) (auth.Role, error) {
	switch role := auth.Role(s); role {
	case auth.RoleGuest, auth.RoleMember, auth.RoleModerator, auth.RoleAdmin:
		return role, nil
	}
	return "", fmt.Errorf("--role %q is none of guest, member, moderator and admin", s)
}
