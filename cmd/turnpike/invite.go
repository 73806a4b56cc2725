package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/node"
	"example.org/turnpike/signal/wire"
)

func (p *program) invite(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("invite", flag.ContinueOnError)
	var flags config.Flags
	flags.Register(fs)
	var want inviteFlags
	want.register(fs)
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	inv, err := want.check(fs)
	if err != nil {
		return &usageError{"invite", err}
	}
	cfg, err := flags.Load(p.lookupEnv, node.CheckIssuer)
	if err != nil {
		return err
	}
	log := p.logger()
	if want.list {
		return p.listInvites(cfg, log, want.asJSON)
	}
	secret, err := signingSecret(cfg)
	if err != nil {
		return err
	}
	ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	defer ledger.Close()
	invites := auth.NewInvites(secret, time.Now, rand.Reader)
	if want.revoke == "-" {
		if want.revoke, err = p.readToken("invite"); err != nil {
			return err
		}
	}
	if want.revoke != "" {
		return p.revokeInvite(cfg, ledger, invites, want.revoke)
	}
	token, inv, err := invites.Issue(inv, want.ttl)
	if err != nil {
		return err
	}
	if err := ledger.Record(inv); err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	base := cfg.PublicURL(cfg.HTTP.Listen)
	link := auth.InviteLink(base, inv.Room, token)
	if u, err := url.Parse(base); err == nil && config.LoopbackHost(u.Hostname()) {
		fmt.Fprintln(p.stderr, "turnpike: note: this link works on this machine only; set public_host to the name that others reach it by")
	}
	if want.asJSON {
		return json.NewEncoder(p.stdout).Encode(map[string]any{
			"link": link, "invite": token, "id": inv.ID, "room": inv.Room, "role": inv.Role, "uses": inv.Uses, "expires": inv.Expires,
		})
	}
	return writeLine(p.stdout, link)
}

// inviteFlags are the command's own.
type inviteFlags struct {
	room, role, revoke string
	ttl                time.Duration
	uses               int
	list, asJSON       bool
}

func (f *inviteFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.room, "room", "", "")
	fs.DurationVar(&f.ttl, "ttl", 24*time.Hour, "")
	fs.StringVar(&f.role, "role", string(auth.RoleGuest), "")
	fs.IntVar(&f.uses, "uses", 0, "")
	fs.StringVar(&f.revoke, "revoke", "", "")
	fs.BoolVar(&f.list, "list", false, "")
	fs.BoolVar(&f.asJSON, "json", false, "")
}

// check returns the invite that the flags describe, if they describe one.
func (f *inviteFlags) check(fs *flag.FlagSet) (auth.Invite, error) {
	if revoking := setBeside(fs, "revoke") != ""; f.list || revoking {
		if name := setBeside(fs, "room", "ttl", "role", "uses"); name != "" {
			return auth.Invite{}, fmt.Errorf("--%s describes an invite to make, and --list and --revoke make none", name)
		}
		switch {
		case f.list && revoking:
			return auth.Invite{}, errors.New("--list and --revoke are two commands; give one of them")
		case revoking && f.revoke == "":
			return auth.Invite{}, errors.New("--revoke is empty; give it an ID of \"turnpike invite --list\", or the link")
		}
		return auth.Invite{}, nil
	}
	role, err := parseRole(f.role)
	room := strings.ToLower(f.room)
	switch {
	case err != nil:
		return auth.Invite{}, err
	case room == "":
		return auth.Invite{}, errors.New("--room is missing; name the room, like --room standup")
	case !wire.ValidRoom(room):
		return auth.Invite{}, fmt.Errorf("--room %q is not a room; use 1 to 64 of a-z, 0-9 and \"-\", with no \"-\" at either end", room)
	case f.ttl < time.Second:
		return auth.Invite{}, fmt.Errorf("--ttl %v is too short; write it like 24h", f.ttl)
	case f.uses < 0:
		return auth.Invite{}, fmt.Errorf("--uses %d is less than none; use 1 for one person, or 0 for any number", f.uses)
	}
	return auth.Invite{Room: room, Role: role, Uses: f.uses}, nil
}

// listedInvite is an invite in the output of --list --json.
type listedInvite struct {
	ID      string    `json:"id"`
	Room    string    `json:"room"`
	Role    auth.Role `json:"role"`
	Uses    int       `json:"uses"`
	Used    int       `json:"used"`
	Revoked bool      `json:"revoked"`
	By      string    `json:"by,omitempty"` // the user who made it
	Expires time.Time `json:"expires"`
}

// listInvites makes nothing: neither a secret nor a ledger where there is none.
func (p *program) listInvites(cfg *config.Config, log *slog.Logger, asJSON bool) error {
	if err := needState(cfg); err != nil {
		return err
	}
	ledger, err := auth.ReadLedger(cfg.LedgerFile(), time.Now, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	listed := []listedInvite{}
	for _, e := range ledger.List() {
		listed = append(listed, listedInvite{e.ID, e.Room, e.Role, e.Uses, e.Used, e.Revoked, e.By, e.Expires})
	}
	if asJSON {
		return json.NewEncoder(p.stdout).Encode(listed)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROOM\tROLE\tUSED\tEXPIRES\tMADE BY")
	for _, inv := range listed {
		used := "any number"
		if inv.Uses > 0 {
			used = strconv.Itoa(inv.Used) + " of " + strconv.Itoa(inv.Uses)
		}
		if inv.Revoked {
			used = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", inv.ID, inv.Room, inv.Role, used, inv.Expires.Format(time.RFC3339), cmp.Or(inv.By, "-"))
	}
	return w.Flush()
}

// revokeInvite takes an ID or a link. A link tells the expiry even if the ledger does not know the invite.
func (p *program) revokeInvite(cfg *config.Config, ledger *auth.Ledger, invites *auth.Invites, which string) error {
	known, ok := ledger.Find(which)
	inv := known.Invite
	if !ok {
		var err error
		if inv, err = invites.Verify(auth.InviteToken(which)); errors.Is(err, auth.ErrExpired) {
			return errors.New("this invite has expired already")
		} else if err != nil {
			return fmt.Errorf("there is no invite %q here; give --revoke an ID of \"turnpike invite --list\", or the whole link, and pass the server's --config or --state", shortened(which))
		}
	}
	if err := ledger.Revoke(inv.ID, inv.Expires); err != nil {
		return err
	}
	out, err := node.RevokeInvited(cfg, ledger, inv.ID, p.logger())
	if err != nil {
		return err
	}
	line := "revoked " + inv.ID
	if len(out) > 0 {
		line += ", and the machines that came by it: " + strings.Join(out, ", ")
	}
	return writeLine(p.stdout, line)
}

// shortened cuts what may be a link, which would fill the line and let readers in.
func shortened(s string) string {
	const most = 32
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
