package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
	"example.org/turnpike/internal/probe"
	"example.org/turnpike/internal/setup"
)

func (p *program) check(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("check", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	var ticketFlag, inviteFlag tokenFlag
	ticketFlag.register(fs, "ticket", "TURNPIKE_CHECK_TICKET")
	inviteFlag.register(fs, "invite", "TURNPIKE_CHECK_INVITE")
	timeout := fs.Duration("timeout", 10*time.Second, "")
	asJSON := fs.Bool("json", false, "")
	closedPorts := fs.Bool("closed-relay-ports", false, "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	if *timeout <= 0 {
		return &usageError{"check", fmt.Errorf("--timeout %v is not positive", *timeout)}
	}
	byVariable := !ticketFlag.given() && !inviteFlag.given()
	ticket, err := ticketFlag.read(p, byVariable)
	if err != nil {
		return &usageError{"check", err}
	}
	invite, err := inviteFlag.read(p, byVariable)
	if err != nil {
		return &usageError{"check", err}
	}
	if len(rest) == 1 && invite == "" && ticket == "" && strings.Contains(rest[0], "#invite=") {
		invite = rest[0] // the URL is a link
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	server := &probe.Server{Dial: new(net.Dialer).DialContext}
	switch {
	case len(rest) == 1:
		server.Base, err = serverURL(rest[0])
	case strings.Contains(invite, "://"):
		server.Base, err = serverURL(invite)
	default:
		server = probe.Own(cfg)
	}
	if err != nil {
		return &usageError{"check", err}
	}
	server.Timeout, server.Ticket, server.Invite, server.Mint = *timeout, ticket, auth.InviteToken(invite), ticketMaker(cfg)
	server.ClosedRelayPorts = *closedPorts
	return p.showFindings(ctx, *asJSON, func(report func(probe.Finding)) {
		running := false
		server.Run(ctx, func(f probe.Finding) {
			running = running || f.Check == "web" && f.OK
			report(f)
		})
		if server.Own != nil {
			for _, f := range setup.Review(ctx, setup.Host{Look: true}, cfg, running) {
				report(machineFinding(f))
			}
		}
	})
}

// machineFinding is what setup finds about this machine.
func machineFinding(f setup.Finding) probe.Finding {
	if f.Fatal {
		return probe.Finding{Check: "machine", Target: "this one", Problem: f.Text}
	}
	return probe.Finding{Check: "machine", Target: "this one", OK: true, Note: true, Detail: f.Text}
}

// showFindings prints each finding as find reports it, or all of them as JSON at the end. What the end of ctx cuts short is
// no finding.
func (p *program) showFindings(ctx context.Context, asJSON bool, find func(report func(probe.Finding))) error {
	listed := []findingJSON{}
	failed, notes := 0, 0
	find(func(f probe.Finding) {
		if ctx.Err() != nil {
			return
		}
		if !f.OK {
			failed++
		}
		if f.Note {
			notes++
		}
		listed = append(listed, findingJSON{f.Check, f.Target, f.OK, f.Note, f.Detail, f.Problem, f.Relayed, millis(f.Took)})
		if !asJSON {
			_, _ = io.WriteString(p.stdout, findingLine(f))
		}
	})
	if ctx.Err() != nil {
		return errors.New("stopped before everything was tried")
	}
	var err error
	switch {
	case asJSON:
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(listed)
	case failed > 0:
		_, err = fmt.Fprintf(p.stdout, "%d of %d checks failed\n", failed, len(listed)-notes)
	case notes > 0:
		_, err = fmt.Fprintf(p.stdout, "all %d checks passed; notes: %d\n", len(listed)-notes, notes)
	default:
		_, err = fmt.Fprintf(p.stdout, "all %d checks passed\n", len(listed))
	}
	if err == nil && failed > 0 {
		return errReported
	}
	return err
}

// findingJSON is a finding in the output of --json.
type findingJSON struct {
	Check   string   `json:"check"`
	URL     string   `json:"url"`
	OK      bool     `json:"ok"`
	Note    bool     `json:"note,omitempty"` // nothing was tried
	Detail  string   `json:"detail,omitempty"`
	Problem string   `json:"problem,omitempty"`
	Relayed []string `json:"relayed,omitempty"`
	Millis  float64  `json:"ms"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// findingLine is one line.
func findingLine(f probe.Finding) string { return harmless(findingText(f)) + "\n" }

func findingText(f probe.Finding) string {
	if f.Note {
		return fmt.Sprintf("note %-9s  %-44s  %s", f.Check, f.Target, f.Detail)
	}
	if !f.OK {
		return fmt.Sprintf("FAIL %-9s  %-44s  %s", f.Check, f.Target, f.Problem)
	}
	took := strconv.FormatFloat(millis(f.Took), 'f', 1, 64) + " ms"
	if f.Detail != "" {
		took = f.Detail + "  " + took
	}
	return fmt.Sprintf("ok   %-9s  %-44s  %s", f.Check, f.Target, took)
}

// serverURL returns the scheme and the host of a URL, a link or a bare host.
func serverURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", fmt.Errorf("%q is not the URL of a server; write it like https://turn.example.org", s)
	}
	return u.Scheme + "://" + u.Host, nil
}
