package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/turnserver"
)

// relayFinder joins the local addresses, configured or found, with the external ones that the world sees. Both may
// change while the server runs.
type relayFinder struct {
	// Static after construction. Tests set other functions.
	cfg    *config.Config
	log    *slog.Logger
	routed func() []netip.Addr                                                   // of the default routes
	find   func() ([]netip.Addr, error)                                          // likewise, or else of any interface
	lookUp func(ctx context.Context, network, name string) ([]netip.Addr, error) // network is ip4 or ip6

	// Owned by first, then by the caller of now.
	found    []netip.Addr
	routedAt time.Time // when there was a default route last

	mu    sync.Mutex
	names map[netip.Addr]netip.Addr // guarded by mu; the addresses of turn.external_addresses that have names, by their left side

	// Owned by first and follow.
	failed  map[netip.Addr]bool       // names that the log has as failed
	doubted map[netip.Addr]netip.Addr // what names have led to once, since when they are looked up sooner
}

const (
	// routeTime is how long the host may be without a default route before any address of an interface will do. A
	// lease that is renewed takes the route away for a moment, and a bridge of containers is no good address.
	routeTime = 10 * time.Second
	// namesInterval is how often names are looked up. Names of home connections live for a minute or so.
	namesInterval = 30 * time.Second
	// nameGrace is how long a name must lead elsewhere before that counts, since it ends the relays of the address before.
	nameGrace  = 10 * time.Second
	lookUpTime = 5 * time.Second
)

func newRelayFinder(cfg *config.Config, log *slog.Logger) *relayFinder {
	return &relayFinder{
		cfg: cfg, log: log, routed: turnserver.RoutedAddresses, find: turnserver.DefaultRelayAddresses, lookUp: net.DefaultResolver.LookupNetIP,
		names: make(map[netip.Addr]netip.Addr), failed: make(map[netip.Addr]bool), doubted: make(map[netip.Addr]netip.Addr),
	}
}

// first returns the addresses at the start, or what is wrong with the configuration.
func (f *relayFinder) first() ([]turnserver.RelayAddress, error) {
	cfg := f.cfg
	local := cfg.TURN.RelayAddresses
	if len(local) == 0 {
		found, err := f.find()
		if err != nil {
			return nil, cfg.Errorf("turn.relay_addresses", "no relay address found: %w; write this machine's address there", err)
		}
		if local = found; len(local) == 0 {
			return nil, cfg.Errorf("turn.relay_addresses", `no relay address found, because this machine has no default route; write its address there, like ["203.0.113.9"]`)
		}
	}
	f.found, f.routedAt = local, time.Now()
	failures := f.lookUpNames(context.Background())
	relays := make([]turnserver.RelayAddress, len(local))
	for i, a := range local {
		external, row := f.externalOf(a)
		if !external.IsValid() {
			return nil, cfg.Errorf("turn.external_addresses", "%q has no address for %s: %w; write one that has, or the address itself", cfg.TURN.ExternalNames[row], a, failures[row])
		}
		relays[i] = turnserver.RelayAddress{Local: a, External: external}
	}
	for _, a := range cfg.Externals() {
		if !a.IsUnspecified() && !slices.Contains(local, a) && !cfg.InDiscovery(a) {
			return nil, cfg.Errorf("turn.external_addresses", "%q is not an address that this server relays from, which are %v", a, local)
		}
	}
	return relays, nil
}

// now returns the addresses as they are known now.
func (f *relayFinder) now() (relays []turnserver.RelayAddress) {
	for _, a := range f.localNow() {
		if external, _ := f.externalOf(a); external.IsValid() {
			relays = append(relays, turnserver.RelayAddress{Local: a, External: external})
		}
	}
	return relays
}

func (f *relayFinder) localNow() []netip.Addr {
	if configured := f.cfg.TURN.RelayAddresses; len(configured) > 0 {
		return configured
	}
	if routed := f.routed(); len(routed) > 0 {
		f.found, f.routedAt = routed, time.Now()
	} else if time.Since(f.routedAt) > routeTime {
		f.found, _ = f.find()
	}
	return f.found
}

