package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

func (p *program) serve(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	format := fs.String("log-format", "text", "")
	var level slog.Level
	fs.TextVar(&level, "log-level", slog.LevelInfo, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	log, err := newLogger(p.stderr, *format, level)
	if err != nil {
		return &usageError{"serve", err}
	}
	if err := raiseCapabilities(); err != nil {
		log.Warn("capabilities that this file permits cannot be used", "err", err)
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	n, err := node.New(cfg, node.Options{Processors: runtime.GOMAXPROCS(0), Version: versionString(), Terminal: p.terminal, Container: node.InContainer(), Log: log, Hangup: p.hangup})
	if err != nil {
		return err
	}
	if err := n.Open(); err != nil {
		n.Close()
		return err
	}
	for _, w := range append(n.Warnings(), config.UnknownVariables(p.environ)...) {
		fmt.Fprintf(p.stderr, "turnpike: warning: %s\n", w)
	}
	return n.Run(ctx, p.drain, p.stdout)
}

func newLogger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q is neither text nor json", format)
}
