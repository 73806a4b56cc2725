package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/machine"
)

// join makes this machine one of a server's: from then on it signs in by itself.
func (p *program) join(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("join", flag.ContinueOnError)
	var server serverFlags
	fs.StringVar(&server.server, "server", "", "")
	server.invite.registerFile(fs, "invite", "TURNPIKE_INVITE")
	name := fs.String("name", "", "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return &usageError{"join", errors.New("this command takes no argument: others on this machine can see arguments; give the invite at the prompt, or by --invite-file")}
	}
	if *name != "" && !auth.IsMachineName(*name) {
		return &usageError{"join", fmt.Errorf(`--name %q is no name for a machine; use 1 to %d of a-z, 0-9 and "-", with no "-" at either end`, *name, auth.MaxNameRunes)}
	}
	dir, err := p.userConfigDir()
	if err != nil {
		return err
	}
	link, err := p.invitation(&server.invite)
	if err != nil {
		return err
	}
	a, err := server.serverOf(p, link, "")
	if err != nil {
		return &usageError{"join", err}
	}
	former, err := machine.Load(dir, a.base)
	if err != nil && !errors.Is(err, machine.ErrNotJoined) {
		fmt.Fprintf(p.stderr, "turnpike: note: %s\n", harmless(err.Error())) // joining anew mends it
	}
	order := machine.Order{Dir: dir, Server: a.base, Invite: a.invite, Name: *name, Now: p.now}
	if order.Name == "" && former != nil {
		order.Name = former.Name
	}
	if order.Name = cmp.Or(order.Name, hostMachineName()); order.Name == "" {
		return &usageError{"join", errors.New("this machine's host name makes no name for it; pass --name NAME")}
	}
	m, err := machine.Join(ctx, order)
	if err != nil {
		return joinProblem(&order, err)
	}
	p.remember(a.base)
	_, err = fmt.Fprintf(p.stdout, "this machine is %s at %s: a %s, in the room %s\nits key is %s\n", m.Name, m.Server, harmless(string(m.Role)), harmless(m.Room), auth.EncodeMachineKey(m.Key()))
	return err
}

// invitation reads the invite from the flag or the variable, else from a prompt, else from standard input.
func (p *program) invitation(from *tokenFlag) (string, error) {
	if link, err := from.read(p, true); link != "" || err != nil {
		return link, err
	}
	f, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return p.readToken("invite")
	}
	fmt.Fprint(p.stderr, "Invite (the link that turnpike invite has printed): ")
	line, err := bufio.NewReader(io.LimitReader(f, maxToken)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", cmp.Or(err, errors.New("there is no invite; ask the server's operator for one"))
	}
	return line, nil
}

// joinProblem says what to do, beside what the server says.
func joinProblem(order *machine.Order, err error) error {
	e, ok := errors.AsType[*machine.ServerError](err)
	if !ok {
		return err
	}
	switch e.Code {
	case "name-taken":
		return fmt.Errorf("%s: %s If that is this very machine, which has joined before, run on the server: turnpike machines --revoke %s; else pass --name", order.Name, e.Message, order.Name)
	case "not-found", "method-not-allowed":
		return fmt.Errorf("%s is a turnpike server of a version that takes no machines", order.Server)
	}
	return e
}

// hostMachineName makes a name for a machine of its host name, empty if that has nothing for one.
func hostMachineName() string {
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return machineName(host)
}

func machineName(host string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	name = strings.Trim(name, "-")
	return strings.Trim(name[:min(len(name), auth.MaxNameRunes)], "-")
}

// userConfigDir is the folder of the user's configuration, with an error for people.
func (p *program) userConfigDir() (string, error) {
	if p.configDir == nil {
		return "", errors.New("there is no folder for the configuration of users here")
	}
	dir, err := p.configDir()
	if err != nil {
		return "", fmt.Errorf("where is the folder for the configuration of users? %w; set HOME or XDG_CONFIG_HOME", err)
	}
	return dir, nil
}
