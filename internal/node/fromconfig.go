package node

import (
	"fmt"
	"os"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/signal"
	"example.org/turnpike/turnserver"
)

func secretsOf(secrets []config.Secret) []auth.Secret {
	out := make([]auth.Secret, len(secrets))
	for i, s := range secrets {
		out[i] = auth.NewSecret(s.Bytes())
	}
	return out
}

// turnListeners are the configured listeners. Each default one is optional, since a host may lack its address family.
func turnListeners(cfg *config.Config) []turnserver.Listener {
	var out []turnserver.Listener
	optional := cfg.Source("turn.listen") == ""
	for _, l := range cfg.TURN.Listen {
		out = append(out, turnserver.Listener{Network: l.Network, Addr: l.Addr, Optional: optional})
	}
	for _, l := range cfg.DiscoveryListeners() {
		out = append(out, turnserver.Listener{Network: l.Network, Addr: l.Addr})
	}
	return out
}

func discoveryPairs(cfg *config.Config) []turnserver.DiscoveryPair {
	var out []turnserver.DiscoveryPair
	for _, p := range cfg.Discovery() {
		out = append(out, turnserver.DiscoveryPair(p))
	}
	return out
}

func alternates(cfg *config.Config) []turnserver.Alternate {
	var out []turnserver.Alternate
	for _, a := range cfg.TURN.AlternateServer {
		out = append(out, turnserver.Alternate(a))
	}
	return out
}

func ownPorts(cfg *config.Config) []turnserver.PortRange {
	var out []turnserver.PortRange
	for _, r := range cfg.TURN.AllowOwnPorts {
		out = append(out, turnserver.PortRange(r))
	}
	return out
}

func offloadMode(cfg *config.Config) turnserver.OffloadMode {
	switch cfg.TURN.Offload {
	case config.OffloadRequire:
		return turnserver.OffloadRequire
	case config.OffloadAuto:
		return turnserver.OffloadAuto
	}
	return turnserver.OffloadOff
}

// fewRelays is how many relays a server may reach of which nobody has said how many it needs.
const fewRelays = 1000

// turnLimits are the limits in force. Relays leave a quarter of the sockets that this process may have for everything else: a server
// without any could not even show its pages.
func (n *Node) turnLimits() turnserver.Limits {
	limits, most := turnLimits(n.cfg), openFiles()/4*3
	if limits.Allocations > most {
		say := n.log.Debug // nobody has asked for the default, which is more than most servers ever have
		if asked := config.Default(n.cfg.StateDir).Limits.Allocations != limits.Allocations; asked || most < fewRelays {
			say = n.log.Info
		}
		say("turn: there may be fewer relays than limits.allocations, as this process may open so few files; raise LimitNOFILE, or ulimit -n",
			"relays", most, "limits.allocations", limits.Allocations, "files", openFiles())
		limits.Allocations = most
	}
	return limits
}

func turnLimits(cfg *config.Config) turnserver.Limits {
	l, ofApp := &cfg.Limits, map[string]int{}
	for _, app := range cfg.TURN.Apps {
		if app.Allocations > 0 {
			ofApp[app.Name] = app.Allocations
		}
	}
	return turnserver.Limits{
		AllocationsPerSession:    l.AllocationsPerSession,
		AllocationsPerUser:       l.AllocationsPerUser,
		AllocationsOfApp:         ofApp,
		AllocationsPerAddress:    l.AllocationsPerAddress,
		Allocations:              l.Allocations,
		PermissionsPerAllocation: l.PermissionsPerAllocation,
		ChannelsPerAllocation:    l.ChannelsPerAllocation,
		Streams:                  l.TURNStreams,
		ConnectionsPerAddress:    l.ConnectionsPerAddress,
		Openings:                 l.HalfOpen,
		WaitingBytes:             l.UnreadBytes,
		WaitingBytesPerUser:      l.UnreadBytesPerUser,
		AllocationMaxAge:         l.AllocationMaxAge,

		PendingConnectionsPerAllocation: l.PendingConnectionsPerAllocation,
		PendingConnectionsPerUser:       l.PendingConnectionsPerUser,
		PeerConnectionsPerUser:          l.PeerConnectionsPerUser,
		ConnectsPerMinute:               l.ConnectsPerMinute,
		ConnectTimeout:                  l.ConnectTimeout,
		RequestsPerSecond:               l.RequestsPerSecond,

		BandwidthPerAllocation: l.BandwidthPerAllocation,
		BandwidthPerUser:       l.BandwidthPerUser,
		Bandwidth:              l.Bandwidth,

		UnauthenticatedAnswersPerSecond: l.UnauthenticatedAnswersPerSecond,
		FailedCredentialsPerMinute:      l.FailedCredentialsPerMinute,
	}
}

