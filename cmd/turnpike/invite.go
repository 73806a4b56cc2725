package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"
)

func (p *program) invite(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("invite", flag.ContinueOnError)
	var flags configFlags
	flags.register(fs)
	room := fs.String("room", "", "")
	ttl := fs.Duration("ttl", 24*time.Hour, "")
	roleName := fs.String("role", string(auth.RoleGuest), "")
	asJSON := fs.Bool("json", false, "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	inv, err := newInvite(*room, *roleName, *ttl)
	if err != nil {
		return &usageError{"invite", err}
	}
	cfg, err := flags.load(p.getenv)
	if err != nil {
		return err
	}
	secret, err := p.signingSecret(cfg)
	if err != nil {
		return err
	}
	token, inv, err := auth.NewInvites(secret, time.Now, rand.Reader).Issue(inv, *ttl)
	if err != nil {
		return err
	}
	base := cfg.publicURL(cfg.HTTP.Listen)
	link := inviteLink(base, inv.Room, token)
	if u, err := url.Parse(base); err == nil && loopbackHost(u.Hostname()) {
		fmt.Fprintln(p.stderr, "turnpike: note: this link works on this machine only; set public_host to the name that others reach it by")
	}
	if *asJSON {
		return json.NewEncoder(p.stdout).Encode(map[string]any{"link": link, "invite": token, "room": inv.Room, "role": inv.Role, "expires": inv.Expires})
	}
	return writeLine(p.stdout, link)
}

// newInvite checks what the flags ask for.
func newInvite(room, roleName string, ttl time.Duration) (auth.Invite, error) {
	role, err := parseRole(roleName)
	room = strings.ToLower(room)
	switch {
	case err != nil:
		return auth.Invite{}, err
	case room == "":
		return auth.Invite{}, errors.New("--room is missing; name the room, like --room standup")
	case !wire.ValidRoom(room):
		return auth.Invite{}, fmt.Errorf("--room %q is not a room; use 1 to 64 of a-z, 0-9 and \"-\", with no \"-\" at either end", room)
	case ttl < time.Second:
		return auth.Invite{}, fmt.Errorf("--ttl %v is too short; write it like 24h", ttl)
	}
	return auth.Invite{Room: room, Role: role}, nil
}

// inviteLink keeps the invite in the fragment, which browsers send to no server and no log sees.
func inviteLink(base, room, token string) string {
	return base + "/r/" + room + "#invite=" + token
}

// inviteToken takes the token out of a link, or is given it.
func inviteToken(s string) string {
	if _, fragment, ok := strings.Cut(s, "#"); ok {
		if values, err := url.ParseQuery(fragment); err == nil {
			return values.Get("invite")
		}
	}
	return strings.TrimSpace(s)
}
