package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// defaultConfigFile is read when it is there and nothing else is named.
const defaultConfigFile = "turnpike.toml"

// configError is one line for the operator: where, which key, what and a hint.
type configError struct {
	source string // file and line, variable or flag; empty for a default
	key    string // with the part of it that is bad, such as turn.allow_peers[1]
	err    error
	line   int // for sorting
}

func (e *configError) Unwrap() error { return e.err }

func (e *configError) Error() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{e.source, e.key, e.err.Error()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// badValue names the part of a list that err is about beside the key.
func badValue(source, name string, err error) *configError {
	if part, ok := errors.AsType[*partError](err); ok {
		return &configError{source: source, key: name + part.part, err: part.err}
	}
	return &configError{source: source, key: name, err: err}
}

// errorf complains about a key whose value was readable, but wrong.
func (c *Config) errorf(name, format string, args ...any) error {
	base, _, _ := strings.Cut(name, "[")
	part, _, _ := strings.Cut(name, "]") // of an array of tables, each has a line
	return &configError{source: cmp.Or(c.sources[part+"]"], c.sources[base]), key: name, err: fmt.Errorf(format, args...)}
}

// configFlags are the flags that every command which reads the configuration takes.
type configFlags struct {
	file  string
	set   map[string]string // key -> text of its flag
	names map[string]string // key -> the flag as it was written
}

// register adds --config, --state and a flag for every key to fs.
func (f *configFlags) register(fs *flag.FlagSet) {
	f.set, f.names = map[string]string{}, map[string]string{}
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
				f.set[k.name], f.names[k.name] = s, "--"+name
				return nil
			})
		}
	}
}

// load layers the file, the variables and the flags over the defaults, and reports every bad value at once.
func (f *configFlags) load(getenv func(string) string) (*Config, error) {
	c := defaultConfig(defaultStateDir(getenv))
	var bad []error
	bad = append(bad, c.loadFile(f.file, getenv)...)
	for _, k := range c.keys() {
		if s := getenv(k.env()); s != "" {
			bad = append(bad, c.setText(k, k.env(), s)...)
		}
		if s, ok := f.set[k.name]; ok {
			bad = append(bad, c.setText(k, f.names[k.name], s)...)
		}
	}
	if len(bad) == 0 {
		bad = c.check()
	}
	return c, errors.Join(bad...)
}

func (c *Config) setText(k key, source, s string) []error {
	if err := k.value.fromText(s); err != nil {
		return []error{badValue(source, k.name, err)}
	}
	c.sources[k.name] = source
	return nil
}

// defaultStateDir is systemd's StateDirectory= under systemd, else a directory beside the operator.
func defaultStateDir(getenv func(string) string) string {
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	return "turnpike-state"
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
		return []error{&configError{source: name, err: errors.New("there is no such file; name another with --config, or start without one")}}
	case errors.Is(err, fs.ErrPermission):
		return []error{&configError{source: name, err: errors.New("may not be read by this user; run as the server's user, or change the file's mode")}}
	case err != nil:
		return []error{&configError{source: name, err: err}}
	}
	c.file = name
	bad := c.parse(name, string(data))
	for key, p := range map[string]*string{"state_dir": &c.StateDir, "tls.cert_file": &c.TLS.CertFile, "tls.key_file": &c.TLS.KeyFile} {
		if c.sources[key] != "" && *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(name), *p) // a path in a file is meant from where the file is
		}
	}
	return bad
}

func (c *Config) parse(name, data string) []error {
	var top map[string]toml.Primitive
	md, err := toml.Decode(data, &top)
	if err != nil {
		if perr, ok := errors.AsType[toml.ParseError](err); ok {
			return []error{&configError{source: fmt.Sprintf("%s:%d", name, perr.Position.Line), err: fmt.Errorf("this is not TOML: %s", oneLine(perr.Message))}}
		}
		return []error{&configError{source: name, err: err}}
	}
	r := &fileReader{cfg: c, name: name, data: data, md: md, keys: map[string]key{}, sections: map[string]bool{}}
	for _, k := range c.keys() {
		r.keys[k.name] = k
		if section, _, ok := strings.Cut(k.name, "."); ok {
			r.sections[section] = true
		}
	}
	r.table("", top)
	slices.SortFunc(r.bad, func(a, b *configError) int { return cmp.Or(a.line-b.line, strings.Compare(a.key, b.key)) })
	errs := make([]error, len(r.bad))
	for i, e := range r.bad {
		errs[i] = e
	}
	return errs
}

