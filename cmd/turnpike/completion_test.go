package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompletions: every command has a line in the main help, every flag that a command takes is completed, and the shells that are
// here take the scripts.
func TestCompletions(t *testing.T) {
	all := allHelp()
	for _, c := range all {
		if c.summary == "" {
			t.Errorf("%s has no line in the main help", c.name)
		}
		for _, f := range c.flags {
			if f.help == "" {
				t.Errorf("%s %s has no help", c.name, f.name)
			}
		}
	}
	for command, flag := range map[string]string{"invite": "--room", "serve": "--turn-relay-ports", "setup": "--cloud-metadata", "check": "--config", "bench": "--secret", "netcheck": "--every"} {
		found := false
		for _, c := range all {
			for _, f := range c.flags {
				found = found || c.name == command && f.name == flag && (f.value || flag == "--cloud-metadata")
			}
		}
		if !found {
			t.Errorf("%s %s is not completed", command, flag)
		}
	}
	for shell, check := range map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}, "fish": {"fish", "-n"}, "man": {"groff", "-man", "-Tutf8", "-wall"}} {
		var out, errs bytes.Buffer
		p := &program{stdout: &out, stderr: &errs}
		if status := p.run(t.Context(), []string{"completion", shell}); status != 0 || out.Len() == 0 {
			t.Fatalf("%s: %d %s", shell, status, &errs)
		}
		if _, err := exec.LookPath(check[0]); err != nil {
			continue
		}
		cmd := exec.Command(check[0], append(check[1:], "/dev/stdin")...)
		cmd.Stdin = &out
		said, err := cmd.CombinedOutput()
		if err != nil || shell == "man" && strings.Contains(string(said), "warning") {
			t.Errorf("%s: %v: %.500s", shell, err, said)
		}
	}
}

// TestBashCompletion runs the script as bash does.
func TestBashCompletion(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs bash")
	}
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "turnserver.conf"), nil, 0o600), os.Mkdir(filepath.Join(dir, "turns"), 0o700)); err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	if err := writeBash(&script); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{"turnpike inv": "invite", "turnpike invite --roo": "--room", "turnpike serve --turn-relay-p": "--turn-relay-ports",
		"turnpike listen --from turn": "", "turnpike setup --from turn": "turns turnserver.conf", "turnpike receive --output turn": "turns", "turnpike serve --tls-cert-file turn": "turns turnserver.conf",
	} {
		list := strings.Fields(words)
		cmd := exec.Command("bash", "-c", script.String()+`
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_turnpike
echo "${COMPREPLY[*]}"`, "bash")
		cmd.Args, cmd.Dir = append(cmd.Args, list...), dir
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %s, want %s", words, err, out, want)
		}
	}
}
