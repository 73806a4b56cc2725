package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"example.org/turnpike/internal/config"
)

// completion is `turnpike completion`: what a shell suggests, and the manual page, made from the help.
func (p *program) completion(_ context.Context, args []string) error {
	fs := flag.NewFlagSet("completion", flag.ContinueOnError)
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return &usageError{"completion", errors.New("for which shell? bash, zsh or fish; or man for the manual page")}
	}
	write, ok := map[string]func(io.Writer) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish, "man": writeMan}[rest[0]]
	if !ok {
		return &usageError{"completion", fmt.Errorf("there is nothing for %q; there is bash, zsh, fish and man", rest[0])}
	}
	return write(p.stdout)
}

// commandHelp is a command with its flags, as its help has them.
type commandHelp struct {
	name, summary string
	flags         []flagHelp
}

type flagHelp struct {
	name  string // with its dashes
	value bool   // it takes one
	what  string // the value, as the help calls it; empty if that does not say
	help  string
}

// isFile and isFolder report whether the value is the name of one.
func (f flagHelp) isFile() bool {
	return f.value && (f.what == "FILE" || strings.HasSuffix(f.name, "-file"))
}

func (f flagHelp) isFolder() bool {
	return f.value && (f.what == "DIR" || strings.HasSuffix(f.name, "-dir"))
}

// helpFlag is a line of help that begins a flag: "  --room NAME    the room".
var helpFlag = regexp.MustCompile(`^  (?:-[a-z], )?(--[a-z0-9-]+|-[a-zA-Z])( [A-Za-z|:]+)?(?:  +(.*))?$`)

// allHelp reads the commands and their flags from the help, so that nothing says them twice.
func allHelp() []commandHelp {
	var out []commandHelp
	for _, c := range commands() {
		text := topics()[c.name].text
		h := commandHelp{name: c.name, summary: summaryOf(c.name)}
		h.flags = flagsIn(text)
		if topics()[c.name].listFlags {
			var b strings.Builder
			if err := config.PrintFlags(&b); err == nil {
				h.flags = append(h.flags, flagsIn(b.String())...)
			}
		} else if strings.Contains(text, "--config FILE") && !slices.ContainsFunc(h.flags, func(f flagHelp) bool { return f.name == "--config" }) {
			h.flags = append(h.flags, flagHelp{"--config", true, "FILE", "the configuration file"}, flagHelp{"--state", true, "DIR", "the state directory"})
		}
		out = append(out, h)
	}
	return out
}