// fileReader hands each key of a parsed file to its value.
type fileReader struct {
	cfg      *Config
	name     string
	data     string
	md       toml.MetaData
	keys     map[string]key
	sections map[string]bool
	bad      []*configError
}

func (r *fileReader) table(prefix string, table map[string]toml.Primitive) {
	for name, prim := range table {
		name = prefix + name
		raw, line := r.read(prim)
		source := r.name
		if line > 0 {
			source = fmt.Sprintf("%s:%d", r.name, line)
		}
		if _, isTable := raw.(map[string]any); isTable && r.sections[name] {
			var inner map[string]toml.Primitive
			if err := r.md.PrimitiveDecode(prim, &inner); err == nil {
				r.table(name+".", inner)
				continue
			}
		}
		if err := r.take(name, raw); err != nil {
			for _, err := range severalErrors(err) {
				e := badValue(source, name, err)
				e.line = line
				if table := r.tableLine(e.key); table > 0 {
					e.line, e.source = table, fmt.Sprintf("%s:%d", r.name, table)
				}
				r.bad = append(r.bad, e)
			}
			continue
		}
		r.cfg.sources[name] = source
		for i, line := range tableLines(r.data, name) {
			r.cfg.sources[fmt.Sprintf("%s[%d]", name, i)] = fmt.Sprintf("%s:%d", r.name, line)
		}
	}
}

// tableLine is the line of the table that "auth.issuers[1].name" is in, 0 if it is not one of several.
func (r *fileReader) tableLine(key string) int {
	name, rest, _ := strings.Cut(key, "[")
	index, _, _ := strings.Cut(rest, "]")
	if i, err := strconv.Atoi(index); err == nil {
		if lines := tableLines(r.data, name); i < len(lines) {
			return lines[i]
		}
	}
	return 0
}

// severalErrors takes apart what errors.Join made.
func severalErrors(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (r *fileReader) take(name string, raw any) error {
	if k, known := r.keys[name]; known {
		return k.value.fromTOML(raw)
	}
	if r.sections[name] {
		return fmt.Errorf("has no value but keys; write [%s] on a line of its own and the keys below", name)
	}
	return r.unknown(name)
}

// read returns a value and the line of its key. The toml package tells positions only in errors, so there has to be one.
func (r *fileReader) read(prim toml.Primitive) (raw any, line int) {
	taken := tomlFunc(func(v any) error {
		raw = v
		return errors.New("position wanted")
	})
	if perr, ok := errors.AsType[toml.ParseError](r.md.PrimitiveDecode(prim, &taken)); ok {
		line = perr.Position.Line
	}
	return raw, line
}

// tomlFunc is a function as a toml.Unmarshaler.
type tomlFunc func(raw any) error

func (f *tomlFunc) UnmarshalTOML(raw any) error { return (*f)(raw) }

// unknown suggests the key that a misspelt one is nearest to, if one is near.
func (r *fileReader) unknown(name string) error {
	known := slices.Concat(slices.Sorted(maps.Keys(r.keys)), slices.Sorted(maps.Keys(r.sections)))
	best, distance := "", 4
	for _, k := range known {
		if strings.HasSuffix(k, "."+name) { // the right key in the wrong table
			best = k
			break
		}
		if max(len(name)-len(k), len(k)-len(name)) >= distance {
			continue
		}
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Errorf("there is no such key; did you mean %s?", best)
	}
	return errors.New("there is no such key; `turnpike config` lists all there are")
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// unknownVariables warns of TURNPIKE_ variables that nothing reads. They are not refused, because Kubernetes sets some
// for a service of that name.
func unknownVariables(environ []string) []string {
	var out []string
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		known := name == "TURNPIKE_CONFIG" || slices.ContainsFunc(new(Config).keys(), func(k key) bool { return k.env() == name })
		if strings.HasPrefix(name, "TURNPIKE_") && !known {
			out = append(out, name+" is not a variable that turnpike reads; \"turnpike help config\" says which there are")
		}
	}
	return out
}
