package setup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/testcert"
)

// machine is a made-up one.
type machine struct {
	sources  []netip.Addr
	own      []netip.Addr
	routes   []string
	names    map[string][]netip.Addr
	outside  netip.Addr // by STUN or metadata
	taken    map[string]string
	listen   error
	off      time.Duration
	date     error
	writable error
}

func addrs(text ...string) (out []netip.Addr) {
	for _, s := range text {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func (m *machine) Sources() []netip.Addr   { return m.sources }
func (m *machine) Own() []netip.Addr       { return m.own }
func (m *machine) DefaultRoutes() []string { return m.routes }
func (m *machine) Now() time.Time          { return time.Now() }
func (m *machine) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if found, ok := m.names[host]; ok {
		return found, nil
	}
	return nil, errors.New("no such host")
}
func (m *machine) STUN(context.Context, string, netip.Addr) (netip.Addr, error) {
	if !m.outside.IsValid() {
		return netip.Addr{}, errors.New("no answer")
	}
	return m.outside, nil
}
func (m *machine) Metadata(context.Context, netip.Addr) (netip.Addr, string, error) {
	if !m.outside.IsValid() {
		return netip.Addr{}, "", errors.New("no answer")
	}
	return m.outside, "the metadata of Cloud", nil
}
func (m *machine) Listen(network, addr string) error {
	if _, taken := m.taken[network+" "+addr]; taken {
		return syscall.EADDRINUSE
	}
	if network[3:] == "6" {
		return m.listen
	}
	return nil
}
func (m *machine) Holder(_ context.Context, network, addr string) string {
	return m.taken[network+" "+addr]
}
func (m *machine) Date(context.Context, string, string) (time.Time, error) {
	return time.Now().Add(m.off), m.date
}
func (m *machine) Writable(string, uint64) error { return m.writable }

func options(t *testing.T, args ...string) Options {
	t.Helper()
	var o Options
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	o.Flags = new(config.Flags)
	o.Flags.Register(fs)
	fs.StringVar(&o.From, "from", "", "")
	fs.StringVar(&o.STUN, "stun", "", "")
	fs.BoolVar(&o.CloudMetadata, "cloud-metadata", false, "")
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

func find(t *testing.T, m *machine, args ...string) *Plan {
	t.Helper()
	p, err := Find(t.Context(), m, options(t, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	name    = "turn.example.org"
	public  = "45.33.7.10"
	private = "10.0.0.5"
)

func publicMachine() *machine {
	return &machine{sources: addrs(public, "2600:3c00::10"), routes: []string{"eth0 by 45.33.7.1"}, names: map[string][]netip.Addr{name: addrs(public)}}
}

// TestPlans: what setup finds out by itself, and writes.
func TestPlans(t *testing.T) {
	for title, test := range map[string]struct {
		machine *machine
		args    []string
		host    string
		outside string // of the private address
	}{
		"a name":          {publicMachine(), []string{"--public-host", name}, name, ""},
		"a bare address":  {publicMachine(), nil, public, ""},
		"only IPv6":       {&machine{sources: addrs("2600:3c00::10")}, nil, "2600:3c00::10", ""},
		"NAT by STUN":     {&machine{sources: addrs(private), outside: netip.MustParseAddr(public)}, []string{"--stun", "stun.example.net:3478"}, public, public},
		"NAT in a cloud":  {&machine{sources: addrs(private), outside: netip.MustParseAddr(public)}, []string{"--cloud-metadata"}, public, public},
		"NAT by the name": {&machine{sources: addrs(private), names: map[string][]netip.Addr{name: addrs(public)}}, []string{"--public-host", name}, name, public},
		"a network of its own": {&machine{sources: addrs(private), names: map[string][]netip.Addr{"turn.lan": addrs(private)}},
			[]string{"--public-host", "turn.lan", "--tls-acme-directory", "https://ca.lan/acme"}, "turn.lan", ""},
		"NAT, said": {&machine{sources: addrs(private)}, []string{"--public-host", public}, public, public},
	} {
		t.Run(title, func(t *testing.T) {
			p := find(t, test.machine, test.args...)
			if p.Fatal() {
				t.Errorf("%v", p.Findings)
			}
			c := p.Config
			if c.PublicHost != test.host || c.TLS.Mode != config.TLSACME || c.StateDir != StateDir || !slices.Equal(c.HTTP.Listen, []string{":443"}) {
				t.Errorf("public_host %s, tls.mode %s, state_dir %s, http.listen %v", c.PublicHost, c.TLS.Mode, c.StateDir, c.HTTP.Listen)
			}
			if outside := c.TURN.ExternalAddresses[netip.MustParseAddr(private)]; test.outside != "" && outside.String() != test.outside {
				t.Errorf("outside it is %v", outside)
			}
			again := filepath.Join(t.TempDir(), "turnpike.toml")
			if err := os.WriteFile(again, []byte(p.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			if read, err := config.LoadFile(again); err != nil || read.PublicHost != test.host || read.TLS.Mode != config.TLSACME {
				t.Errorf("read again: %v\n%s", err, p.Text)
			}
		})
	}
}

// TestNoAddress: setup asks nobody unless it is told whom.
func TestNoAddress(t *testing.T) {
	m := &machine{sources: addrs(private), outside: netip.MustParseAddr(public)}
	for _, args := range [][]string{nil, {"--public-host", name}} {
		if _, err := Find(t.Context(), m, options(t, args...)); !errors.Is(err, errNoAddress) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, err := Find(t.Context(), &machine{}, options(t)); err == nil || !strings.Contains(err.Error(), "no default route") {
		t.Error(err)
	}
}

// TestFindings: each thing that is wrong is one line with a remedy, and keeps setup from going on if the server could not serve.
func TestFindings(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := testcert.Write(dir, -time.Hour, name); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(state, "secret"), nil, 0o600), os.Chmod(filepath.Join(state, "secret"), 0o644)); err != nil {
		t.Fatal(err)
	}
	files := []string{"--public-host", name, "--tls-mode", "files", "--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem")}
	for title, test := range map[string]struct {
		change func(*machine)
		args   []string
		want   string
		fatal  bool
	}{
		"a name that leads elsewhere": {func(m *machine) { m.names[name] = addrs("45.33.7.11") }, nil, name + " leads to 45.33.7.11, and this machine is 45.33.7.10 and 2600:3c00::10; correct the record", true},
		"a name of several nodes":     {func(m *machine) { m.names[name] = addrs(public, "45.33.7.11") }, nil, name + " leads to 45.33.7.11, too", false},
		"no such name":                {func(m *machine) { delete(m.names, name) }, nil, "give it an A or AAAA record that leads to this machine (45.33.7.10", true},
		"another's address":           {func(*machine) {}, []string{"--public-host", "45.33.7.99"}, "public_host is 45.33.7.99, and this machine is 45.33.7.10", true},
		"a port taken":                {func(m *machine) { m.taken = map[string]string{"tcp :443": "nginx (process 12)"} }, nil, "tcp :443 is taken by nginx (process 12)", true},
		"a port of UDP":               {func(m *machine) { m.taken = map[string]string{"udp4 0.0.0.0:3478": "turnserver (process 9)"} }, nil, "udp4 0.0.0.0:3478 is taken by turnserver (process 9)", true},
		"port 80 taken":               {func(m *machine) { m.taken = map[string]string{"tcp :80": "apache2 (process 3)"} }, nil, "the certificate then comes by port 443 alone", false},
		"no IPv6":                     {func(m *machine) { m.sources, m.listen = addrs(public), syscall.EAFNOSUPPORT }, nil, "no IPv6 default route", false},
		"two default routes":          {func(m *machine) { m.routes = []string{"eth0 by 45.33.7.1", "eth1 by 10.0.0.1"} }, nil, "2 default routes (eth0 by 45.33.7.1, eth1 by 10.0.0.1); relays use 45.33.7.10", false},
		"a wrong clock":               {func(m *machine) { m.off = time.Hour }, nil, "the clock of this machine is off by 1h0m0s; set it: timedatectl set-ntp true", true},
		"no directory":                {func(m *machine) { m.date = errors.New("no route to host") }, nil, "cannot be reached now (no route to host)", false},
		"no room":                     {func(m *machine) { m.writable = errors.New("read-only file system") }, nil, "/var/lib/turnpike cannot keep the server's state: read-only file system; make it writable", true},
		"not root":                    {func(m *machine) { m.writable = fmt.Errorf("open: %w", fs.ErrPermission) }, nil, "/var/lib/turnpike was not tried, as only root may write there", false},
		"a state elsewhere":           {func(*machine) {}, []string{"--public-host", name, "--state", "/srv/turnpike"}, "state_dir is /srv/turnpike, and the service may write to /var/lib/turnpike alone", true},
		"an expired certificate":      {func(*machine) {}, files, "expired on ", true},
		"a relative path":             {func(*machine) {}, []string{"--public-host", name, "--tls-mode", "files", "--tls-cert-file", "cert.pem", "--tls-key-file", "/k"}, "tls.cert_file is \"cert.pem\"; the service runs in another folder, so write the whole path", true},
		"a secret for everybody":      {func(*machine) {}, []string{"--public-host", name, "--state", state}, "/secret has mode 0644, which lets others in, so the server does not start; chmod 600 it", true},
		"a key for everybody":         {func(*machine) {}, files, "everybody on this machine may read the key", false},
	} {
		t.Run(title, func(t *testing.T) {
			m := publicMachine()
			test.change(m)
			args := test.args
			if args == nil {
				args = []string{"--public-host", name}
			}
			p := find(t, m, args...)
			i := slices.IndexFunc(p.Findings, func(f Finding) bool { return strings.Contains(strings.ToLower(f.Text), strings.ToLower(test.want)) })
			if i < 0 || p.Findings[i].Fatal != test.fatal {
				t.Errorf("%v", p.Findings)
			}
		})
	}
}

// TestFrom: a turnserver.conf becomes a configuration that the server takes, with its secrets apart, and flags win over it.
func TestFrom(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	conf := filepath.Join(t.TempDir(), "turnserver.conf")
	text := "use-auth-secret\nstatic-auth-secret=" + secret + "\nrealm=north.gov\nmin-port=50000\nmax-port=51000\nuser-quota=12\n" +
		"denied-peer-ip=83.166.64.0-83.166.95.255\nallowed-peer-ip=83.166.68.45\nlistening-ip=45.33.7.10\nuser=ada:lovelace\nmax-bps=500000\nno-tcp-relay\nmobility\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := find(t, publicMachine(), "--from", conf, "--turn-realm", "south.gov")
	c := p.Config
	if c.TURN.Realm != "south.gov" || c.TURN.RelayPorts.Min != 50000 || c.Limits.AllocationsPerUser != 12 || len(c.TURN.Listen) != 2 || c.TURN.TCPRelaying || !c.TURN.Mobility {
		t.Errorf("%+v", c.TURN)
	}
	if !slices.Equal(p.Secrets, []string{secret}) || strings.Contains(p.Text, secret) || len(p.Carried.Left) != 1 {
		t.Errorf("%v\n%s", p.Carried.Left, p.Text)
	}
	if slices.ContainsFunc(c.TURN.DenyPeers, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr("83.166.68.45")) }) {
		t.Errorf("what coturn allows is denied: %v", c.TURN.DenyPeers)
	}
	if _, err := Find(t.Context(), publicMachine(), options(t, "--from", "/nowhere")); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// TestInstall: the files are there with their modes, secrets are hidden, and nothing is written over.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	self := filepath.Join(t.TempDir(), "turnpike")
	if err := os.WriteFile(self, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	var ran []string
	i := &Installer{Root: root, Self: self, Run: func(_ context.Context, name string, args ...string) error {
		ran = append(ran, name+" "+strings.Join(args, " "))
		return nil
	}}
	p := find(t, publicMachine(), "--public-host", name)
	p.Secrets = []string{"a-secret-of-an-app"}
	for _, s := range i.Steps(p) {
		if strings.Contains(s.Detail+s.Text, "a-secret") {
			t.Errorf("%s shows the secret", s.Text)
		}
		if s.Last != (s.Text == "write "+ConfigFile) {
			t.Errorf("%s: after it setup cannot run again: %v", s.Text, s.Last)
		}
		if err := s.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]struct {
		mode os.FileMode
		text string
	}{
		ConfigFile: {0o644, p.Text}, EnvFile: {0o600, "TURNPIKE_TURN_SHARED_SECRETS='[\"a-secret-of-an-app\"]'\n"}, Program: {0o755, "a program"},
		UnitFile: {0o644, "ExecStart=/usr/bin/turnpike serve --config /etc/turnpike/turnpike.toml"},
	} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil || info.Mode().Perm() != want.mode {
			t.Errorf("%s: %v %v", path, err, info)
			continue
		}
		if text, _ := os.ReadFile(filepath.Join(root, path)); !strings.Contains(string(text), want.text) {
			t.Errorf("%s: %s", path, text)
		}
	}
	if want := []string{"systemctl daemon-reload", "systemctl enable turnpike.service", "systemctl restart turnpike.service"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q", ran)
	}
	p.Findings = nil
	if i.Steps(p); len(p.Findings) > 0 {
		t.Errorf("with this program in place: %v", p.Findings)
	}
	if err := os.WriteFile(self, []byte("a newer program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if i.Steps(p); len(p.Findings) != 1 || p.Fatal() || !strings.Contains(p.Findings[0].Text, "another build than this program") {
		t.Errorf("with another program in place: %v", p.Findings)
	}
	p.Findings = nil
	if err := errors.Join(os.WriteFile(i.at(UnitFile), []byte("[Service]\n"), 0o644), os.WriteFile(self, []byte("a program"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if i.Steps(p); len(p.Findings) != 1 || p.Fatal() || !strings.Contains(p.Findings[0].Text, UnitFile+" is there already, and is another than that of this version") {
		t.Errorf("with an older unit: %v", p.Findings)
	}
	if err := i.CheckFree(); err == nil || !strings.Contains(err.Error(), "writes over none") {
		t.Errorf("the second time: %v", err)
	}
}

// TestInstallFails: after a step that fails, setup can be run again, and no secrets of others are written over.
func TestInstallFails(t *testing.T) {
	i := &Installer{Root: t.TempDir(), Self: "/nowhere", Run: func(context.Context, string, ...string) error { return nil }}
	p := find(t, publicMachine(), "--public-host", name)
	p.Secrets = []string{"a-secret-of-an-app"}
	install := func() (err error) {
		for _, s := range i.Steps(p) {
			if err = s.Do(t.Context()); err != nil {
				break
			}
		}
		return err
	}
	if err := install(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := i.CheckFree(); err != nil {
		t.Errorf("again: %v", err)
	}
	if i.Steps(p); p.Fatal() {
		t.Errorf("again: %v", p.Findings)
	}
	if err := os.WriteFile(i.at(EnvFile), []byte("TURNPIKE_AUTH_API_KEYS=another-secret-here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i.Steps(p); !p.Fatal() {
		t.Error("it would write over other secrets")
	}
}

// TestCredentials: the drop-in names the certificate's files, whatever systemd makes of a "%".
func TestCredentials(t *testing.T) {
	c := &config.Config{}
	c.TLS.CertFile, c.TLS.KeyFile = "/etc/50%s/cert.pem", "/etc/key.pem"
	if got := credentials(c); !strings.Contains(got, "\nLoadCredential=cert.pem:/etc/50%%s/cert.pem\nLoadCredential=key.pem:/etc/key.pem\n") {
		t.Error(got)
	}
}

// TestFirewallInside: listeners that nobody outside reaches need no line.
func TestFirewallInside(t *testing.T) {
	p := find(t, publicMachine(), "--public-host", name, "--http-trusted-proxies", "127.0.0.1", "--http-listen", "127.0.0.1:8080", "--http-redirect-listen", "",
		"--turn-listen", "udp://0.0.0.0:3478,tcp://127.0.0.1:3479,udp://[::1]:3480")
	if got := strings.Join(Firewall(p.Config), "\n"); got != "nft insert rule inet filter input udp dport { 3478, 49152-65535 } accept\nufw allow 3478,49152:65535/udp" {
		t.Error(got)
	}
	acme := find(t, publicMachine(), "--http-redirect-listen", "127.0.0.1:80")
	if tcp, _ := acme.Config.PortLists(); slices.Contains(tcp, "80") {
		t.Error(tcp)
	}
}

// TestFirewall: the lines have every port that strangers need.
func TestFirewall(t *testing.T) {
	got := strings.Join(Firewall(find(t, publicMachine()).Config), "\n")
	want := `nft insert rule inet filter input tcp dport { 443, 80, 3478 } accept
nft insert rule inet filter input udp dport { 3478, 49152-65535 } accept
ufw allow 443,80,3478/tcp
ufw allow 3478,49152:65535/udp`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
