package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
	"example.org/turnpike/internal/signalload"
)

func (p *program) benchSignal(ctx context.Context, args []string) error {
	f, err := p.readSignalFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return p.help(ctx, []string{"bench", "signal"})
	}
	if err != nil {
		return &usageError{"bench signal", err}
	}
	port, err := portOf(f.url)
	if err != nil {
		return err
	}
	if f.Config.Server, err = lookUp(ctx, f.url.Hostname(), port); err != nil {
		return err
	}
	bar := p.progress()
	report, err := f.Bench(ctx, bar.show)
	bar.clear()
	if errors.Is(err, context.Canceled) {
		return errReported
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		return report.WriteJSON(p.stdout)
	}
	return report.WriteText(p.stdout)
}

// signalFlags are the command's own.
type signalFlags struct {
	signalload.Options
	url    *url.URL
	asJSON bool
}

// readSignalFlags reads and checks the arguments.
func (p *program) readSignalFlags(args []string) (*signalFlags, error) {
	fs := flag.NewFlagSet("bench signal", flag.ContinueOnError)
	f := new(signalFlags)
	var flags config.Flags
	flags.Register(fs)
	var ticketFlag tokenFlag
	ticketFlag.register(fs, "ticket", "TURNPIKE_BENCH_TICKET")
	fs.IntVar(&f.Config.Sessions, "sessions", 1000, "")
	fs.BoolVar(&f.Config.Members, "members", false, "")
	fs.IntVar(&f.Config.Size, "size", 1024, "")
	fs.IntVar(&f.Config.Workers, "workers", 1, "")
	fs.IntVar(&f.Config.PID, "pid", 0, "")
	fs.Float64Var(&f.Seconds, "seconds", signalload.UnsetSeconds, "")
	fs.Float64Var(&f.Rate, "rate", 2000, "")
	fs.BoolVar(&f.Max, "max", false, "")
	fs.BoolVar(&f.Return, "return", false, "")
	fs.BoolVar(&f.asJSON, "json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, errors.New("which server? Write it like https://turn.example.org")
	}
	if f.Server, err = serverURL(rest[0]); err != nil {
		return nil, err
	}
	if f.url, err = url.Parse(f.Server); err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	f.Config.Host = f.url.Host
	if f.url.Scheme == "https" {
		f.Config.TLS = &tls.Config{ServerName: f.url.Hostname(), NextProtos: []string{"http/1.1"}}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return nil, err
	}
	ticket, err := ticketFlag.read(p, true)
	if err != nil {
		return nil, err
	}
	if ticket != "" && f.Config.Members {
		return nil, errors.New("--members signs members' tickets, which does not go with --ticket; make that ticket a member's")
	}
	role := auth.RoleGuest
	if f.Config.Members {
		role = auth.RoleMember
	}
	f.Config.Dialect, err = signalDialect(cfg, ticket, role)
	return f, err
}

// benchIDLength is the length of the ID that tells the rooms and names of one bench from another's.
const benchIDLength = 6

// signalDialect gives all sessions one ticket, or signs one of that role for each.
func signalDialect(cfg *config.Config, ticket string, role auth.Role) (signalload.Dialect, error) {
	run := auth.NewID(rand.Reader, benchIDLength)
	if ticket != "" {
		one := func(int) (string, error) { return ticket, nil }
		return signalload.Turnpike{Run: run, Name: "bench " + run, Ticket: one}, nil
	}
	if ticketMaker(cfg) == nil {
		return nil, errors.New("tickets are needed: run this on the server's machine with its --config or --state, or pass --ticket")
	}
	secret, err := auth.LoadSecret(cfg.SecretFile())
	if err != nil {
		return nil, err
	}
	tickets := auth.NewTickets(secret, time.Now, rand.Reader)
	return signalload.Turnpike{Run: run, Ticket: func(session int) (string, error) {
		name := fmt.Sprintf("bench %s %d", run, session)
		token, _, err := tickets.Issue(auth.Ticket{Name: name, Rooms: []string{"*"}, Role: role}, cfg.Auth.TicketTTL)
		return token, err
	}}, nil
}

// portOf returns the port of a URL, or its scheme's.
func portOf(u *url.URL) (uint16, error) {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", port)
	}
	return uint16(n), nil
}
