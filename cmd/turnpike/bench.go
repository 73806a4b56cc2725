package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/turnload"
)

func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "signal" {
		return p.benchSignal(ctx, args[1:])
	}
	f, err := p.readBenchFlags(args)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil {
		return &usageError{"bench", err}
	}
	if f.Config.Server, err = lookUp(ctx, f.uri.Host, uint16(f.uri.Port)); err != nil {
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

// benchFlags are the command's own.
type benchFlags struct {
	turnload.Options
	uri    *stun.URI
	asJSON bool
}

// readBenchFlags reads and checks the arguments.
func (p *program) readBenchFlags(args []string) (*benchFlags, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	f := new(benchFlags)
	cfg := &f.Config
	secret := fs.String("secret", p.getenv("TURNPIKE_BENCH_SECRET"), "")
	user := fs.String("user", "", "")
	password := fs.String("password", p.getenv("TURNPIKE_BENCH_PASSWORD"), "")
	profile := fs.String("profile", "video", "")
	direction := fs.String("direction", "up", "")
	peer := fs.String("peer", "", "")
	fs.IntVar(&cfg.Calls, "calls", 50, "")
	fs.IntVar(&cfg.Workers, "workers", min(4, max(1, runtime.NumCPU()/2)), "")
	fs.IntVar(&cfg.PID, "pid", 0, "")
	fs.BoolVar(&cfg.Indications, "indications", false, "")
	fs.BoolVar(&cfg.Relayed, "relayed", false, "")
	fs.Float64Var(&f.Seconds, "seconds", turnload.UnsetSeconds, "")
	fs.Float64Var(&f.Rate, "rate", 0, "")
	fs.BoolVar(&f.Max, "max", false, "")
	insecure := fs.Bool("insecure", false, "")
	fs.BoolVar(&f.asJSON, "json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, errors.New("which server? Write it like turn:turn.example.org:3478; or \"bench signal\" and a URL")
	}
	if f.uri, err = benchURI(rest[0]); err != nil {
		return nil, err
	}
	if cfg.Profile, err = turnload.ProfileByName(*profile); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if cfg.Direction, err = turnload.ParseDirection(*direction); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if *peer != "" {
		if cfg.Peer, err = netip.ParseAddr(*peer); err != nil {
			return nil, fmt.Errorf("--peer %q is not an address of this machine", *peer)
		}
	}
	cfg.Binding = f.uri.Scheme == stun.SchemeTypeSTUN
	cfg.Transport = benchTransport(f.uri)
	cfg.TLS = &tls.Config{ServerName: f.uri.Host, InsecureSkipVerify: *insecure}
	if cfg.Binding {
		return f, f.Check()
	}
	if cfg.Credential, err = benchCredential(*secret, *user, *password); err != nil {
		return nil, err
	}
	return f, f.Check()
}

// benchCredential returns the login of each call.
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

// benchURI reads turn:HOST:PORT, turns:HOST:PORT, either with a transport, or stun:HOST:PORT.
func benchURI(s string) (*stun.URI, error) {
	uri, err := stun.ParseURI(s)
	if err != nil || uri.Scheme == stun.SchemeTypeSTUNS {
		return nil, fmt.Errorf("%q is not a TURN server; write it like turn:turn.example.org:3478", s)
	}
	return uri, nil
}

// benchTransport returns the transport that a URI names (RFC 7065).
func benchTransport(uri *stun.URI) turnload.Transport {
	secure := uri.Scheme == stun.SchemeTypeTURNS
	switch {
	case secure && uri.Proto == stun.ProtoTypeUDP:
		return turnload.OverDTLS
	case secure:
		return turnload.OverTLS
	case uri.Proto == stun.ProtoTypeTCP:
		return turnload.OverTCP
	}
	return turnload.OverUDP
}

// lookUp finds the address of a host.
func lookUp(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}, fmt.Errorf("the name %q has no address", host)
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), port), nil
}
