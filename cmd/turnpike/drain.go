package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

// drainServer is `turnpike drain`.
func (p *program) drainServer(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("drain", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	timeout := fs.Duration("timeout", 0, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	if *timeout < 0 {
		return &usageError{"drain", fmt.Errorf("--timeout %v is negative", *timeout)}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	if err := needState(cfg); err != nil {
		return err
	}
	if *timeout == 0 {
		*timeout = cfg.DrainTimeout
	}
	waiting, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	start := time.Now()
	active, err := node.NewAdminClient(cfg).Drain(waiting)
	switch {
	case errors.Is(err, node.ErrNoServer):
		return noServer(cfg)
	case err != nil:
		return err
	case ctx.Err() != nil:
		return errors.New("stopped waiting; the server takes no new relays all the same")
	case active > 0:
		return fmt.Errorf("after %v, relays that still carry something: %d; stop the server to end them, or run this again", *timeout, active)
	}
	return writeLine(p.stdout, fmt.Sprintf("drained in %v: no relay carries anything, and the server can be stopped", time.Since(start).Round(time.Millisecond)))
}
