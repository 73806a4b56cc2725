package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var backendExample = regexp.MustCompile("(?s)\n## For backends\n.*?\n```sh\n(.*?)```")

// TestBackendExample runs the commands that docs/sdk.md has for backends.
func TestBackendExample(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs curl")
	}
	page, err := os.ReadFile("../../docs/sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	example := backendExample.FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/sdk.md has no example for backends")
	}
	const key = "a key for this test that is long"
	s := startProgram(program{environ: []string{"TURNPIKE_AUTH_API_KEYS=" + key}}, "--state", filepath.Join(t.TempDir(), "state"))
	t.Cleanup(s.stop)
	if s.banner == "" {
		t.Fatal(s.stderr.String())
	}
	web, _, _ := strings.Cut(s.row("web"), "  ")
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", string(example[1]))
	cmd.Env = append(os.Environ(), "KEY="+key, "API="+web+"/api/v1/admin", "no_proxy=*")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, stderr.Bytes())
	}
	var answers []map[string]any
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var answer map[string]any
		if err := d.Decode(&answer); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		answers = append(answers, answer)
	}
	if len(answers) != 6 {
		t.Fatalf("%d answers: %s", len(answers), out)
	}
	for i, field := range []string{"ticket", "link", "users", "rooms", "sessions", "sessions"} {
		if answers[i][field] == nil {
			t.Errorf("answer %d is %v, without %s", i, answers[i], field)
		}
	}
	if answers[0]["user"] != "turnpike:u1" || answers[0]["role"] != "member" {
		t.Errorf("the ticket is %v", answers[0])
	}
}
