package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// starterKey is a key that most operators look at.
type starterKey struct{ comment, example string }

// starterKeys are the keys that a first file names, set or not.
func starterKeys() map[string]starterKey {
	return map[string]starterKey{
		"public_host": {"The name or address by which clients reach this server.", `"turn.example.org"`},
		"state_dir": {"The generated secret and the list of invites. A path starts from the folder of this file. Keep it, and keep it secret.",
			`"turnpike-state"`},
		"http.listen": {"Web pages, signaling, and TURN over TCP, or over TLS with a certificate.", `["127.0.0.1:8080"]`},
		"http.trusted_proxies": {"If a reverse proxy holds the certificate: where it connects from. It must hand on Upgrade and Connection,\n" +
			"and set X-Forwarded-For.", `["127.0.0.1/32"]`},
		"tls.mode": {"With \"acme\", https with a certificate that the server gets and renews; with \"files\", with yours. Browsers give camera and\n" +
			"microphone to https pages only.", `"files"`},
		"tls.cert_file": {"The certificate, followed by its chain. The server reads a renewed one by itself.", `"fullchain.pem"`},
		"tls.key_file":  {"", `"privkey.pem"`},
		"turn.external_addresses": {"On a machine whose own address is private, behind a 1:1 NAT: its own address on the left, the public one on the right.",
			`{ "10.0.0.5" = "203.0.113.9" }`},
		"turn.shared_secrets": {"For apps that mint coturn's REST credentials. Better in the variable TURNPIKE_TURN_SHARED_SECRETS: others may read this file.",
			`["a long random string"]`},
		"auth.guests": {"Who gets in without an invite: \"loopback\" (people on this machine, while nobody else can reach it), \"always\" or \"never\".",
			`"never"`},
	}
}

// Starter returns a first configuration file with the values of the flags. A public_host makes it https on port 443,
// unless the flags say otherwise or name a reverse proxy.
func (f *Flags) Starter() (string, error) {
	c := Default(defaultStateName)
	set := map[string]string{}
	for name, values := range f.set {
		set[name] = strings.Join(values, ",")
	}
	public := set["public_host"] != "" && !LoopbackHost(set["public_host"])
	if public && set["http.trusted_proxies"] == "" && cmp.Or(set["tls.mode"], TLSFiles) == TLSFiles {
		for name, value := range map[string]string{
			"http.listen": ":443", "tls.mode": TLSFiles, "tls.cert_file": "fullchain.pem", "tls.key_file": "privkey.pem",
		} {
			set[name] = cmp.Or(set[name], value)
		}
	}
	set["state_dir"] = cmp.Or(set["state_dir"], c.StateDir)
	var bad []error
	for _, k := range c.keys() {
		if value, ok := set[k.name]; ok {
			bad = append(bad, c.setText(k, cmp.Or(f.names[k.name], "turnpike init"), value)...)
		}
	}
	c.defaultListeners()
	if len(bad) == 0 {
		bad = c.check()
	}
	return c.starter(set), errors.Join(bad...)
}

// Suggest sets a key that no flag has set. source is what an error calls it.
func (f *Flags) Suggest(key, value, source string) {
	if _, given := f.set[key]; !given {
		f.set[key], f.names[key] = []string{value}, source
	}
}

// Given returns what the flags set a key to, and whether they do.
func (f *Flags) Given(key string) (value string, given bool) {
	values, given := f.set[key]
	return strings.Join(values, ","), given
}

// Parsed returns the configuration that the flags alone make.
func (f *Flags) Parsed() (*Config, error) {
	alone := Flags{file: os.DevNull, set: f.set, names: f.names}
	return alone.Load(func(string) (string, bool) { return "", false }, nil)
}

// starter writes the keys that are set, and those that most operators look at as comments.
func (c *Config) starter(set map[string]string) string {
	var b strings.Builder
	b.WriteString(`# The configuration of turnpike, for a start. A line that begins with "#" is an example: remove the "#" to make it count.
# Every other key has its default: "turnpike config" prints all, and deploy/turnpike.toml of the project explains them.
`)
	known := starterKeys()
	section := ""
	for _, k := range c.keys() {
		_, isSet := set[k.name]
		starter, usual := known[k.name]
		if !isSet && !usual {
			continue
		}
		table, name, found := strings.Cut(k.name, ".")
		if !found {
			table, name = "", k.name
		}
		if table != section {
			fmt.Fprintf(&b, "\n[%s]\n", table)
			section = table
		} else {
			b.WriteByte('\n')
		}
		for line := range strings.SplitSeq(cmp.Or(starter.comment, k.help), "\n") {
			fmt.Fprintf(&b, "# %s\n", line)
		}
		if isSet {
			fmt.Fprintf(&b, "%s = %s\n", name, k.value)
		} else {
			fmt.Fprintf(&b, "#%s = %s\n", name, starter.example)
		}
	}
	return b.String()
}

// Target returns the file that `turnpike init` writes: that of --config, else of $TURNPIKE_CONFIG, else turnpike.toml.
func (f *Flags) Target(lookup func(string) (string, bool)) string {
	named, _ := lookup("TURNPIKE_CONFIG")
	return cmp.Or(f.file, named, defaultConfigFile)
}

// LoadFile reads a file alone: no variable and no flag counts.
func LoadFile(name string) (*Config, error) {
	alone := Flags{file: name}
	return alone.Load(func(string) (string, bool) { return "", false }, nil)
}

// Ports names the ports that a firewall must let in.
func (c *Config) Ports() string {
	tcp, udp := c.PortLists()
	return "TCP " + strings.Join(tcp, " and ") + "; UDP " + strings.Join(udp, " and ")
}

// PortLists returns the ports that a firewall must let in, and the range of relays with a "-". Nobody outside reaches listeners on loopback.
func (c *Config) PortLists() (tcp, udp []string) {
	add := func(list *[]string, port string) {
		if !slices.Contains(*list, port) {
			*list = append(*list, port)
		}
	}
	for _, addr := range c.HTTP.Listen {
		if !ListensOnLoopback(addr) {
			add(&tcp, addr[strings.LastIndexByte(addr, ':')+1:])
		}
	}
	for _, addr := range c.HTTP.RedirectListen {
		if !ListensOnLoopback(addr) {
			add(&tcp, addr[strings.LastIndexByte(addr, ':')+1:])
		}
	}
	for _, l := range c.TURN.Listen {
		if l.Addr.Addr().IsLoopback() {
			continue
		}
		list := &udp
		if portKind(l) == "tcp" {
			list = &tcp
		}
		add(list, fmt.Sprint(l.Addr.Port()))
	}
	add(&udp, c.TURN.RelayPorts.String())
	return tcp, udp
}
