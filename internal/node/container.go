package node

import (
	"os"
	"slices"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/turnserver"
)

// InContainer reports whether this process is in a container, by what engines of containers leave there.
func InContainer() bool {
	if os.Getenv("container") != "" || os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	for _, name := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(name); err == nil {
			return true
		}
	}
	return false
}

// checkContainer refuses to relay from the address of a container while clients come from everywhere: they would learn an address that
// none of them reaches. An operator who writes turn.external_addresses has decided, also for an address of a private network. Elsewhere
// the same is a warning only, as private networks have names, too.
func checkContainer(cfg *config.Config, relays []turnserver.RelayAddress) error {
	// Loopback is somebody's deliberate choice.
	isPublic := func(r turnserver.RelayAddress) bool { return !config.PrivateAddress(r.External) }
	if !config.PublicName(cfg.PublicHost) || len(cfg.Externals()) > 0 || len(relays) == 0 || slices.ContainsFunc(relays, isPublic) {
		return nil
	}
	return cfg.Errorf("turn.external_addresses", "does not tell by which address the world knows this container, whose own is %s; set it to { \"0.0.0.0\" = \"the public address of this machine\" } "+
		"(TURNPIKE_TURN_EXTERNAL_ADDRESSES=0.0.0.0=203.0.113.9), or to { \"0.0.0.0\" = %q } if all clients are in that network; or give the container the host's network",
		relays[0].Local, relays[0].Local)
}
