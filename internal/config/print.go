package config

import (
	"fmt"
	"io"
	"strings"
)

// Print writes the configuration in force as TOML. A comment says where each value came from that is not the default.
func (c *Config) Print(w io.Writer) error {
	var b strings.Builder
	if c.file != "" {
		fmt.Fprintf(&b, "# read from %s\n", c.file)
	}
	section := ""
	for _, k := range c.keys() {
		table, name, found := strings.Cut(k.name, ".")
		if !found {
			table, name = "", k.name
		}
		if table != section {
			fmt.Fprintf(&b, "\n[%s]\n", table)
			section = table
		}
		fmt.Fprintf(&b, "%s = %s", name, k.value)
		if source := c.sources[k.name]; source != "" {
			fmt.Fprintf(&b, "   # %s", source)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// PrintFlags writes the flag of every key with its help and its default, as a part of a command's help.
func PrintFlags(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`
flags of the configuration (the key turn.realm is --turn-realm and $TURNPIKE_TURN_REALM). Lists have commas between, or
the flag once for each item. An empty variable empties a list, and turns metrics off; for other keys it counts as not set:
  --config FILE   the configuration file
  --state DIR     the same as --state-dir
`)
	for _, k := range Default(defaultStateName).keys() {
		if k.secret {
			if _, tables := k.value.(issuerList); !tables {
				fmt.Fprintf(&b, "  $%s\n        %s (file or variable only)\n", k.env(), k.help)
			}
			continue
		}
		fmt.Fprintf(&b, "  --%s\n        %s (%s)\n", k.flag(), k.help, k.value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
