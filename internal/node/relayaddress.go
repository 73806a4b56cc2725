package node

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"turnpike/internal/config"
	"turnpike/turnserver"
)

// relayAddresses joins the local addresses, configured or found, with the external ones that the world sees.
func relayAddresses(cfg *config.Config, find func() ([]netip.Addr, error)) ([]turnserver.RelayAddress, error) {
	local := cfg.TURN.RelayAddresses
	if len(local) == 0 {
		found, err := find()
		if err != nil {
			return nil, cfg.Errorf("turn.relay_addresses", "no relay address found: %w; write this machine's address there", err)
		}
		if local = found; len(local) == 0 {
			return nil, cfg.Errorf("turn.relay_addresses", `no relay address found, because this machine has no default route; write its address there, like ["203.0.113.9"]`)
		}
	}
	relays := make([]turnserver.RelayAddress, len(local))
	for i, a := range local {
		relays[i] = turnserver.RelayAddress{Local: a, External: a}
		if external, ok := cfg.TURN.ExternalAddresses[a]; ok {
			relays[i].External = external
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(cfg.TURN.ExternalAddresses), netip.Addr.Compare) {
		if !slices.Contains(local, a) && !cfg.InDiscovery(a) {
			return nil, cfg.Errorf("turn.external_addresses", "%q is not an address that this server relays from, which are %v", a, local)
		}
	}
	return relays, nil
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
		words[i] = r.Local.String()
		if r.External != r.Local {
			words[i] += " (seen as " + r.External.String() + ")"
		}
	}
	return strings.Join(words, ", ")
}
