package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"github.com/pion/stun/v3"

	"turnpike/auth"
	"turnpike/internal/turnload"
)

const (
	benchWarmup     = 500 * time.Millisecond
	benchSeconds    = 10
	benchMaxSeconds = 2 // of each trial of --max
)

// benchOptions are the flags of bench, checked.
type benchOptions struct {
	uri     *stun.URI
	cfg     turnload.Config
	rate    float64
	seconds float64
	max     bool
	asJSON  bool
}

func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "signal" {
		return p.benchSignal(ctx, args[1:])
	}
	o, err := p.benchOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil {
		return &usageError{"bench", err}
	}
	if o.cfg.Server, err = lookUp(ctx, o.uri); err != nil {
		return err
	}
	g, err := turnload.Open(ctx, o.cfg)
	if err != nil {
		return benchProblem(o, err)
	}
	defer g.Close()
	report := benchReport{options: o, setup: g.Setup()}
	bar := p.progress()
	load := turnload.Load{
		Rate: o.rate, Duration: time.Duration(o.seconds * float64(time.Second)), Warmup: benchWarmup,
		Progress: func(fraction float64) { bar.show(fraction, "") },
	}
	switch {
	case o.cfg.Hold:
	case o.max:
		var last *turnload.Result
		load.Progress = func(fraction float64) { bar.show(fraction, trialLine(last)) }
		report.maximum, err = g.Max(ctx, load, func(r *turnload.Result) { last = r })
		report.result = report.maximum.Result
	default:
		report.result, err = g.Run(ctx, load)
	}
	bar.clear()
	if err != nil {
		return benchProblem(o, err)
	}
	if report.result == nil && !o.cfg.Hold {
		return fmt.Errorf("every rate loses more than %v %%, down to a thousandth of what was asked for", turnload.MaxLoss*100)
	}
	if o.asJSON {
		return report.writeJSON(p.stdout)
	}
	return report.writeText(p.stdout)
}

// benchOptions reads and checks the arguments.
func (p *program) benchOptions(args []string) (*benchOptions, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	o := new(benchOptions)
	secret := fs.String("secret", p.getenv("TURNPIKE_BENCH_SECRET"), "")
	user := fs.String("user", "", "")
	password := fs.String("password", p.getenv("TURNPIKE_BENCH_PASSWORD"), "")
	profile := fs.String("profile", "video", "")
	direction := fs.String("direction", "up", "")
	peer := fs.String("peer", "", "")
	fs.IntVar(&o.cfg.Calls, "calls", 50, "")
	fs.IntVar(&o.cfg.Workers, "workers", min(4, max(1, runtime.NumCPU()/2)), "")
	fs.IntVar(&o.cfg.PID, "pid", 0, "")
	fs.BoolVar(&o.cfg.Indications, "indications", false, "")
	fs.BoolVar(&o.cfg.Relayed, "relayed", false, "")
	fs.Float64Var(&o.seconds, "seconds", -1, "")
	fs.Float64Var(&o.rate, "rate", 0, "")
	fs.BoolVar(&o.max, "max", false, "")
	fs.BoolVar(&o.asJSON, "json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, errors.New("which server? Write it like turn:turn.example.org:3478; or \"bench signal\" and a URL")
	}
	if o.uri, err = benchURI(rest[0]); err != nil {
		return nil, err
	}
	if o.cfg.Profile, err = turnload.ProfileByName(*profile); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if o.cfg.Direction, err = turnload.ParseDirection(*direction); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if *peer != "" {
		if o.cfg.Peer, err = netip.ParseAddr(*peer); err != nil {
			return nil, fmt.Errorf("--peer %q is not an address of this machine", *peer)
		}
	}
	if o.cfg.Credential, err = benchCredential(*secret, *user, *password); err != nil {
		return nil, err
	}
	o.cfg.Settle = benchSettle
	return o, o.check()
}

// check refuses what makes no load, and fills in the time that --seconds does not say.
func (o *benchOptions) check() error {
	if o.seconds < 0 {
		if o.seconds != -1 {
			return fmt.Errorf("--seconds %v is negative", o.seconds)
		}
		o.seconds = benchSeconds
		if o.max {
			o.seconds = benchMaxSeconds
		}
	}
	o.cfg.Hold = o.seconds == 0
	switch {
	case o.cfg.Calls < 1:
		return fmt.Errorf("--calls %d is too few", o.cfg.Calls)
	case o.cfg.Workers < 1:
		return fmt.Errorf("--workers %d is too few", o.cfg.Workers)
	case o.rate < 0:
		return fmt.Errorf("--rate %v is negative", o.rate)
	case o.cfg.Hold && (o.max || o.cfg.Relayed):
		return errors.New("--seconds 0 only holds allocations, which goes neither with --max nor with --relayed")
	case o.cfg.Relayed && o.cfg.Peer.IsValid():
		return errors.New("--relayed has no peers, so --peer is of no use")
	}
	return nil
}

// benchCredential is the login of each call.
func benchCredential(secret, user, password string) (func(call int) turnload.Login, error) {
	switch {
	case secret != "" && user != "":
		return nil, errors.New("--secret and --user exclude each other")
	case secret != "":
		return turnload.RESTLogin(auth.NewSecret([]byte(secret)), time.Now()), nil
	case user != "" && password != "":
		return func(int) turnload.Login { return turnload.Login{Username: user, Password: password} }, nil
	}
	return nil, errors.New("the server wants a credential: --secret with one of its turn.shared_secrets (coturn: static-auth-secret), or --user and --password")
}

// benchURI reads turn:HOST:PORT, over UDP.
func benchURI(s string) (*stun.URI, error) {
	uri, err := stun.ParseURI(s)
	if err != nil || uri.Scheme != stun.SchemeTypeTURN {
		return nil, fmt.Errorf("%q is not a TURN server; write it like turn:turn.example.org:3478", s)
	}
	if uri.Proto != stun.ProtoTypeUDP {
		return nil, fmt.Errorf("%q is over %v; bench knows UDP only", s, uri.Proto)
	}
	return uri, nil
}

func lookUp(ctx context.Context, uri *stun.URI) (netip.AddrPort, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", uri.Host)
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the name %s has no address", strconv.Quote(uri.Host))
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(uri.Port)), nil
}

// benchProblem says what an error means for the user, and what to do.
func benchProblem(o *benchOptions, err error) error {
	if errors.Is(err, context.Canceled) {
		return errReported
	}
	refused, ok := errors.AsType[*turnload.RefusedError](err)
	if !ok {
		return fmt.Errorf("%v: %w", o.cfg.Server, err)
	}
	var hint string
	switch refused.Code {
	case 401:
		hint = "; is the secret, or the password, the server's?"
	case 403:
		hint = "; its policy forbids the peers, which are addresses of this machine. Allow them for the test (turnpike: turn.allow_peers), name others with --peer, or use --relayed"
	case 486:
		hint = "; its quota of allocations for a user is too low (turnpike: limits.allocations_per_user); with --secret each call is a user"
	case 508:
		hint = "; all its relays are taken: wait until old allocations expire, or widen its range of ports"
	}
	return fmt.Errorf("%v: %w%s", o.cfg.Server, refused, hint)
}
