package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tablesOf returns the tables of an array of tables, which may be written inline.
func tablesOf(raw any) (tables []map[string]any, ok bool) {
	if tables, ok = raw.([]map[string]any); ok {
		return tables, true
	}
	items, ok := raw.([]any) // written inline, or empty
	for _, item := range items {
		table, isTable := item.(map[string]any)
		ok = ok && isTable
		tables = append(tables, table)
	}
	return tables, ok
}

// readTable reads one table of an array into the fields of keys. The part of each error is a key of the table.
func readTable(table map[string]any, keys []key) (bad []*partError) {
	byName := map[string]key{}
	for _, k := range keys {
		byName[k.name] = k
	}
	for _, name := range slices.Sorted(maps.Keys(table)) {
		k, known := byName[name]
		if !known {
			bad = append(bad, &partError{name, fmt.Errorf("there is no such key; there are %s", strings.Join(slices.Sorted(maps.Keys(byName)), ", "))})
			continue
		}
		if _, isText := table[name].(string); !isText && k.secret {
			bad = append(bad, &partError{name, errors.New("is not a string")}) // the value itself may be a secret
			continue
		}
		if err := k.value.fromTOML(table[name]); err != nil {
			part, ok := errors.AsType[*partError](err)
			if !ok {
				part = &partError{"", err}
			}
			bad = append(bad, &partError{name + part.part, part.err})
		}
	}
	return bad
}
