package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/internal/node"
	"turnpike/internal/signalload"
)

const (
	benchSettle   = 10 * time.Second // before memory is read: the server is to be at rest
	benchTicketID = 6                // characters that tell the rooms and names of one bench from another's
)

// signalOptions are the flags of bench signal, checked.
type signalOptions struct {
	server  *url.URL
	cfg     signalload.Config
	rate    float64
	seconds float64
	max     bool
	asJSON  bool
}

func (p *program) benchSignal(ctx context.Context, args []string) error {
	o, err := p.signalOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return p.help(ctx, []string{"bench", "signal"})
	}
	if err != nil {
		return &usageError{"bench signal", err}
	}
	if o.cfg.Server, err = resolve(ctx, o.server); err != nil {
		return err
	}
	g, err := signalload.Open(ctx, o.cfg)
	if err != nil {
		return signalProblem(o, err)
	}
	defer g.Close()
	report := signalReport{options: o, setup: g.Setup()}
	bar := p.progress()
	load := signalload.Load{
		Rate: o.rate, Duration: time.Duration(o.seconds * float64(time.Second)), Warmup: benchWarmup,
		Progress: func(fraction float64) { bar.show(fraction, "") },
	}
	switch {
	case o.seconds == 0:
	case o.max:
		var last *signalload.Result
		load.Progress = func(fraction float64) { bar.show(fraction, signalTrialLine(last)) }
		report.maximum, err = g.Max(ctx, load, func(r *signalload.Result) { last = r })
		report.result = report.maximum.Result
	default:
		report.result, err = g.Run(ctx, load)
	}
	bar.clear()
	if err != nil {
		return signalProblem(o, err)
	}
	if report.result == nil && o.seconds != 0 {
		return fmt.Errorf("at every rate, down to a thousandth of what was asked for, messages take longer than %v", signalload.MaxP99)
	}
	if o.asJSON {
		return report.writeJSON(p.stdout)
	}
	return report.writeText(p.stdout)
}

// signalOptions reads and checks the arguments.
func (p *program) signalOptions(args []string) (*signalOptions, error) {
	fs := flag.NewFlagSet("bench signal", flag.ContinueOnError)
	o := new(signalOptions)
	var flags config.Flags
	flags.Register(fs)
	ticket := fs.String("ticket", p.getenv("TURNPIKE_BENCH_TICKET"), "")
	fs.IntVar(&o.cfg.Sessions, "sessions", 1000, "")
	fs.IntVar(&o.cfg.Size, "size", 1024, "")
	fs.IntVar(&o.cfg.Workers, "workers", 1, "")
	fs.IntVar(&o.cfg.PID, "pid", 0, "")
	fs.Float64Var(&o.seconds, "seconds", -1, "")
	fs.Float64Var(&o.rate, "rate", 2000, "")
	fs.BoolVar(&o.max, "max", false, "")
	fs.BoolVar(&o.asJSON, "json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, errors.New("which server? Write it like https://turn.example.org")
	}
	base, err := serverURL(rest[0])
	if err != nil {
		return nil, err
	}
	if o.server, err = url.Parse(base); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.cfg.Host, o.cfg.Settle = o.server.Host, benchSettle
	if o.server.Scheme == "https" {
		o.cfg.TLS = &tls.Config{ServerName: o.server.Hostname(), NextProtos: []string{"http/1.1"}}
	}
	cfg, err := flags.Load(p.getenv, node.CheckIssuer)
	if err != nil {
		return nil, err
	}
	o.cfg.Dialect, err = benchDialect(cfg, *ticket)
	return o, err
}

// check refuses what makes no load, and fills in the time that --seconds does not say.
func (o *signalOptions) check() error {
	if o.seconds == -1 {
		o.seconds = benchSeconds
		if o.max {
			o.seconds = benchMaxSeconds
		}
	}
	switch {
	case o.seconds < 0:
		return fmt.Errorf("--seconds %v is negative", o.seconds)
	case o.seconds == 0 && o.max:
		return errors.New("--seconds 0 only logs in, which does not go with --max")
	case o.cfg.Sessions < 2 || o.cfg.Sessions%2 != 0:
		return fmt.Errorf("--sessions %d is no number of pairs", o.cfg.Sessions)
	case o.cfg.Size < signalload.MinSize || o.cfg.Size > signalload.MaxSize:
		return fmt.Errorf("--size %d is not between %d and %d", o.cfg.Size, signalload.MinSize, signalload.MaxSize)
	case o.cfg.Workers < 1:
		return fmt.Errorf("--workers %d is too few", o.cfg.Workers)
	case o.rate <= 0:
		return fmt.Errorf("--rate %v is too low", o.rate)
	}
	return nil
}

// benchDialect makes what the sessions say: all with one ticket, or each with one that is signed here.
func benchDialect(cfg *config.Config, ticket string) (signalload.Dialect, error) {
	run := auth.NewID(rand.Reader, benchTicketID)
	if ticket != "" {
		one := func(int) (string, error) { return ticket, nil }
		return signalload.Turnpike{Run: run, Name: "bench " + run, Ticket: one}, nil
	}
	if ticketMaker(cfg) == nil {
		return nil, errors.New("tickets are needed: run this on the server's machine with its --config or --state, or pass --ticket")
	}
	secret, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tickets := auth.NewTickets(secret, time.Now, rand.Reader)
	return signalload.Turnpike{Run: run, Ticket: func(session int) (string, error) {
		name := fmt.Sprintf("bench %s %d", run, session)
		token, _, err := tickets.Issue(auth.Ticket{Name: name, Rooms: []string{"*"}, Role: auth.RoleGuest}, cfg.Auth.TicketTTL)
		return token, err
	}}, nil
}

// resolve finds the address of a URL's host.
func resolve(ctx context.Context, u *url.URL) (netip.AddrPort, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the name %q has no address", u.Hostname())
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(n)), nil
}

// signalProblem says what an error means for the user, and what to do.
func signalProblem(o *signalOptions, err error) error {
	if errors.Is(err, context.Canceled) {
		return errReported
	}
	refused, ok := errors.AsType[*signalload.RefusedError](err)
	if !ok {
		return fmt.Errorf("%s: %w", o.server, err)
	}
	hint := ""
	switch {
	case refused.Status == http.StatusTooManyRequests:
		hint = "; all of the load comes from one address: raise limits.sessions_per_address and limits.connections_per_address"
	case refused.Status == http.StatusServiceUnavailable:
		hint = "; it is going away, or limits.sessions is too low"
	case refused.Status != 0:
		hint = "; is it a turnpike, and does the reverse proxy hand on Upgrade and Connection?"
	case refused.Code == "unauthorized":
		hint = "; was the ticket made with this server's secret, and is it still valid?"
	case refused.Code == "rate-limited":
		hint = "; at log-in, raise limits.hellos_per_second_per_address and limits.joins_per_minute_per_address; " +
			"after it a session sends more than it may: raise limits.messages_per_second, or take more --sessions"
	}
	if strings.HasSuffix(refused.Code, " slow") {
		hint = "; messages waited for a session until its queue was full: take a lower --rate, or more --sessions"
	}
	return fmt.Errorf("%s: %w%s", o.server, refused, hint)
}
