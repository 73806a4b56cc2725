package setup

import (
	"errors"
	"fmt"
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

// configured is a server as setup leaves it, with its state in a folder of the test, and more lines.
func configured(t *testing.T, lines string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "turnpike.toml")
	text := "public_host = \"" + name + "\"\n" + lines
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.MkdirAll(filepath.Join(dir, "turnpike-state", "acme"), 0o700)); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReview: what setup names for a bare machine, check names for the server that is set up there, and nothing for one that is well.
func TestReview(t *testing.T) {
	const acme = "tls.mode = \"acme\"\n"
	certificate := func(t *testing.T, lifetime time.Duration, mode os.FileMode) string {
		t.Helper()
		dir := t.TempDir()
		cert, key, err := testcert.Write(dir, lifetime, name)
		if err != nil || os.Chmod(key, mode) != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("http.listen = [\":443\"]\ntls = { mode = \"files\", cert_file = %q, key_file = %q }\n", cert, key)
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	for title, test := range map[string]struct {
		lines  string
		change func(*machine, *config.Config)
		want   string // empty: nothing is wrong
		fatal  bool
	}{
		"all is well":       {acme, func(*machine, *config.Config) {}, "", false},
		"its own ports":     {acme, func(m *machine, _ *config.Config) { m.taken = map[string]string{"tcp :443": "turnpike (process 12)"} }, "", false},
		"a port of another": {acme, func(m *machine, _ *config.Config) { m.taken = map[string]string{"tcp :443": "nginx (process 12)"} }, "tcp :443 is taken by nginx (process 12)", true},
		"a port of UDP": {acme, func(m *machine, _ *config.Config) {
			m.taken = map[string]string{"udp4 0.0.0.0:3478": "turnserver (process 9)"}
		}, "is taken by turnserver", true},
		"a name elsewhere":  {acme, func(m *machine, _ *config.Config) { m.names[name] = addrs("45.33.7.11") }, name + " leads to 45.33.7.11, and this machine is", true},
		"a name of several": {acme, func(m *machine, _ *config.Config) { m.names[name] = addrs(public, "45.33.7.11") }, "leads to 45.33.7.11, too", false},
		"a name that changes": {acme + "turn.external_addresses = { \"0.0.0.0\" = \"home.example.org\" }\n", func(m *machine, _ *config.Config) {
			m.sources, m.names[name], m.names["home.example.org"] = addrs(private, "2600:3c00::10"), addrs("45.33.7.77"), addrs("45.33.7.77")
		}, "", false},
		"no such name":       {acme, func(m *machine, _ *config.Config) { delete(m.names, name) }, "give it an A or AAAA record", true},
		"its name in a file": {acme, func(m *machine, _ *config.Config) { m.names[name] = addrs("127.0.1.1") }, "/etc/hosts leads " + name + " to this machine", false},
		"no IPv6":            {acme, func(m *machine, _ *config.Config) { m.sources = addrs(public) }, "no IPv6 default route", false},
		"two default routes": {acme, func(m *machine, _ *config.Config) { m.routes = []string{"eth0 by 45.33.7.1", "eth1"} }, "2 default routes (eth0 by 45.33.7.1, eth1)", false},
		"no default route":   {acme, func(m *machine, _ *config.Config) { m.sources = nil }, "no default route, so that nobody outside", true},
		"a network of its own": {"http.listen = [\":8080\"]\n", func(m *machine, c *config.Config) {
			c.PublicHost, m.sources, m.routes, m.names["turn.lan"] = "turn.lan", nil, nil, addrs("10.0.0.5")
			m.own = addrs("10.0.0.5")
		}, "no default route, so that only its own network", false},
		"a wrong clock":        {acme, func(m *machine, _ *config.Config) { m.off = -time.Hour }, "the clock of this machine is off by", true},
		"a full disk":          {acme, func(m *machine, _ *config.Config) { m.writable = errors.New("/x has only 0 bytes of room") }, "cannot keep the server's state: /x has only 0 bytes of room", true},
		"a read-only disk":     {acme, func(m *machine, _ *config.Config) { m.writable = syscall.EROFS }, "cannot keep the server's state: read-only file system", true},
		"a secret for all":     {acme, func(_ *machine, c *config.Config) { write(c.SecretFile(), "x", 0o644) }, "/secret has mode 0644, which lets others in", true},
		"a key for all":        {acme, func(_ *machine, c *config.Config) { write(filepath.Join(c.ACMEDir(), "turn.key"), "x", 0o640) }, "turn.key has mode 0640", true},
		"secrets for all":      {acme + "turn.shared_secrets = [\"0123456789abcdef\"]\n", func(_ *machine, c *config.Config) { write(c.File(), read(t, c.File()), 0o644) }, "has secrets, and mode 0644 lets everybody", false},
		"no secrets, for all":  {acme, func(_ *machine, c *config.Config) { write(c.File(), read(t, c.File()), 0o644) }, "", false},
		"a directory's no":     {acme, func(_ *machine, c *config.Config) { write(c.ACMEProblemFile(), "the directory refuses: why\n", 0o600) }, "there is no new certificate: the directory refuses: why", true},
		"an old certificate":   {certificate(t, -time.Hour, 0o600), func(*machine, *config.Config) {}, "expired on ", true},
		"a certificate's key":  {certificate(t, time.Hour, 0o644), func(*machine, *config.Config) {}, "everybody on this machine may read the key", false},
		"a server of its own":  {"", func(m *machine, c *config.Config) { c.PublicHost = ""; m.sources, m.routes = nil, []string{"a", "b"} }, "", false},
		"a certificate's room": {certificate(t, time.Hour, 0o600), func(*machine, *config.Config) {}, "", false},
	} {
		t.Run(title, func(t *testing.T) {
			m, c := publicMachine(), configured(t, test.lines)
			test.change(m, c)
			found := Review(t.Context(), m, c, false)
			if busy := "is taken by"; strings.Contains(fmt.Sprint(Review(t.Context(), m, c, true)), busy) {
				t.Error("a server that answers has its ports, and they are reported")
			}
			switch i := slices.IndexFunc(found, func(f Finding) bool { return strings.Contains(f.Text, test.want) }); {
			case test.want == "" && len(found) > 0, test.want != "" && (i < 0 || found[i].Fatal != test.fatal):
				t.Errorf("%v", found)
			}
		})
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
