package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// defaultConfigFile is read if it exists and no other file is named.
const defaultConfigFile = "turnpike.toml"

// Flags are the flags that every command which reads the configuration takes.
type Flags struct {
	file  string
	set   map[string][]string // key -> the flag's values; a list adds them up, else the last one counts
	names map[string]string   // key -> the flag as it was written
}

// Register adds --config, --state and a flag for every key to fs.
func (f *Flags) Register(fs *flag.FlagSet) {
	f.set, f.names = map[string][]string{}, map[string]string{}
	fs.StringVar(&f.file, "config", "", "")
	for _, k := range new(Config).keys() {
		if k.secret {
			continue
		}
		names := []string{k.flag()}
		if k.name == "state_dir" {
			names = append(names, "state")
		}
		for _, name := range names {
			fs.Func(name, "", func(s string) error {
				f.set[k.name], f.names[k.name] = append(f.set[k.name], s), "--"+name
				return nil
			})
		}
	}
}

// Load layers the file, the variables and the flags over the defaults, and reports every bad value at once. lookup is that
// of os.LookupEnv. checkIssuer judges each table of auth.issuers; nil takes any.
func (f *Flags) Load(lookup func(string) (string, bool), checkIssuer CheckIssuer) (*Config, error) {
	getenv := func(name string) string {
		if value, ok := lookup(name); ok {
			return value
		}
		return ""
	}
	c := Default(defaultStateName)
	c.checkIssuer = checkIssuer
	var bad []error
	bad = append(bad, c.loadFile(f.file, getenv)...)
	for _, k := range c.keys() {
		bad = append(bad, c.loadCredential(k, getenv("CREDENTIALS_DIRECTORY"))...)
		if s, ok := lookup(k.env()); ok && (s != "" || !k.needed) {
			// An empty variable empties a list or turns a thing off. Where a key has no empty value, it counts as not set.
			inFile := c.sources[k.name]
			errs := c.setText(k, k.env(), s)
			switch {
			case s != "":
				bad = append(bad, errs...)
			case errs == nil && inFile != "":
				c.emptied = append(c.emptied, fmt.Sprintf("%s is empty, so %s is too, although %s sets it; remove the variable if that is not meant", k.env(), k.name, inFile))
			}
		}
		if given := f.set[k.name]; len(given) > 0 {
			s := given[len(given)-1]
			if _, isList := k.value.(several); isList {
				s = strings.Join(given, ",")
			}
			bad = append(bad, c.setText(k, f.names[k.name], s)...)
		}
	}
	c.defaultState(getenv)
	c.defaultListeners()
	if len(bad) == 0 {
		bad = c.check()
	}
	return c, errors.Join(bad...)
}

// loadCredential reads a list of secrets that systemd hands to the service: a file with the name of the key in dir, which a variable wins
// over. Nobody else can read it, and no child inherits it.
func (c *Config) loadCredential(k key, dir string) []error {
	if _, isSecrets := k.value.(secretList); dir == "" || !isSecrets {
		return nil
	}
	name := filepath.Join(dir, k.name)
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []error{&keyError{source: name, key: k.name, err: err}}
	}
	return c.setText(k, name, string(text))
}

func (c *Config) setText(k key, source, s string) []error {
	if err := k.value.fromText(s); err != nil {
		return []error{badValue(source, k.name, err)}
	}
	c.sources[k.name] = source
	if !k.secret {
		c.texts[k.name] = s
	}
	return nil
}

// defaultStateName is the state directory that nobody named: beside the file that was read, else in the working directory.
const defaultStateName = "turnpike-state"

// systemdState is what Source says of a state directory that systemd gave.
const systemdState = "STATE_DIRECTORY"

// defaultState sets state_dir where nobody has: to systemd's StateDirectory= under systemd, else beside the file. All
// commands thus find the same state, wherever they are run.
func (c *Config) defaultState(getenv func(string) string) {
	if c.sources["state_dir"] != "" {
		return
	}
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
		c.StateDir, c.sources["state_dir"] = dir, systemdState
	} else if c.file != "" {
		c.StateDir = filepath.Join(filepath.Dir(c.file), defaultStateName)
	}
}

// loadFile reads the named file, else $TURNPIKE_CONFIG, else ./turnpike.toml if there is one.
func (c *Config) loadFile(name string, getenv func(string) string) []error {
	optional := false
	if name == "" {
		name = getenv("TURNPIKE_CONFIG")
	}
	if name == "" {
		name, optional = defaultConfigFile, true
	}
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && optional:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return []error{&keyError{source: name, err: errors.New("there is no such file; name another with --config, or start without one")}}
	case errors.Is(err, fs.ErrPermission):
		return []error{&keyError{source: name, err: errors.New("may not be read by this user; run as the server's user, or change the file's mode")}}
	case err != nil:
		return []error{&keyError{source: name, err: err}}
	}
	c.file = name
	bad := c.parse(name, string(data))
	for key, p := range map[string]*string{"state_dir": &c.StateDir, "tls.cert_file": &c.TLS.CertFile, "tls.key_file": &c.TLS.KeyFile, "tls.acme_ca_file": &c.TLS.ACMECAFile} {
		if c.sources[key] != "" && *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(name), *p) // a path in a file starts from the file's folder
		}
	}
	return bad
}

// SecretVariable returns the variable of a secret, whose key would have this flag if secrets had flags.
func SecretVariable(flag string) (variable string, ok bool) {
	for _, k := range new(Config).keys() {
		if _, tables := k.value.(issuerList); k.secret && !tables && k.flag() == flag {
			return k.env(), true
		}
	}
	return "", false
}

// ofCommands are variables that commands read beside the configuration.
var ofCommands = []string{"TURNPIKE_CONFIG", "TURNPIKE_SERVER", "TURNPIKE_TICKET", "TURNPIKE_INVITE"}

// UnknownVariables warns of TURNPIKE_ variables that nothing reads. It refuses none, because Kubernetes sets some for a
// service of that name.
func UnknownVariables(environ []string) []string {
	var known []string
	for _, k := range new(Config).keys() {
		known = append(known, k.env())
	}
	var out []string
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		ofCommand := slices.Contains(ofCommands, name) || strings.HasPrefix(name, "TURNPIKE_CHECK_") || strings.HasPrefix(name, "TURNPIKE_BENCH_")
		if !strings.HasPrefix(name, "TURNPIKE_") || ofCommand || slices.Contains(known, name) {
			continue
		}
		hint := "\"turnpike help config\" says which there are"
		if near := Nearest(name, "_", known); near != "" {
			hint = "did you mean " + near + "?"
		}
		out = append(out, name+" is not a variable that turnpike reads; "+hint)
	}
	return out
}
