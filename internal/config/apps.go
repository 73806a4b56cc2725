package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// App is a [[turn.apps]] table: another app that mints TURN credentials with a secret of its own.
type App struct {
	Name        string
	Secret      Secret
	Allocations int // relays of one of its users at one address; 0: limits.allocations_per_user
}

// keys returns the keys of a [[turn.apps]] table, without turn.apps before them.
func (a *App) keys() []key {
	return []key{
		{name: "name", value: scalar[string]{&a.Name, notEmpty("galene"), asIs, "galene"}},
		{name: "secret", value: scalar[Secret]{&a.Secret, parseSecret, Secret.String, "a long random string"}, secret: true},
		{name: "allocations", value: number{&a.Allocations, 1}},
	}
}

// appList is the array of [[turn.apps]] tables.
type appList struct{ p *[]App }

func (v appList) fromTOML(raw any) error {
	tables, ok := tablesOf(raw)
	if !ok {
		return errors.New("is not a list of tables; write [[turn.apps]] on a line of its own and the app's keys below")
	}
	var bad []error
	out := make([]App, len(tables))
	for i, table := range tables {
		faults := readTable(table, out[i].keys())
		if len(faults) == 0 {
			faults = out[i].faults(out[:i])
		}
		for _, fault := range faults {
			fault.part = fmt.Sprintf("[%d].", i) + fault.part
			bad = append(bad, fault)
		}
	}
	if len(bad) > 0 {
		return errors.Join(bad...)
	}
	*v.p = out
	return nil
}

// faults says what is missing, and what another app has, too.
func (a *App) faults(others []App) (bad []*partError) {
	if a.Name == "" {
		bad = append(bad, &partError{"name", errors.New(`is missing; write a word for the app, like "galene"`)})
	}
	if a.Secret.IsZero() {
		bad = append(bad, &partError{"secret", errors.New("is missing; write the one that the app mints its credentials with; make one with: openssl rand -hex 32")})
	}
	if a.Name != "" && slices.ContainsFunc(others, func(b App) bool { return a.Name == b.Name }) {
		bad = append(bad, &partError{"name", fmt.Errorf("%q is the name of another app, too; choose one of its own", a.Name)})
	}
	if slices.ContainsFunc(others, func(b App) bool { return a.Secret.same(b.Secret) }) {
		bad = append(bad, &partError{"secret", errors.New("is another app's, too, so that nobody could tell whose a credential is; give each app its own")})
	}
	return bad
}

// same reports whether two secrets are one. Neither is empty.
func (s Secret) same(other Secret) bool { return !s.IsZero() && bytes.Equal(s.Bytes(), other.Bytes()) }

func (v appList) fromText(s string) error {
	if s == "" {
		return nil
	}
	return errors.New("has no form as text; write [[turn.apps]] tables into the configuration file")
}

// String writes a table a line, with the keys that are set.
func (v appList) String() string {
	if len(*v.p) == 0 {
		return "[]"
	}
	var b strings.Builder
	b.WriteString("[\n")
	for i := range *v.p {
		app := &(*v.p)[i]
		words := make([]string, 0, 3)
		for _, k := range app.keys() {
			if k.name != "allocations" || app.Allocations > 0 {
				words = append(words, k.name+" = "+k.value.String())
			}
		}
		fmt.Fprintf(&b, "  { %s },\n", strings.Join(words, ", "))
	}
	return b.String() + "]"
}
