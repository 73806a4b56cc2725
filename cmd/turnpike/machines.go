package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"text/tabwriter"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/machine"
	"example.org/turnpike/internal/node"
)

// machines lists and revokes the machines of the server on this machine, or shows and drops the keys that this user knows of others.
func (p *program) machines(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("machines", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	var server serverFlags
	fs.StringVar(&server.server, "server", "", "")
	revoke, forget := fs.String("revoke", "", ""), fs.String("forget", "", "")
	known, asJSON := fs.Bool("known", false, ""), fs.Bool("json", false, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	revoking, forgetting := setBeside(fs, "revoke") != "", setBeside(fs, "forget") != ""
	switch {
	case revoking && forgetting, revoking && *known, forgetting && *known:
		return &usageError{"machines", errors.New("--revoke, --forget and --known are three commands; give one of them")}
	case server.server != "" && !forgetting && !*known:
		return &usageError{"machines", errors.New("--server belongs to --forget and --known; a server's own machines are listed on the server's machine")}
	case revoking && !auth.IsMachineName(*revoke):
		return &usageError{"machines", fmt.Errorf(`--revoke %q is no machine; give it a name of "turnpike machines"`, *revoke)}
	case forgetting && !auth.IsMachineName(*forget):
		return &usageError{"machines", fmt.Errorf(`--forget %q is no machine; give it a name of "turnpike machines --known"`, *forget)}
	case forgetting || *known:
		return p.knownMachines(&server, *forget, *asJSON)
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if err := needState(cfg); err != nil {
		return err
	}
	if revoking {
		return p.revokeMachine(ctx, cfg, *revoke)
	}
	return p.listMachines(ctx, cfg, *asJSON)
}

// listMachines asks the running server, which knows who is here, else the file.
func (p *program) listMachines(ctx context.Context, cfg *config.Config, asJSON bool) error {
	list, err := node.NewAdminClient(cfg).Machines(ctx)
	if errors.Is(err, node.ErrNoServer) {
		list, err = node.ReadMachines(cfg, p.logger())
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tROLE\tROOM\tSESSIONS\tJOINED\tINVITE\tKEY")
	for _, m := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", m.Name, m.Role, m.Room, m.Sessions, m.Joined.Format(time.RFC3339), m.Invite, m.Key)
	}
	return w.Flush()
}

func (p *program) revokeMachine(ctx context.Context, cfg *config.Config, name string) error {
	sessions, err := node.NewAdminClient(cfg).RevokeMachine(ctx, name)
	if errors.Is(err, node.ErrNoServer) {
		if err = node.RevokeMachine(cfg, name, p.logger()); err == nil {
			fmt.Fprintf(p.stderr, "turnpike: note: no server answers at %s; this holds from its next start on\n", cfg.AdminSocket())
		}
	}
	if errors.Is(err, auth.ErrNoMachine) {
		return fmt.Errorf("no machine %s has joined; \"turnpike machines\" lists those that have", name)
	}
	if err != nil {
		return err
	}
	what := "sessions"
	if sessions == 1 {
		what = "session"
	}
	return writeLine(p.stdout, fmt.Sprintf("%s is revoked: %d %s ended; its name is free, and machines that know its key take no other under that name", name, sessions, what))
}

// knownMachines drops the key that this user knows of a machine, or lists all.
func (p *program) knownMachines(server *serverFlags, forget string, asJSON bool) error {
	a, err := server.serverOf(p, "", "")
	if err != nil {
		return &usageError{"machines", err}
	}
	dir, err := p.userConfigDir()
	if err != nil {
		return err
	}
	known := machine.OpenKnown(dir, a.base)
	if forget != "" {
		was, err := known.Forget(forget)
		switch {
		case err != nil:
			return err
		case !was:
			return fmt.Errorf("no key of %s is known here, as a machine of %s", forget, a.base)
		}
		return writeLine(p.stdout, fmt.Sprintf("the key of %s is forgotten: %s vouches for the one that it has next time", forget, a.base))
	}
	pins, err := known.List()
	if err != nil {
		return err
	}
	if asJSON {
		list := []map[string]any{}
		for _, pin := range pins {
			list = append(list, map[string]any{"name": pin.Name, "key": auth.EncodeMachineKey(pin.Key), "since": pin.Since})
		}
		return json.NewEncoder(p.stdout).Encode(list)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tKNOWN SINCE\tKEY")
	for _, pin := range pins {
		fmt.Fprintf(w, "%s\t%s\t%s\n", pin.Name, pin.Since.Format(time.RFC3339), auth.EncodeMachineKey(pin.Key))
	}
	return w.Flush()
}

// logger logs for a command what is not its own outcome.
func (p *program) logger() *slog.Logger { return slog.New(slog.NewTextHandler(p.stderr, nil)) }
