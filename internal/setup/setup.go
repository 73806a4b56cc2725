// Package setup brings a server into being on a bare machine: `turnpike setup`.
//
//	Options ── Find ──▶ Plan: keys, addresses, findings ── Write, Start ──▶ files, service
//	             │
//	          Machine: what the machine says of addresses, names, ports and time
//
// Find changes nothing. What it finds wrong is a Finding with a remedy; a Finding that is Fatal keeps Write from being called.
// Package coturn below reads another server's configuration.
package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/setup/coturn"
)

// Paths of an installed server. The unit has them, too.
const (
	ConfigFile  = "/etc/turnpike/turnpike.toml"
	EnvFile     = "/etc/turnpike/turnpike.env"
	StateDir    = "/var/lib/turnpike"
	Program     = "/usr/bin/turnpike"
	UnitFile    = "/etc/systemd/system/turnpike.service"
	PackageUnit = "/usr/lib/systemd/system/turnpike.service"
)

// Options are what the operator has said.
type Options struct {
	Flags *config.Flags // keys that the file must have

	STUN          string // host:port of a STUN server that may be asked for the public address; empty: none
	CloudMetadata bool   // whether the metadata service of the cloud may be asked
	From          string // a turnserver.conf; empty: none
}

// CarriedNote is about a line of the other server's configuration.
type CarriedNote = coturn.Note

// Plan is what setup would do.
type Plan struct {
	Config   *config.Config
	Text     string   // of the configuration file
	Secrets  []string // for EnvFile
	Carried  *coturn.Result
	Findings []Finding

	review bool // a server is set up, and may be running
}

// Finding is something that the operator should know.
type Finding struct {
	Fatal bool // the server could not serve
	Text  string
}

// Fatal reports whether anything keeps the server from serving.
func (p *Plan) Fatal() bool {
	return slices.ContainsFunc(p.Findings, func(f Finding) bool { return f.Fatal })
}

func (p *Plan) wrong(format string, args ...any) {
	p.Findings = append(p.Findings, Finding{true, fmt.Sprintf(format, args...)})
}

func (p *Plan) note(format string, args ...any) {
	p.Findings = append(p.Findings, Finding{false, fmt.Sprintf(format, args...)})
}

// errNoAddress is why there can be no configuration.
var errNoAddress = errors.New("this machine has no public address of its own, and nothing says which one leads to it; " +
	"name a STUN server with --stun HOST:PORT, say --cloud-metadata in a cloud, or write --turn-external-addresses PRIVATE=PUBLIC")

// Find makes a plan, and changes nothing.
func Find(ctx context.Context, m Machine, o Options) (*Plan, error) {
	p := &Plan{}
	if o.From != "" {
		if err := p.carryOver(o); err != nil {
			return nil, err
		}
	}
	o.Flags.Suggest("state_dir", StateDir, "setup")
	if err := p.addresses(ctx, m, o); err != nil {
		return nil, err
	}
	if _, given := o.Flags.Given("http.trusted_proxies"); !given {
		o.Flags.Suggest("tls.mode", config.TLSACME, "setup")
		if mode, _ := o.Flags.Given("tls.mode"); mode == config.TLSFiles {
			o.Flags.Suggest("http.listen", ":443", "setup")
		}
	}
	var err error
	if p.Config, err = o.Flags.Parsed(); err != nil {
		return nil, err
	}
	if p.Text, err = o.Flags.Starter(); err != nil {
		return nil, err
	}
	p.checkDNS(ctx, m)
	p.checkPorts(ctx, m)
	p.checkClock(ctx, m)
	p.checkState(m)
	p.checkFiles(m)
	p.checkSecrets("", EnvFile)
	return p, nil
}

// carryOver takes what a turnserver.conf has, where flags do not say otherwise.
func (p *Plan) carryOver(o Options) error {
	text, err := os.ReadFile(o.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if p.Carried, err = coturn.Convert(string(text), filepath.Dir(o.From)); err != nil {
		return fmt.Errorf("--from %s: %w", o.From, err)
	}
	p.Secrets = p.Carried.Secrets
	for _, key := range slices.Sorted(maps.Keys(p.Carried.Keys)) {
		o.Flags.Suggest(key, p.Carried.Keys[key], o.From)
	}
	return nil
}

// addresses finds the host's own addresses, and public ones for those that are private.
func (p *Plan) addresses(ctx context.Context, m Machine, o Options) error {
	own := m.Sources()
	if len(own) == 0 {
		return errors.New("this machine has no default route, so that nobody outside can reach it; connect it, and try again")
	}
	p.checkRoutes(m, own)
	host, _ := o.Flags.Given("public_host")
	mapped := map[netip.Addr]netip.Addr{}
	_, given := o.Flags.Given("turn.external_addresses")
	public := netip.Addr{}
	for _, local := range own {
		outside := local
		if !isPublic(local) && !given {
			var how string
			if outside, how = p.outside(ctx, m, o, host, local); !outside.IsValid() {
				continue
			}
			mapped[local] = outside
			p.note("%s is private; %s is its public address, by %s. A 1:1 NAT must lead all ports there", local, outside, how)
		}
		if isPublic(outside) && (!public.IsValid() || outside.Is4()) {
			public = outside
		}
	}
	if len(mapped) > 0 {
		var rows []string
		for local, outside := range mapped {
			rows = append(rows, local.String()+"="+outside.String())
		}
		slices.Sort(rows)
		o.Flags.Suggest("turn.external_addresses", strings.Join(rows, ","), "setup")
	}
	if host == "" && public.IsValid() {
		o.Flags.Suggest("public_host", public.String(), "setup")
	} else if !public.IsValid() && (host == "" || !given && !inside(o.Flags)) {
		return errNoAddress
	}
	return nil
}

// inside reports whether the flags tell of a server for a network of one's own: the certificate is of files, or of a directory that is
// not Let's Encrypt's.
func inside(flags *config.Flags) bool {
	mode, given := flags.Given("tls.mode")
	_, ownDirectory := flags.Given("tls.acme_directory")
	return given && mode != config.TLSACME || ownDirectory
}

// outside asks what the operator allows to be asked for the public address of a private one.
func (p *Plan) outside(ctx context.Context, m Machine, o Options, host string, local netip.Addr) (netip.Addr, string) {
	if o.STUN != "" {
		if a, err := m.STUN(ctx, o.STUN, local); err == nil && isPublic(a) {
			return a, "STUN from " + o.STUN
		} else if err != nil {
			p.note("%s does not tell the public address of %s: %v", o.STUN, local, err)
		}
	}
	if o.CloudMetadata {
		if a, how, err := m.Metadata(ctx, local); err == nil && isPublic(a) {
			return a, how
		} else if err != nil {
			p.note("no cloud's metadata tells the public address of %s: %v", local, err)
		}
	}
	if a, err := netip.ParseAddr(host); err == nil && isPublic(a) && a.Is4() == local.Is4() {
		return a, "--public-host"
	}
	if host != "" && local.Is4() {
		addrs, _ := m.Resolve(ctx, host)
		for _, a := range addrs {
			if isPublic(a) && a.Is4() == local.Is4() {
				return a, "the DNS record of " + host
			}
		}
	}
	return netip.Addr{}, ""
}

// isPublic reports whether the whole Internet may reach an address.
func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !config.PrivateAddress(a)
}

func joinAddrs(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, " and ")
}
