package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"example.org/turnpike/internal/config"
)

// parseFlags parses args and returns those that are no flags. Flags may also follow them.
func parseFlags(fs *flag.FlagSet, args []string, maxArgs int) ([]string, error) {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &usageError{fs.Name(), flagProblem(fs, err)}
		}
		if fs.NArg() == 0 {
			break
		}
		rest = append(rest, fs.Arg(0))
		args = fs.Args()[1:]
	}
	if len(rest) > maxArgs {
		return nil, &usageError{fs.Name(), fmt.Errorf("%q is one argument too many", rest[maxArgs])}
	}
	return rest, nil
}

// flagProblem says in our words what the flag package says in its own: help and examples write flags with two dashes.
func flagProblem(fs *flag.FlagSet, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return unknownFlag(fs, name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Errorf("%s needs a value", dashed(name))
	}
	if arg, ok := strings.CutPrefix(text, "bad flag syntax: "); ok {
		return fmt.Errorf("%q is not a flag; write it like --config turnpike.toml", arg)
	}
	_, rest, ok := strings.Cut(text, "value ") // invalid value "1d" for flag -ttl: parse error
	value, e := strconv.QuotedPrefix(rest)
	if !ok || e != nil {
		return err
	}
	_, rest, _ = strings.Cut(rest[len(value):], "-")
	name, why, ok := strings.Cut(rest, ": ")
	f := fs.Lookup(name)
	if !ok || f == nil {
		return err
	}
	if getter, ok := f.Value.(flag.Getter); ok {
		switch getter.Get().(type) {
		case time.Duration:
			why = `is not a duration; write it like "30s", "10m" or "24h"`
		case int:
			why = "is not a whole number"
		case float64:
			why = "is not a number"
		case bool:
			why = "is neither true nor false"
		default:
			why = "is not accepted: " + why
		}
	} else {
		why = "is not accepted: " + why
	}
	return fmt.Errorf("%s %s %s", dashed(name), value, why)
}

// dashed is a flag as help writes it: one letter has one dash.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// unknownFlag suggests the flag that was probably meant, or says where a secret goes.
func unknownFlag(fs *flag.FlagSet, name string) error {
	if variable, ok := config.SecretVariable(name); ok {
		return fmt.Errorf("there is no flag --%s, because others on this machine could see it; set %s, or write it into the configuration file", name, variable)
	}
	if fs.Lookup(name+"-file") != nil {
		return fmt.Errorf("there is no flag --%s, because others on this machine could see it; write it into a file, or to standard input, for --%s-file", name, name)
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(name, "-", names); near != "" {
		return fmt.Errorf("there is no flag --%s; did you mean --%s?", name, near)
	}
	return fmt.Errorf("there is no flag --%s", name)
}

// tokenFlag is a ticket or an invite that need not stand among the arguments, where others on this machine can see it:
// it may come from a file, from standard input or from a variable.
type tokenFlag struct {
	name        string // of the flag: ticket or invite
	variable    string
	value, file string
}

// register adds --NAME and --NAME-file to fs.
func (t *tokenFlag) register(fs *flag.FlagSet, name, variable string) {
	t.name, t.variable = name, variable
	fs.StringVar(&t.value, name, "", "")
	fs.StringVar(&t.file, name+"-file", "", "")
}

// registerFile adds --NAME-file alone.
func (t *tokenFlag) registerFile(fs *flag.FlagSet, name, variable string) {
	t.name, t.variable = name, variable
	fs.StringVar(&t.file, name+"-file", "", "")
}

// given reports whether a flag names a token.
func (t *tokenFlag) given() bool { return t.value != "" || t.file != "" }

// maxToken bounds the bytes read of a ticket or an invite. No server accepts one that is as long.
const maxToken = 64 << 10

// read returns the token of the flags. variables says whether the variable counts if there is none.
func (t *tokenFlag) read(p *program, variables bool) (string, error) {
	switch {
	case t.value != "" && t.file != "":
		return "", fmt.Errorf("--%s and --%s-file exclude each other", t.name, t.name)
	case t.value == "-" || t.file == "-":
		return p.readToken(t.name)
	case t.file != "":
		return readTokenFile(t.name, t.file)
	case t.value == "" && variables:
		return strings.TrimSpace(p.getenv(t.variable)), nil
	}
	return strings.TrimSpace(t.value), nil
}

// readToken reads a token from standard input.
func (p *program) readToken(what string) (string, error) {
	return tokenOf(p.stdin, what, "standard input")
}

func readTokenFile(what, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", what, err)
	}
	defer f.Close()
	return tokenOf(f, what, name)
}

func tokenOf(r io.Reader, what, where string) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxToken))
	if err != nil {
		return "", fmt.Errorf("read the %s from %s: %w", what, where, err)
	}
	if token := strings.TrimSpace(string(data)); token != "" {
		return token, nil
	}
	return "", fmt.Errorf("there is no %s in %s", what, where)
}
