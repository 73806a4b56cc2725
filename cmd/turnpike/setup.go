package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/setup"
)

// certificateWait is how long setup waits for the first certificate.
const certificateWait = 90 * time.Second

// setupFlags are the command's own.
type setupFlags struct {
	yes, dryRun bool
	options     setup.Options
	keys        config.Flags
}

// setup is `turnpike setup`.
func (p *program) setup(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("setup", flag.ContinueOnError)
	var f setupFlags
	f.keys.Register(fs)
	fs.BoolVar(&f.yes, "yes", false, "")
	fs.BoolVar(&f.dryRun, "dry-run", false, "")
	fs.StringVar(&f.options.From, "from", "", "")
	fs.StringVar(&f.options.STUN, "stun", "", "")
	fs.BoolVar(&f.options.CloudMetadata, "cloud-metadata", false, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	if setBeside(fs, "config") != "" {
		return &usageError{"setup", fmt.Errorf("setup writes %s, which the service reads; for another file use turnpike init", setup.ConfigFile)}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	installer := &setup.Installer{Self: self, Run: setup.Command}
	if err := installer.CheckFree(); err != nil {
		return err
	}
	if os.Geteuid() > 0 && !f.dryRun {
		return errors.New("setup writes to /etc and starts a service: run it as root, or with --dry-run")
	}
	if _, err := exec.LookPath("systemctl"); err != nil && !f.dryRun {
		return errors.New("there is no systemd here, which would run the service; use turnpike init and turnpike serve")
	}
	in := bufio.NewReader(p.stdin)
	if _, given := f.keys.Given("public_host"); !given && !f.yes {
		if err := p.askHost(in, &f.keys); err != nil {
			return err
		}
	}
	f.options.Flags = &f.keys
	plan, err := setup.Find(ctx, setup.Host{Look: f.dryRun}, f.options)
	if err != nil {
		return err
	}
	steps := installer.Steps(plan)
	p.showPlan(plan, steps)
	switch {
	case plan.Fatal():
		return errors.New("nothing was changed; mend what \"wrong\" says above, and run this again")
	case f.dryRun:
		return writeLine(p.stdout, "dry run: nothing was changed")
	case !f.yes && !p.agrees(in):
		return errors.New("nothing was changed")
	}
	return p.install(ctx, plan, steps)
}

// askHost asks for public_host. An empty answer leaves it to the machine's address.
func (p *program) askHost(in *bufio.Reader, keys *config.Flags) error {
	fmt.Fprint(p.stdout, "Host name that leads to this machine (empty: its bare IP address): ")
	answer, err := in.ReadString('\n')
	if err != nil && answer == "" {
		return errors.New("no answer; pass --public-host NAME, or --yes for the bare IP address")
	}
	if answer = strings.TrimSpace(answer); answer != "" {
		keys.Suggest("public_host", answer, "the answer")
	}
	return nil
}

func (p *program) agrees(in *bufio.Reader) bool {
	fmt.Fprint(p.stdout, "Do this? [y/N] ")
	answer, _ := in.ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y") || strings.EqualFold(strings.TrimSpace(answer), "yes")
}

// showPlan prints everything that setup has found and would do.
func (p *program) showPlan(plan *setup.Plan, steps []setup.Step) {
	var b strings.Builder
	if r := plan.Carried; r != nil {
		for _, part := range []struct {
			heading string
			notes   []setup.CarriedNote
		}{{"taken", r.Taken}, {"as it is", r.Default}, {"NOT TAKEN", r.Left}} {
			for _, n := range part.notes {
				fmt.Fprintf(&b, "%-9s  line %d: %s: %s\n", part.heading, n.Line, n.Key, n.Text)
			}
		}
	}
	for _, f := range plan.Findings {
		heading := "note"
		if f.Fatal {
			heading = "wrong"
		}
		fmt.Fprintf(&b, "%-9s  %s\n", heading, f.Text)
	}
	for _, s := range steps {
		fmt.Fprintf(&b, "%-9s  %s\n", "step", s.Text)
		for line := range strings.Lines(s.Detail) {
			fmt.Fprintf(&b, "           | %s", line)
		}
	}
	fmt.Fprintf(&b, "%-9s  this machine's, with one of the two forms, and that of its provider must let in:\n", "firewall")
	for _, line := range setup.Firewall(plan.Config) {
		fmt.Fprintf(&b, "           | %s\n", line)
	}
	fmt.Fprint(p.stdout, b.String())
}

// install does the steps, waits for the certificate and prints the first invite.
func (p *program) install(ctx context.Context, plan *setup.Plan, steps []setup.Step) error {
	written := false
	for _, s := range steps {
		switch err := s.Do(ctx); {
		case err != nil && written:
			return fmt.Errorf("%s: %w; \"journalctl -u turnpike\" may say more. The configuration is written: mend that, then systemctl enable --now turnpike", s.Text, err)
		case err != nil:
			return fmt.Errorf("%s: %w; mend that, and run setup again", s.Text, err)
		}
		written = written || s.Last
	}
	if plan.Config.TLS.Mode == config.TLSACME {
		waiting, cancel := context.WithTimeout(ctx, certificateWait)
		defer cancel()
		if err := setup.WaitCertificate(waiting, plan.Config); err != nil {
			if said := setup.ACMEProblem(plan.Config); said != "" {
				err = errors.New(said)
			}
			return fmt.Errorf("the server runs, but has no certificate yet (%w); \"journalctl -u turnpike\" says why, and it tries again by itself. Once it has one: turnpike invite --config %s --room lobby", err, setup.ConfigFile)
		}
	}
	fmt.Fprintln(p.stdout, "the server runs. The first invite, for 24 hours:")
	return p.invite(ctx, []string{"--config", setup.ConfigFile, "--room", "lobby"})
}
