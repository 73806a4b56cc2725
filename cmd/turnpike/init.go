package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.org/turnpike/internal/config"
)

// initialize is `turnpike init`: it writes a first configuration file, and never over one that is there.
func (p *program) initialize(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("init", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	text, err := flags.Starter()
	if err != nil {
		return err
	}
	name := flags.Target(p.lookupEnv)
	if err := writeNew(name, text); err != nil {
		return err
	}
	cfg, err := config.LoadFile(name)
	if err != nil {
		return err
	}
	return p.nextSteps(name, cfg)
}

// writeNew writes a file that was not there.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and turnpike init writes over no file; name another with --config", name)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}

// nextSteps says what the operator must do before the server works.
func (p *program) nextSteps(name string, cfg *config.Config) error {
	var b strings.Builder
	fmt.Fprintf(&b, "wrote %s. Look through it, then:\n", name)
	if cfg.TLS.Mode == config.TLSFiles {
		fmt.Fprintf(&b, "  put the certificate with its chain into %s, and its key into %s\n", cfg.TLS.CertFile, cfg.TLS.KeyFile)
	}
	if !cfg.LocalOnly() {
		fmt.Fprintf(&b, "  open in the firewall: %s\n", cfg.Ports())
	}
	use := ""
	if filepath.Clean(name) != "turnpike.toml" {
		use = " --config " + config.ShellWord(name)
	}
	fmt.Fprintf(&b, "  turnpike serve%s\n  turnpike check%s\n", use, use)
	if !cfg.AdmitsGuests() {
		fmt.Fprintf(&b, "  turnpike invite --room NAME%s\n", use)
	}
	return writeLine(p.stdout, strings.TrimSuffix(b.String(), "\n"))
}
