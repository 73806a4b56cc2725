package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

func (c *Config) parse(name, data string) []error {
	var top map[string]toml.Primitive
	md, err := toml.Decode(data, &top)
	if err != nil {
		if perr, ok := errors.AsType[toml.ParseError](err); ok {
			return []error{&keyError{source: fmt.Sprintf("%s:%d", name, perr.Position.Line), err: fmt.Errorf("this is not TOML: %s", oneLine(perr.Message))}}
		}
		return []error{&keyError{source: name, err: err}}
	}
	r := &fileReader{cfg: c, name: name, data: data, md: md, keys: map[string]key{}, sections: map[string]bool{}}
	for _, k := range c.keys() {
		r.keys[k.name] = k
		if section, _, ok := strings.Cut(k.name, "."); ok {
			r.sections[section] = true
		}
	}
	r.table("", top)
	slices.SortFunc(r.bad, func(a, b *keyError) int { return cmp.Or(a.line-b.line, strings.Compare(a.key, b.key)) })
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
	bad      []*keyError
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
		if err := r.assign(name, raw); err != nil {
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

// tableLine returns the line of the table that a key such as "auth.issuers[1].name" is in. It is 0 outside an array of
// tables.
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

// tableLines returns the lines on which the tables of an array begin. The toml package knows only the last one.
func tableLines(data, name string) (lines []int) {
	n := 0
	for line := range strings.Lines(data) {
		n++
		line, _, _ = strings.Cut(strings.Join(strings.Fields(line), ""), "#")
		if line == "[["+name+"]]" {
			lines = append(lines, n)
		}
	}
	return lines
}

// assign gives a value to its key.
func (r *fileReader) assign(name string, raw any) error {
	if k, known := r.keys[name]; known {
		return k.value.fromTOML(raw)
	}
	if r.sections[name] {
		return fmt.Errorf("is a table, and has no value; write [%s] on a line of its own and the keys below", name)
	}
	return r.unknown(name)
}

// read returns a value and the line of its key. The toml package tells positions only in errors, so it must get one.
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

// unknown suggests the key nearest to a misspelt one, if one is near.
func (r *fileReader) unknown(name string) error {
	known := slices.Concat(slices.Sorted(maps.Keys(r.keys)), slices.Sorted(maps.Keys(r.sections)))
	if best := Nearest(name, ".", known); best != "" {
		return fmt.Errorf("there is no such key; did you mean %s?", best)
	}
	return errors.New("there is no such key; `turnpike config` lists all there are")
}

// Nearest returns the one of known that somebody who wrote name probably meant, empty if none is near. It may be the name
// in its table: separator stands between the two.
func Nearest(name, separator string, known []string) string {
	best, distance := "", 4
	for _, k := range known {
		if strings.HasSuffix(k, separator+name) { // the right name in the wrong table
			return k
		}
		if max(len(name)-len(k), len(k)-len(name)) >= distance {
			continue
		}
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	return best
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
