package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

func (p *program) config(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("config", flag.ContinueOnError)
	var flags configFlags
	flags.register(fs)
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	cfg, err := flags.load(p.getenv)
	if err != nil {
		return err
	}
	return cfg.print(p.stdout)
}

// print writes the configuration in force as TOML, and behind each value that is not the default where it came from.
func (c *Config) print(w io.Writer) error {
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
