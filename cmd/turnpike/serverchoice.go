package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/machine"
	"example.org/turnpike/signal/wire"
)

// serverFlags say which server a command of a peer's machine talks to, and how it gets in there. Such a command knows no
// configuration of a server.
//
//	--server URL          or TURNPIKE_SERVER, or the link of --invite-file, or the server that was used last
//	--ticket-file FILE    or TURNPIKE_TICKET; "-" is standard input
//	--invite-file FILE    or TURNPIKE_INVITE; "-" is standard input
//
// Without a ticket and an invite, a machine that has joined the server signs in by itself.
//
// A ticket or an invite never stands among the arguments, where others on this machine can see it.
type serverFlags struct {
	server         string
	ticket, invite tokenFlag
}

// helpServer is the part of these flags in the help of a command.
const helpServer = `  --server URL         the server ($TURNPIKE_SERVER, or the one that was used last)
  --invite-file FILE   get in with the invite in this file, "-" is standard input ($TURNPIKE_INVITE)
  --ticket-file FILE   get in with the ticket in this file, "-" is standard input ($TURNPIKE_TICKET)
`

func (f *serverFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.server, "server", "", "")
	f.ticket.registerFile(fs, "ticket", "TURNPIKE_TICKET")
	f.invite.registerFile(fs, "invite", "TURNPIKE_INVITE")
}

// access is a server, and how to get in there: with the ticket, else with the invite, else as this machine, else as a guest.
type access struct {
	base           string // scheme://host[:port]
	room           string // that the link of the invite leads to, empty if it is not a link
	ticket, invite string // invite is the token, without the link around it

	machine *machine.Machine // nil: this machine has not joined the server, or a ticket or an invite is there
}

// choose returns the server and what lets this machine in. arg is the server's URL if the command takes one as an argument, else
// empty. Its errors are usage errors of the command.
func (f *serverFlags) choose(p *program, command, arg string) (access, error) {
	a, err := f.chosen(p, arg)
	if err != nil {
		return access{}, &usageError{command, err}
	}
	return a, nil
}

func (f *serverFlags) chosen(p *program, arg string) (a access, err error) {
	if f.ticket.given() && f.invite.given() {
		return access{}, errors.New("--ticket-file and --invite-file exclude each other")
	}
	byVariable := !f.ticket.given() && !f.invite.given()
	ticket, err := f.ticket.read(p, byVariable)
	if err != nil {
		return access{}, err
	}
	link, err := f.invite.read(p, byVariable && ticket == "")
	if err != nil {
		return access{}, err
	}
	if a, err = f.serverOf(p, link, arg); err != nil {
		return access{}, err
	}
	a.ticket = ticket
	return a, a.loadMachine(p)
}

// loadMachine finds this machine's key, unless something else lets this side in.
func (a *access) loadMachine(p *program) error {
	if a.ticket != "" || a.invite != "" {
		return nil
	}
	dir, err := p.userConfigDir()
	if err != nil {
		return nil // without a folder nobody has joined
	}
	a.machine, err = machine.Load(dir, a.base)
	switch {
	case errors.Is(err, machine.ErrNotJoined):
		return nil
	case err != nil:
		return err
	}
	a.machine.Now = p.now
	return nil
}

// machineRoom is the room of this machine, if it signs in as one.
func (a *access) machineRoom() string {
	if a.machine == nil {
		return ""
	}
	return a.machine.Room
}

// dial signs in as c says, beside the server and what lets this side in.
func (a *access) dial(ctx context.Context, name string, c client.Config) (*client.Session, error) {
	c.URL, c.Ticket, c.Invite = a.base, a.ticket, a.invite
	if a.machine == nil {
		return dialAs(ctx, name, c)
	}
	c.GetTicket = a.machine.GetTicket
	session, err := client.Dial(ctx, c)
	if client.CodeOf(err) == string(wire.CodeUnauthorized) {
		return nil, a.machineRefused(ctx)
	}
	return session, err
}

// machineRefused says why a server takes this machine's tickets no more. The server itself tells nobody.
func (a *access) machineRefused(ctx context.Context) error {
	off, err := a.machine.ClockOff(ctx)
	if off.Abs() > 10*time.Minute {
		off = off.Round(time.Minute)
	}
	switch {
	case err == nil && off > 0:
		return fmt.Errorf("%s does not let %s in: this machine's clock is %v behind the server's; set it, and try again", a.base, a.machine.Name, off)
	case err == nil && off < 0:
		return fmt.Errorf("%s does not let %s in: this machine's clock is %v ahead of the server's; set it, and try again", a.base, a.machine.Name, -off)
	}
	return fmt.Errorf("%s does not let %s in any more: it was revoked there; ask for an invite, and run: turnpike join --server %s", a.base, a.machine.Name, a.base)
}

// serverOf returns the server: that of the link of an invite, which may be empty, of the argument, the flag or the variable, or the one that
// was used last.
func (f *serverFlags) serverOf(p *program, link, arg string) (a access, err error) {
	if a.invite = auth.InviteToken(link); link != "" && (a.invite == "" || strings.Contains(a.invite, "://")) {
		return access{}, errors.New("the invite is a link without an invite in it; copy the whole link, with what follows its \"#\"")
	}
	if arg != "" && f.server != "" {
		return access{}, fmt.Errorf("%q and --server name two servers; give one of them", arg)
	}
	from := ""
	for _, source := range []struct{ from, url string }{{"the argument", arg}, {"--server", f.server}, {"TURNPIKE_SERVER", p.getenv("TURNPIKE_SERVER")}} {
		if source.url == "" {
			continue
		}
		if strings.Contains(source.url, "#invite=") {
			return access{}, fmt.Errorf("the URL of %s has an invite in it, and others on this machine can see arguments; "+
				"put the link into a file for --invite-file, or into TURNPIKE_INVITE: it names the server, too", source.from)
		}
		if a.base, err = serverURL(source.url); err != nil {
			return access{}, err
		}
		from = source.from
		break
	}
	if err := a.match(link, from); err != nil {
		return access{}, err
	}
	if a.base == "" {
		a.base, err = p.lastServer()
	}
	return a, err
}

// match takes the server of the link if nothing else has named one. An invite never goes to a server that it does not lead to.
func (a *access) match(link, from string) error {
	if !strings.Contains(link, "://") {
		return nil
	}
	base, err := serverURL(link)
	if err == nil {
		a.room, err = roomOfLink(link)
	}
	switch {
	case err != nil:
		return errors.New("the invite is a link, and leads to no server; copy the whole link, which begins with https://")
	case a.base == "":
		a.base = base
	case !strings.EqualFold(a.base, base):
		return fmt.Errorf("the invite leads to %s, and %s names %s; give one of them", base, from, a.base)
	}
	return nil
}

// roomOfLink returns the room of a link such as https://turn.example.org/r/standup#invite=eyJ...
func roomOfLink(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	room, ok := strings.CutPrefix(u.Path, "/r/")
	if !ok {
		return "", nil
	}
	return strings.Trim(room, "/"), nil
}
