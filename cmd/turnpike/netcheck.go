package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"example.org/turnpike/internal/probe"
)

// netcheck shows what the network that this machine is in does to calls.
func (p *program) netcheck(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("netcheck", flag.ContinueOnError)
	var servers serverFlags
	servers.register(fs)
	timeout := fs.Duration("timeout", 5*time.Second, "")
	every := fs.Duration("every", 0, "")
	asJSON := fs.Bool("json", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	switch {
	case *timeout <= 0:
		return &usageError{"netcheck", fmt.Errorf("--timeout %v is not positive", *timeout)}
	case setBeside(fs, "every") != "" && *every < time.Second:
		return &usageError{"netcheck", fmt.Errorf("--every %v is less than a second; write it like 10s", *every)}
	}
	a, err := servers.choose(p, "netcheck", strings.Join(rest, ""))
	if err != nil {
		return err
	}
	check := &probe.NetworkCheck{Base: a.base, Timeout: *timeout, Ticket: a.ticket, Invite: a.invite}
	if a.machine != nil {
		check.GetTicket = a.machine.Ticket
	}
	defer check.Close()
	if *every > 0 {
		return p.watchNetwork(ctx, check, *every, *asJSON)
	}
	waiting := p.progress()
	waiting.say("asking " + a.base + ", and the router here ...")
	n := check.Run(ctx)
	waiting.clear()
	if n == nil {
		return errors.New("stopped before everything was tried")
	}
	if n.Version != "" {
		p.remember(a.base)
	}
	if *asJSON {
		err = p.writeNetworkJSON(n, "  ")
	} else {
		err = p.writeNetwork(n)
	}
	if err != nil || len(n.Problems) == 0 {
		return err
	}
	return errors.New(strings.Join(n.Problems, "\n"))
}

// watchNetwork looks again and again until ctx ends. After the first report it prints what has changed, as JSON each report on a line.
func (p *program) watchNetwork(ctx context.Context, check *probe.NetworkCheck, every time.Duration, asJSON bool) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var before []networkLine
	for {
		n := check.Run(ctx)
		if n == nil {
			return nil
		}
		if n.Version != "" {
			p.remember(check.Base)
		}
		var err error
		lines := append(networkLines(n), problemLines(n)...)
		switch {
		case asJSON:
			err = p.writeNetworkJSON(n, "")
		case before == nil:
			if err = p.writeNetwork(n); err == nil {
				err = p.writeLines(problemLines(n))
			}
		default:
			err = p.writeChanges(n.Time, before, lines)
		}
		if err != nil {
			return err
		}
		before = lines
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (p *program) writeNetworkJSON(n *probe.Network, indent string) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	return e.Encode(n)
}

// writeNetwork prints a report, and the verdict below it.
func (p *program) writeNetwork(n *probe.Network) error {
	server := n.Server
	if n.Version != "" {
		server += " (turnpike " + n.Version + ")"
	}
	if err := p.writeLines(append([]networkLine{{label: "server", text: server}}, networkLines(n)...)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "\n%s\n", n.Summary)
	return err
}

func (p *program) writeLines(lines []networkLine) error {
	for _, line := range lines {
		if line.hidden {
			continue
		}
		if _, err := fmt.Fprintf(p.stdout, "%-16s  %s\n", line.label, line.text); err != nil {
			return err
		}
	}
	return nil
}

// writeChanges prints the lines of a report that are not as before.
func (p *program) writeChanges(at time.Time, before, now []networkLine) error {
	was := map[string]networkLine{}
	for _, line := range before {
		was[line.name()] = line
	}
	stamp := at.Format(time.TimeOnly)
	for _, line := range now {
		old, known := was[line.name()]
		delete(was, line.name())
		if known && old.key() == line.key() {
			continue
		}
		from := old.short()
		if !known {
			from = "-"
		}
		if _, err := fmt.Fprintf(p.stdout, "%s  %s: %s -> %s\n", stamp, line.name(), from, line.short()); err != nil {
			return err
		}
	}
	for _, line := range before {
		if _, gone := was[line.name()]; !gone {
			continue
		}
		if _, err := fmt.Fprintf(p.stdout, "%s  %s: %s -> -\n", stamp, line.name(), line.short()); err != nil {
			return err
		}
	}
	return nil
}
