package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
	"example.org/turnpike/signal/wire"
)

// kick throws a user out of the server that runs on this machine, or keeps the user out of its next run.
func (p *program) kick(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("kick", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	user := fs.String("user", "", "")
	room := fs.String("room", "", "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	who := auth.Kick{User: *user, Room: strings.ToLower(*room)}
	switch {
	case who.User == "":
		return &usageError{"kick", errors.New(`--user is missing; name a user of "turnpike users", like --user app:u1`)}
	case setBeside(fs, "room") != "" && !wire.ValidRoom(who.Room):
		return &usageError{"kick", fmt.Errorf("--room %q is not a room; use 1 to 64 of a-z, 0-9 and \"-\", with no \"-\" at either end", *room)}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if err := needState(cfg); err != nil {
		return err
	}
	client := node.NewAdminClient(cfg)
	if !auth.IsUser(who.User) {
		return &usageError{"kick", fmt.Errorf(`--user %q is no user; a user is an issuer, a colon and a subject, like app:u1%s`, who.User, suggestUser(ctx, client, who.User))}
	}
	sessions, err := client.Kick(ctx, who)
	if errors.Is(err, node.ErrNoServer) {
		return p.kickFromNextRun(cfg, who)
	}
	if err != nil {
		return err
	}
	where := ""
	if who.Room != "" {
		where = " of " + who.Room
	}
	if sessions == 0 {
		fmt.Fprintf(p.stderr, "turnpike: note: no session of %s was there%s\n", who.User, suggestUser(ctx, client, who.User))
	}
	return writeLine(p.stdout, fmt.Sprintf("%s is out%s: %s", who.User, where, countSessions(sessions, who.Room != "")))
}

func countSessions(n int, inRoom bool) string {
	what, did := "sessions", "ended"
	if n == 1 {
		what = "session"
	}
	if inRoom {
		did = "left"
	}
	return fmt.Sprintf("%d %s %s; a new ticket lets the user in again", n, what, did)
}

// kickFromNextRun writes the kick where the next run of the server finds it.
func (p *program) kickFromNextRun(cfg *config.Config, who auth.Kick) error {
	ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, slog.New(slog.NewTextHandler(p.stderr, nil)))
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	defer ledger.Close()
	if err := ledger.Kick(who); err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	fmt.Fprintf(p.stderr, "turnpike: note: no server answers at %s; this holds from its next start on\n", cfg.AdminSocket())
	return writeLine(p.stdout, who.User+" is out; a new ticket lets the user in again")
}

// suggestUser returns ", did you mean ...?" for a user who is online and has the name or subject that was given, or nearly
// that identifier.
func suggestUser(ctx context.Context, client *node.AdminClient, given string) string {
	users, err := client.Users(ctx)
	if err != nil {
		return ""
	}
	var ids []string
	for _, u := range users {
		if u.User == given {
			return ""
		}
		if _, subject, _ := strings.Cut(u.User, ":"); subject == given || strings.EqualFold(u.Name, given) {
			return fmt.Sprintf("; did you mean %s (%s)?", u.User, u.Name)
		}
		ids = append(ids, u.User)
	}
	if near := config.Nearest(given, ":", ids); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}
