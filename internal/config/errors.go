package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// keyError is one line for the operator: where, which key, what is wrong, and a hint.
type keyError struct {
	source string // file and line, variable or flag; empty for a default
	key    string // with the bad part of it, such as turn.allow_peers[1]
	err    error
	line   int // for sorting
}

func (e *keyError) Unwrap() error { return e.err }

func (e *keyError) Error() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{e.source, e.key, e.err.Error()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// badValue adds to the key the part of a list or table that err is about.
func badValue(source, name string, err error) *keyError {
	if part, ok := errors.AsType[*partError](err); ok {
		return &keyError{source: source, key: name + part.part, err: part.err}
	}
	return &keyError{source: source, key: name, err: err}
}

// Errorf complains about a key whose value was readable, but wrong. name may have a part behind it: turn.listen[1].
func (c *Config) Errorf(name, format string, args ...any) error {
	base, _, _ := strings.Cut(name, "[")
	part, _, _ := strings.Cut(name, "]") // of an array of tables, each has a line
	return &keyError{source: cmp.Or(c.sources[part+"]"], c.sources[base]), key: name, err: fmt.Errorf(format, args...)}
}

// partError says which part of a list or table is bad, such as "[1]".
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.part + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// severalErrors takes a joined error apart.
func severalErrors(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
