package node

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.org/turnpike/auth"
)

// Warnings says in sentences what is served, but hardly as meant. It is called after Open.
func (n *Node) Warnings() []string {
	var local, own []netip.Addr
	for _, r := range n.relays {
		local = append(local, r.Local)
		own = append(own, r.Local, r.External)
	}
	out := n.cfg.Warnings(local)
	if w := n.cfg.OwnPortsWarning(own); w != "" {
		out = append(out, w)
	}
	if n.certs != nil {
		if w := n.certs.warning(time.Now()); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// banner prints what is served, where and for whom.
func (n *Node) banner(w io.Writer) {
	addrs := n.webAddrs()
	state, err := filepath.Abs(n.cfg.StateDir)
	if err != nil {
		state = n.cfg.StateDir
	}
	rows := [][2]string{
		{"web", strings.Join(n.cfg.WebURLs(addrs), "  ")},
		{"turn", cmp.Or(joinStrings(n.turn.Addrs()), "on the web addresses")},
		{"relay", showRelays(n.relays) + ", ports " + n.cfg.TURN.RelayPorts.String()},
		{"who", n.cfg.Who(addrs)},
		{"state", state},
	}
	if link := n.firstLink(); link != "" {
		rows = slices.Insert(rows, len(rows)-1, [2]string{"link", link})
	}
	if n.metricsListener != nil {
		rows = append(rows, [2]string{"metrics", "http://" + n.metricsListener.Addr().String() + "/metrics"})
	}
	if file := n.cfg.File(); file != "" {
		rows = append(rows, [2]string{"config", file})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "turnpike %s\n", n.options.Version)
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-8s %s\n", row[0], row[1])
	}
	_, _ = io.WriteString(w, b.String())
}

// The invite that the banner prints on a terminal.
const (
	firstRoom = "lobby"
	firstTTL  = 24 * time.Hour
)

// firstLink makes an invite for the person who started the server. It is empty where guests get in without one, and
// where the output is no terminal: a reader of the journal must not get in by it.
func (n *Node) firstLink() string {
	if !n.options.Terminal || n.cfg.AdmitsGuests() {
		return ""
	}
	token, inv, err := n.invites.Issue(auth.Invite{Room: firstRoom, Role: auth.RoleGuest}, firstTTL)
	if err == nil {
		err = n.ledger.Record(inv)
	}
	if err != nil {
		n.log.Error("make an invite to print", "err", err)
		return ""
	}
	return auth.InviteLink(n.cfg.PublicURL(n.webAddrs()), inv.Room, token) + "  (for 24 hours)"
}

func joinStrings[T fmt.Stringer](items []T) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = item.String()
	}
	return strings.Join(words, "  ")
}
