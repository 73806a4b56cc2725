package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chooser is a program with a folder of configuration of its own.
func chooser(t *testing.T, stdin string, environ ...string) *program {
	t.Helper()
	dir := t.TempDir()
	return &program{stdin: strings.NewReader(stdin), stdout: new(syncBuffer), stderr: new(syncBuffer), environ: environ,
		configDir: func() (string, error) { return dir, nil }}
}

// choose parses args as a command with these flags does.
func choose(t *testing.T, p *program, args ...string) (access, error) {
	t.Helper()
	fs := flag.NewFlagSet("netcheck", flag.ContinueOnError)
	var flags serverFlags
	flags.register(fs)
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return access{}, err
	}
	return flags.choose(p, "netcheck", strings.Join(rest, ""))
}

const (
	lab1 = "https://one.example.org"
	link = lab1 + "/r/standup#invite=eyJ.x.y"
)

func TestChooseServer(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	linkFile, tokenFile, ticketFile := write("link", link+"\n"), write("token", "eyJ.x.y"), write("ticket", "eyJ.t.t\n")
	bare := write("bare", lab1+"/r/standup")
	for name, test := range map[string]struct {
		args    []string
		stdin   string
		environ []string
		want    access
		err     string
	}{
		"an argument":              {args: []string{lab1}, want: access{base: lab1}},
		"a bare name":              {args: []string{"one.example.org"}, want: access{base: lab1}},
		"a flag":                   {args: []string{"--server", lab1}, want: access{base: lab1}},
		"a variable":               {environ: []string{"TURNPIKE_SERVER=" + lab1}, want: access{base: lab1}},
		"an argument wins":         {args: []string{lab1}, environ: []string{"TURNPIKE_SERVER=https://two.example.org"}, want: access{base: lab1}},
		"a link names the server":  {args: []string{"--invite-file", linkFile}, want: access{base: lab1, room: "standup", invite: "eyJ.x.y"}},
		"a link in a variable":     {environ: []string{"TURNPIKE_INVITE=" + link}, want: access{base: lab1, room: "standup", invite: "eyJ.x.y"}},
		"a link on standard input": {args: []string{"--invite-file", "-"}, stdin: link + "\n", want: access{base: lab1, room: "standup", invite: "eyJ.x.y"}},
		"a token and a server":     {args: []string{"--invite-file", tokenFile, lab1}, want: access{base: lab1, invite: "eyJ.x.y"}},
		"a ticket":                 {args: []string{"--ticket-file", ticketFile, lab1}, want: access{base: lab1, ticket: "eyJ.t.t"}},
		"a ticket in a variable":   {args: []string{lab1}, environ: []string{"TURNPIKE_TICKET=eyJ.t.t", "TURNPIKE_INVITE=" + link}, want: access{base: lab1, ticket: "eyJ.t.t"}},
		"a flag over variables":    {args: []string{"--invite-file", linkFile}, environ: []string{"TURNPIKE_TICKET=eyJ.t.t"}, want: access{base: lab1, room: "standup", invite: "eyJ.x.y"}},

		"nothing":                      {err: "which server? None was used before; name it once"},
		"two servers":                  {args: []string{lab1, "--server", lab1}, err: "name two servers"},
		"no URL":                       {args: []string{"ftp://one.example.org"}, err: "is not the URL of a server"},
		"an invite in an argument":     {args: []string{link}, err: "others on this machine can see arguments; put the link into a file for --invite-file"},
		"an invite in --server":        {args: []string{"--server", link}, err: "the URL of --server has an invite in it"},
		"an invite as a flag":          {args: []string{"--invite", link}, err: "there is no flag --invite, because others on this machine could see it"},
		"an invite of another server":  {args: []string{"--invite-file", linkFile, "https://two.example.org"}, err: "the invite leads to https://one.example.org, and the argument names https://two.example.org"},
		"an invite to no server":       {environ: []string{"TURNPIKE_INVITE=ftp://x/#invite=y"}, err: "leads to no server"},
		"a link without invite":        {args: []string{"--invite-file", bare}, err: "without an invite in it"},
		"a link with an empty invite":  {environ: []string{"TURNPIKE_INVITE=" + lab1 + "/r/standup#name=x"}, err: "without an invite in it"},
		"a ticket and an invite":       {args: []string{lab1, "--ticket-file", ticketFile, "--invite-file", linkFile}, err: "exclude each other"},
		"a file that is not there":     {args: []string{lab1, "--ticket-file", filepath.Join(dir, "absent")}, err: "--ticket-file: open "},
		"an empty standard input":      {args: []string{lab1, "--ticket-file", "-"}, err: "there is no ticket in standard input"},
		"an argument that is too much": {args: []string{lab1, lab1}, err: "is one argument too many"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := choose(t, chooser(t, test.stdin, test.environ...), test.args...)
			if test.err == "" && (err != nil || got != test.want) {
				t.Errorf("%+v, %v; want %+v", got, err, test.want)
			}
			if test.err == "" {
				return
			}
			if _, usage := errors.AsType[*usageError](err); err == nil || !usage || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%v, want a usage error with %q and no secret", err, test.err)
			}
		})
	}
}

// TestLastServer: a server that has answered need not be named again, and nothing but its URL is kept.
func TestLastServer(t *testing.T) {
	p := chooser(t, "")
	dir, _ := p.configDir()
	file := filepath.Join(dir, "turnpike", "server")
	for _, base := range []string{lab1, lab1, "http://localhost:8080"} {
		p.remember(base)
		if got, err := choose(t, p); err != nil || got != (access{base: base}) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	for content, want := range map[string]string{"nonsense \x00": "has no URL of a server", strings.Repeat("x", 1<<20): ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := choose(t, p); len(got.base) > 8<<10 || (want != "") && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: %.40v, %v", content, got, err)
		}
	}
	none := &program{}
	none.remember(lab1)
	if _, err := choose(t, none); err == nil || !strings.Contains(err.Error(), "which server?") {
		t.Error(err)
	}
}
