package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/turnserver"
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
	cfg, err := flags.Load(p.getenv, checkIssuer)
	if err != nil {
		return err
	}
	defer keepMemory(p.getenv)()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0)) // which the relay changes as it needs
	n, err := newNode(cfg, runtime.GOMAXPROCS(0), log)
	if err != nil {
		return err
	}
	if err := n.open(); err != nil {
		n.close()
		return err
	}
	for _, w := range append(n.warnings(), config.UnknownVariables(p.environ)...) {
		fmt.Fprintf(p.stderr, "turnpike: warning: %s\n", w)
	}
	n.showInvite = p.terminal
	return n.run(ctx, p.drain, p.stdout)
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

func (n *node) warnings() []string {
	var local []netip.Addr
	for _, r := range n.relays {
		local = append(local, r.Local)
	}
	out := n.cfg.Warnings(local)
	if n.certs != nil {
		if w := certificateWarning(n.certs.leaf(), n.cfg.PublicHost, time.Now()); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// run serves until ctx ends, or after drain is closed until the relays have ended.
func (n *node) run(ctx context.Context, drain <-chan struct{}, stdout io.Writer) error {
	failed := make(chan error, len(n.webs)+2) // one for each server goroutine: none ever waits
	var serving sync.WaitGroup
	serving.Go(func() { failed <- n.web.Serve(n.handed) })
	for _, l := range n.webs {
		serving.Go(func() {
			if err := n.turn.ServeStreams(l, n.webStreams()); err != nil {
				failed <- err
			}
		})
	}
	stopWatching := func() {}
	if n.certs != nil {
		stopWatching = n.certs.start()
	}
	if n.metric != nil {
		serving.Go(func() { failed <- n.metrics.Serve(n.metric) })
	}
	watching, stopInvites := context.WithCancel(context.Background())
	serving.Go(func() { n.watchInvites(watching) })
	n.api.SetReady(true)
	n.banner(stdout)
	n.notify(daemon.SdNotifyReady)

	var err error
	draining := false
	select {
	case <-ctx.Done():
	case <-drain:
		draining = true
	case err = <-failed:
		err = fmt.Errorf("serve http: %w", err)
	}
	n.api.SetReady(false)
	n.notify(daemon.SdNotifyStopping)
	if draining {
		n.drain(ctx)
	}
	stopWatching()
	stopInvites()
	n.close()
	serving.Wait()
	n.log.Info("stopped")
	return err
}

// notify tells systemd, if it started us.
func (n *node) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("tell systemd", "state", state, "err", err)
	}
}

// drain refuses new relays and sessions, and waits for the relays that are there: at most drain_timeout, or until ctx ends.
func (n *node) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.DrainTimeout)
	defer cancel()
	n.log.Info("draining", "relays", n.turn.Allocations(), "timeout", n.cfg.DrainTimeout)
	n.turn.Drain()
	if err := n.signal.Shutdown(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn("close signaling", "err", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n.turn.Allocations() > 0 {
		select {
		case <-ctx.Done():
			n.log.Info("relays were still there at the end", "relays", n.turn.Allocations())
			return
		case <-tick.C:
		}
	}
}

// close ends everything, in about a second at most.
func (n *node) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := n.signal.Shutdown(ctx); err != nil {
		n.log.Warn("close signaling", "err", err)
	}
	for _, s := range []*http.Server{n.web, n.metrics} {
		if s.Shutdown(ctx) != nil { // a request, or a connection that a browser opened ahead, outlasted the wait
			_ = s.Close()
		}
	}
	n.closeAuth()
	n.closeListeners()
	if err := n.turn.Close(); err != nil {
		n.log.Warn("close turn", "err", err)
	}
}

// banner prints what is served, where and for whom.
func (n *node) banner(w io.Writer) {
	addrs := n.webAddrs()
	state, err := filepath.Abs(n.cfg.StateDir)
	if err != nil {
		state = n.cfg.StateDir
	}
	rows := [][2]string{
		{"web", strings.Join(n.cfg.WebURLs(addrs), "  ")},
		{"turn", cmp.Or(joinStrings(n.turn.Addrs()), "on the web addresses")},
		{"relay", showRelays(n.relays) + ", ports " + n.cfg.TURN.RelayPorts.String()},
		{"who", n.cfg.Who()},
		{"state", state},
	}
	if link := n.firstLink(); link != "" {
		rows = slices.Insert(rows, len(rows)-1, [2]string{"link", link})
	}
	if n.metric != nil {
		rows = append(rows, [2]string{"metrics", "http://" + n.metric.Addr().String() + "/metrics"})
	}
	if n.cfg.File() != "" {
		rows = append(rows, [2]string{"config", n.cfg.File()})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "turnpike %s\n", versionString())
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-8s %s\n", row[0], row[1])
	}
	_, _ = io.WriteString(w, b.String())
}

// The invite that serve prints on a terminal.
const (
	firstRoom = "lobby"
	firstTTL  = 24 * time.Hour
)

// firstLink makes an invite for the person who started the server, where nobody gets in without one. It is empty where
// somebody does, and where the output is no terminal: whoever reads a journal must not get in by what stands there.
func (n *node) firstLink() string {
	if !n.showInvite || n.cfg.AdmitsGuests() {
		return ""
	}
	token, inv, err := n.invites.Issue(auth.Invite{Room: firstRoom, Role: auth.RoleGuest}, firstTTL)
	if err == nil {
		err = n.ledger.Made(inv)
	}
	if err != nil {
		n.log.Error("make an invite to print", "err", err)
		return ""
	}
	return inviteLink(n.cfg.PublicURL(n.webAddrs()), inv.Room, token) + "  (for 24 hours)"
}

func joinStrings[T fmt.Stringer](items []T) string {
	words := make([]string, len(items))
	for i, item := range items {
		words[i] = item.String()
	}
	return strings.Join(words, "  ")
}

func showRelays(relays []turnserver.RelayAddress) string {
	words := make([]string, len(relays))
	for i, r := range relays {
		words[i] = r.Local.String()
		if r.External != r.Local {
			words[i] += " (seen as " + r.External.String() + ")"
		}
	}
	return strings.Join(words, ", ")
}