// externalOf returns the address by which the world knows a local one, invalid if its name has none. row is the left
// side of the row in turn.external_addresses.
func (f *relayFinder) externalOf(local netip.Addr) (external, row netip.Addr) {
	anyOne := netip.IPv6Unspecified()
	if local.Is4() {
		anyOne = netip.IPv4Unspecified()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, row := range []netip.Addr{local, anyOne} {
		if external, ok := f.cfg.TURN.ExternalAddresses[row]; ok {
			return external, row
		}
		if _, ok := f.cfg.TURN.ExternalNames[row]; ok {
			return f.names[row], row
		}
	}
	return local, local
}

// follow looks names up again until ctx ends, and calls changed when one has another address.
func (f *relayFinder) follow(ctx context.Context, changed func()) {
	if len(f.cfg.TURN.ExternalNames) == 0 {
		return
	}
	timer := time.NewTimer(namesInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		before := f.known()
		for row, err := range f.lookUpNames(ctx) {
			if !f.failed[row] && ctx.Err() == nil {
				f.log.Warn("a name of turn.external_addresses cannot be looked up; its last address stays", "name", f.cfg.TURN.ExternalNames[row], "err", err)
			}
			f.failed[row] = true
		}
		if !maps.Equal(before, f.known()) {
			changed()
		}
		if len(f.doubted) > 0 {
			timer.Reset(nameGrace)
		} else {
			timer.Reset(namesInterval)
		}
	}
}

func (f *relayFinder) known() map[netip.Addr]netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.names)
}

// lookUpNames looks all names up, and returns the errors by row. A name with several addresses keeps the one that it
// had, if that is still among them. Another address counts when a second look finds it, too.
func (f *relayFinder) lookUpNames(ctx context.Context) map[netip.Addr]error {
	failures := make(map[netip.Addr]error)
	for row, name := range f.cfg.TURN.ExternalNames {
		found, err := f.lookUpName(ctx, row, name)
		if err == nil && len(found) == 0 {
			err = errors.New("no such address")
		}
		doubted := f.doubted[row]
		delete(f.doubted, row)
		if err != nil {
			failures[row] = err
			continue
		}
		delete(f.failed, row)
		before, had := f.known()[row]
		switch {
		case slices.Contains(found, before):
		case had && !slices.Contains(found, doubted):
			f.doubted[row] = found[0]
		default:
			now := found[0]
			if had {
				now = doubted
				f.log.Info("a name of turn.external_addresses has another address", "name", name, "before", before, "now", now)
			}
			f.mu.Lock()
			f.names[row] = now
			f.mu.Unlock()
		}
	}
	return failures
}

// lookUpName returns the addresses of a name that are of its row's family, sorted.
func (f *relayFinder) lookUpName(ctx context.Context, row netip.Addr, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	network := "ip6"
	if row.Is4() {
		network = "ip4"
	}
	found, err := f.lookUp(ctx, network, name)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool { return a.Is4() != row.Is4() })
	slices.SortFunc(found, netip.Addr.Compare)
	return found, err
}

// relaysNow are the local addresses that relays are made at now.
func (n *Node) relaysNow() (local []netip.Addr) {
	for _, r := range n.turn.RelayAddresses() {
		local = append(local, r.Local)
	}
	return local
}

// addressesOf are the local and the external addresses.
func addressesOf(relays []turnserver.RelayAddress) (out []netip.Addr) {
	for _, r := range relays {
		out = append(out, r.Local, r.External)
	}
	return out
}

// showRelays is for the banner.
func showRelays(relays []turnserver.RelayAddress) string {
	words := make([]string, len(relays))
	for i, r := range relays {
		words[i] = r.String()
	}
	return strings.Join(words, ", ")
}
