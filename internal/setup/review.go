package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"example.org/turnpike/internal/config"
)

// Review finds what is wrong with a server that is set up, as Find does beforehand. running says that it answers, so that it has its
// ports. `turnpike check` shows the findings.
func Review(ctx context.Context, m Machine, c *config.Config, running bool) []Finding {
	p := &Plan{Config: c, review: true}
	if !c.LocalOnly() {
		own := m.Sources()
		switch {
		case len(own) > 0 || len(c.TURN.RelayAddresses) > 0:
		case !config.PublicName(c.PublicHost):
			p.note("this machine has no default route, so that only its own network reaches it")
		default:
			p.wrong("this machine has no default route, so that nobody outside can reach it")
		}
		p.checkRoutes(m, own)
		if c.PublicHost != "" {
			p.checkDNS(ctx, m)
		}
	}
	if !running {
		p.checkPorts(ctx, m)
	}
	p.checkClock(ctx, m)
	p.checkState(m)
	p.checkFiles(m)
	p.checkSecrets(c.File(), EnvFile)
	p.checkACME()
	return p.Findings
}

// checkRoutes names what is unusual about the ways out.
func (p *Plan) checkRoutes(m Machine, own []netip.Addr) {
	if routes := m.DefaultRoutes(); len(routes) > 1 && (p.Config == nil || len(p.Config.TURN.RelayAddresses) == 0) {
		p.note("this machine has %d default routes (%s); relays use %s. For another address set turn.relay_addresses",
			len(routes), strings.Join(routes, ", "), joinAddrs(own))
	}
	if len(own) > 0 && !slices.ContainsFunc(own, netip.Addr.Is6) {
		p.note("this machine has no IPv6 default route: clients that have only IPv6 reach it by their provider's NAT64 alone")
	}
}

// checkSecrets sees that nobody else on the machine can read the secrets that are there.
func (p *Plan) checkSecrets(configFile, envFile string) {
	if runtime.GOOS == "windows" { // which has access lists, and shows no modes
		return
	}
	secret := p.Config.SecretFile()
	if mode, ok := modeOf(secret); ok && mode&0o077 != 0 {
		p.wrong("%s has mode %04o, which lets others in, so the server does not start; chmod 600 it", secret, mode)
	}
	for _, file := range []struct {
		name    string
		secrets bool
	}{{configFile, configFile != "" && hasSecrets(configFile)}, {envFile, true}} {
		if mode, ok := modeOf(file.name); file.secrets && ok && mode&0o004 != 0 {
			p.note("%s has secrets, and mode %04o lets everybody on this machine read them; chmod 600 it, and have systemd hand it to the service (LoadCredential, or EnvironmentFile)",
				file.name, mode)
		}
	}
	dir := p.Config.ACMEDir()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".key" {
			return err
		}
		if mode, ok := modeOf(path); ok && mode&0o077 != 0 {
			p.wrong("the key %s has mode %04o, which lets others in; chmod 600 it", path, mode)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		p.note("%s cannot be read: %v", dir, err)
	}
}

func modeOf(name string) (fs.FileMode, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	return info.Mode().Perm(), true
}

// hasSecrets reports whether a configuration file itself holds any.
func hasSecrets(name string) bool {
	c, err := config.LoadFile(name)
	if err != nil {
		return false
	}
	ofIssuer := func(is config.Issuer) bool { return !is.Secret.IsZero() }
	return len(c.TURN.SharedSecrets) > 0 || len(c.TURN.Apps) > 0 || len(c.Auth.APIKeys) > 0 || slices.ContainsFunc(c.Auth.Issuers, ofIssuer)
}

// checkACME tells what the running server was told when it last asked for a certificate in vain.
func (p *Plan) checkACME() {
	if p.Config.TLS.Mode != config.TLSACME {
		return
	}
	if said := ACMEProblem(p.Config); said != "" {
		p.wrong("there is no new certificate: %s", said)
	}
}

// ACMEProblem is why the server has no new certificate; empty if nothing is known to be wrong.
func ACMEProblem(c *config.Config) string {
	text, err := os.ReadFile(c.ACMEProblemFile())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// ours reports whether a holder of a port is a turnpike, or cannot be told.
func ours(holder string) bool {
	return holder == "" || holder == unseen || strings.HasPrefix(holder, "turnpike") || strings.HasSuffix(holder, fmt.Sprintf("(process %d)", os.Getpid()))
}

// unseen is the holder of a port that this user may not see.
const unseen = "a process that this user may not see"
