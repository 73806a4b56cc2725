package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
)

// inspectTicket reads a token and explains how the server would judge it. The token comes on stdin, because others on
// this machine can see arguments. It makes nothing in the state directory: another app's token needs nothing from there.
func (p *program) inspectTicket(cfg *config.Config, asJSON bool) error {
	data, err := io.ReadAll(io.LimitReader(p.stdin, maxToken))
	if err != nil {
		return fmt.Errorf("read the ticket: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return errors.New("there is no ticket on stdin; pipe one in, like: turnpike ticket | turnpike ticket --inspect")
	}
	log := slog.New(slog.NewTextHandler(p.stderr, nil))
	missing := needState(cfg)
	secret, refuses, err := inspectionState(cfg, missing == nil, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	verifier, err := node.NewVerifier(cfg, auth.NewTickets(secret, time.Now, rand.Reader), refuses, log)
	if err != nil {
		return err
	}
	defer verifier.Close()
	machines, err := auth.ReadMachines(cfg.MachinesFile(), time.Now, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	verifier.AdmitMachines(machines)
	in := verifier.Inspect(token)
	if in.Issuer == auth.Issuer && missing != nil {
		return fmt.Errorf("this ticket says that a turnpike signed it, and %w", missing)
	}
	if asJSON {
		err = writeInspectionJSON(p.stdout, in)
	} else {
		_, err = io.WriteString(p.stdout, showInspection(in, time.Now()))
	}
	if err != nil {
		return err
	}
	if len(in.Reasons) > 0 {
		return errReported
	}
	return nil
}

// inspectionState returns what the state directory has for the judgement of our own tickets. Without state it is a secret
// that has signed nothing.
func inspectionState(cfg *config.Config, there bool, log *slog.Logger) (auth.Secret, func(auth.Ticket) error, error) {
	if !there {
		return auth.NewSecret([]byte(rand.Text())), nil, nil
	}
	secret, err := auth.LoadSecret(cfg.SecretFile())
	if err != nil {
		return auth.Secret{}, nil, err
	}
	ledger, err := auth.ReadLedger(cfg.LedgerFile(), time.Now, log)
	if err != nil {
		return auth.Secret{}, nil, err
	}
	return secret, ledger.Refuses, nil
}

func writeInspectionJSON(w io.Writer, in auth.Inspection) error {
	out := map[string]any{
		"accepted": len(in.Reasons) == 0, "issuer": in.Issuer, "header": in.Header, "claims": in.Claims, "signed": in.Signed,
		"reasons": append([]string{}, in.Reasons...),
	}
	if in.Unknown != "" {
		out["not_checked"] = in.Unknown
	}
	if tk := in.Ticket; len(in.Reasons) == 0 {
		out["ticket"] = map[string]any{"user": tk.User.String(), "name": tk.Name, "role": tk.Role, "rooms": tk.Rooms, "expires": tk.Expires}
	}
	return json.NewEncoder(w).Encode(out)
}

// showInspection writes an inspection in lines, the verdict last.
func showInspection(in auth.Inspection, now time.Time) string {
	var b strings.Builder
	row := func(heading, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", heading, fmt.Sprintf(format, args...))
	}
	showObject(row, "header", in.Header, now)
	showObject(row, "claims", in.Claims, now)
	switch {
	case in.Issuer == "":
		row("issuer", "none that is known here")
	case in.Issuer == auth.Issuer:
		row("issuer", "this server")
	case in.Issuer == auth.MachineIssuer:
		row("issuer", "the machine itself")
	default:
		row("issuer", "%s, of [[auth.issuers]]", in.Issuer)
	}
	switch {
	case in.Signed:
		row("signature", "good")
	case in.Unknown != "":
		row("signature", "not checked: %s", printable(in.Unknown))
	case in.Issuer != "":
		row("signature", "bad")
	}
	if len(in.Reasons) == 0 {
		tk := in.Ticket
		rooms := "no room"
		if len(tk.Rooms) > 0 {
			rooms = strings.Join(tk.Rooms, ", ")
		}
		row("accepted", "user %s", tk.User)
		row("", "name %q, role %s", tk.Name, tk.Role)
		row("", "rooms: %s", rooms)
	}
	verdict := "refused"
	if in.Unknown != "" {
		verdict = "no verdict"
	}
	for i, reason := range in.Reasons {
		row([]string{verdict, ""}[min(i, 1)], "%s", reason)
	}
	return b.String()
}

// showObject writes a line for each field, with times as people read them.
func showObject(row func(heading, format string, args ...any), heading string, raw json.RawMessage, now time.Time) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		if raw != nil {
			row(heading, "%s", printable(string(raw)))
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		text := printable(string(fields[name]))
		var seconds float64
		if slices.Contains([]string{"exp", "nbf", "iat"}, name) && json.Unmarshal(fields[name], &seconds) == nil && seconds > 0 && seconds < 1e11 {
			at := time.Unix(int64(seconds), 0).UTC()
			text += "  " + at.Format(time.RFC3339)
			if d := at.Sub(now).Round(time.Second); d >= 0 {
				text += ", in " + d.String()
			} else {
				text += ", " + (-d).String() + " ago"
			}
		}
		row(heading, "%-6s %s", name, text)
		heading = ""
	}
}