func signalLimits(l *config.Limits) signal.Limits {
	return signal.Limits{
		Sessions:        l.Sessions,
		SessionsPerAddr: l.SessionsPerAddress,
		BeforeHello:     l.BeforeHello,
		SessionsPerUser: l.SessionsPerUser,
		RoomsPerSession: l.RoomsPerSession,
		KeptBytes:       l.UnacknowledgedBytes,
		ScopeLinger:     max(24*time.Hour, l.AllocationMaxAge), // else a relay would outlive what it may refresh

		Messages:     perSecond(l.MessagesPerSecond),
		UserMessages: perSecond(l.MessagesPerSecondPerUser),
		Joins:        perMinute(l.JoinsPerMinute),
		UserJoins:    perMinute(l.JoinsPerMinutePerUser),
		AddrJoins:    perMinute(l.JoinsPerMinutePerAddress),
		AddrHellos:   perSecond(l.HellosPerSecondPerAddress),
		FailedHellos: perMinute(l.FailedTicketsPerMinute),
	}
}

// perSecond allows n a second, and four times as many at once.
func perSecond(n int) signal.Rate { return signal.Rate{PerSecond: float64(n), Burst: 4 * n} }

// perMinute allows n at once, and as many again each minute.
func perMinute(n int) signal.Rate { return signal.Rate{PerSecond: float64(n) / 60, Burst: n} }

// issuerOf is what a Verifier takes, without the keys of a key file.
func issuerOf(is *config.Issuer) auth.IssuerConfig {
	return auth.IssuerConfig{
		Name: is.Name, Issuer: is.Issuer, Algorithms: is.Algorithms, Audience: is.Audience, Leeway: is.Leeway,
		Secret: auth.NewSecret(is.Secret.Bytes()), JWKSURL: is.JWKSURL,
		NameClaim: is.NameClaim, RoomsClaim: is.RoomsClaim, RoleClaim: is.RoleClaim,
		DefaultRooms: is.DefaultRooms, DefaultRole: auth.Role(is.DefaultRole),
	}
}

// presenceOf is whom the members of each issuer see.
func presenceOf(cfg *config.Config) map[string]signal.Presence {
	out := map[string]signal.Presence{}
	for _, is := range cfg.Auth.Issuers {
		out[is.Name] = signal.Presence(is.Presence)
	}
	return out
}

// maxSessions is how old the sessions of each issuer may become.
func maxSessions(cfg *config.Config) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, is := range cfg.Auth.Issuers {
		out[is.Name] = is.MaxSession
	}
	return out
}

// CheckIssuer judges an issuer's table while the configuration is read.
func CheckIssuer(is *config.Issuer) []config.Fault {
	issuer := issuerOf(is)
	var out []config.Fault
	for _, fault := range issuer.Check() {
		out = append(out, config.Fault{Key: fault.Key, Err: fault.Err})
	}
	return out
}

// issuers reads the key files and returns what a Verifier takes.
func issuers(cfg *config.Config) ([]auth.IssuerConfig, error) {
	out := make([]auth.IssuerConfig, len(cfg.Auth.Issuers))
	for i := range cfg.Auth.Issuers {
		is := &cfg.Auth.Issuers[i]
		out[i] = issuerOf(is)
		if is.KeyFile == "" {
			continue
		}
		key := fmt.Sprintf("auth.issuers[%d].", i)
		name := cfg.IssuerKeyFile(i)
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, cfg.Errorf(key+"key_file", "%w; name the PEM file with the app's public key", err)
		}
		if out[i].Keys, err = auth.ParsePublicKeys(data); err != nil {
			return nil, cfg.Errorf(key+"key_file", "%s %w", name, err)
		}
		for _, fault := range out[i].Check() {
			return nil, cfg.Errorf(key+fault.Key, "%w", fault.Err)
		}
	}
	return out, nil
}
