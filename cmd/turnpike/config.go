package main

import (
	"context"
	"flag"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

func (p *program) config(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("config", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	return cfg.Print(p.stdout)
}