// summaryOf is a command's line in the main help.
func summaryOf(command string) string {
	for line := range strings.Lines(helpMain) {
		if rest, ok := strings.CutPrefix(line, "  "+command+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func flagsIn(text string) (out []flagHelp) {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		m := helpFlag.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		f := flagHelp{name: m[1], value: m[2] != "", what: strings.TrimSpace(m[2]), help: m[3]}
		if f.help == "" && i+1 < len(lines) { // a key of the configuration: its help is the next line, and it takes a value
			f.help, f.value = strings.TrimSpace(lines[i+1]), true
		}
		if !slices.ContainsFunc(out, func(o flagHelp) bool { return o.name == f.name }) {
			out = append(out, f)
		}
	}
	return out
}

func writeBash(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# bash completion of turnpike\n_turnpike() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= files= folders= values=\n")
	var names []string
	for _, c := range allHelp() {
		names = append(names, c.name)
	}
	fmt.Fprintf(&b, "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n\t\treturn\n\tfi\n", strings.Join(names, " "))
	b.WriteString("\tcase ${COMP_WORDS[1]} in\n")
	for _, c := range allHelp() {
		var flags, files, folders, values []string
		for _, f := range c.flags {
			flags = append(flags, f.name)
			switch {
			case f.isFile():
				files = append(files, f.name)
			case f.isFolder():
				folders = append(folders, f.name)
			case f.value:
				values = append(values, f.name)
			}
		}
		fmt.Fprintf(&b, "\t%s) flags='%s' files='%s' folders='%s' values='%s' ;;\n", c.name,
			strings.Join(flags, " "), strings.Join(files, " "), strings.Join(folders, " "), strings.Join(values, " "))
	}
	b.WriteString("\tesac\n")
	for _, values := range [][2]string{{"files", `COMPREPLY=($(compgen -f -- "$cur"))`}, {"folders", `COMPREPLY=($(compgen -d -- "$cur"))`}, {"values", "compopt +o default 2>/dev/null"}} {
		fmt.Fprintf(&b, "\tcase \" $%s \" in *\" $prev \"*)\n\t\t%s\n\t\treturn\n\t\t;;\n\tesac\n", values[0], values[1])
	}
	b.WriteString("\tCOMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n}\ncomplete -o default -F _turnpike turnpike\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeZsh(w io.Writer) error {
	var b strings.Builder
	b.WriteString("#compdef turnpike\n# zsh completion of turnpike\nlocal -a commands flags\ncommands=(\n")
	for _, c := range allHelp() {
		fmt.Fprintf(&b, "\t'%s:%s'\n", c.name, zshHelp(c.summary))
	}
	b.WriteString(")\nif (( CURRENT == 2 )); then\n\t_describe command commands\n\treturn\nfi\ncase ${words[2]} in\n")
	for _, c := range allHelp() {
		fmt.Fprintf(&b, "%s)\n\tflags=(", c.name)
		for _, f := range c.flags {
			value := ""
			switch {
			case f.isFile():
				value = ":file:_files"
			case f.isFolder():
				value = ":folder:_files -/"
			case f.value:
				value = ":value:"
			}
			fmt.Fprintf(&b, "\n\t\t'%s[%s]%s'", f.name, zshHelp(f.help), value)
		}
		b.WriteString(")\n\t;;\n")
	}
	b.WriteString("esac\nshift words\n(( CURRENT-- ))\n_arguments $flags '*:file:_files'\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// zshHelp is a text inside of quotes, and of the brackets of _arguments.
func zshHelp(s string) string {
	return strings.NewReplacer("'", `'\''`, "[", "(", "]", ")", ":", `\:`).Replace(s)
}

func writeFish(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# fish completion of turnpike\n")
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	for _, c := range allHelp() {
		fmt.Fprintf(&b, "complete -c turnpike -n __fish_use_subcommand -f -a %s -d %s\n", c.name, quote(c.summary))
		for _, f := range c.flags {
			value := ""
			switch {
			case f.isFile():
				value = " -r"
			case f.isFolder():
				value = " -x -a '(__fish_complete_directories)'"
			case f.value:
				value = " -x"
			}
			flag := "-l " + strings.TrimPrefix(f.name, "--")
			if len(f.name) == len("-c") {
				flag = "-s " + strings.TrimPrefix(f.name, "-")
			}
			fmt.Fprintf(&b, "complete -c turnpike -n '__fish_seen_subcommand_from %s' %s%s -d %s\n", c.name, flag, value, quote(f.help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeMan writes turnpike(1): the help of every command, as it stands.
func writeMan(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH TURNPIKE 1 \"\" \"turnpike %s\" \"User Commands\"\n.SH NAME\nturnpike \\- NAT traversal on a server of your own\n", roff(versionString()))
	block := func(text string) {
		b.WriteString(".nf\n")
		for line := range strings.Lines(text) {
			b.WriteString(roff(strings.TrimSuffix(line, "\n")) + "\n")
		}
		b.WriteString(".fi\n")
	}
	b.WriteString(".SH DESCRIPTION\n")
	block(helpMain)
	for _, c := range commands() {
		if c.name == "help" {
			continue
		}
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper("turnpike "+c.name))
		block(topics()[c.name].text)
	}
	b.WriteString(".SH CONFIGURATION\n")
	var keys strings.Builder
	if err := config.PrintFlags(&keys); err != nil {
		return err
	}
	block(strings.TrimPrefix(keys.String(), "\n"))
	_, err := io.WriteString(w, b.String())
	return err
}

// roff escapes a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
