package node

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestFirstLink holds that a person at a terminal gets a link that works, and a journal only the command.
func TestFirstLink(t *testing.T) {
	never := []string{"--auth-guests", "never"}
	for name, test := range map[string]struct {
		terminal bool
		args     []string
		link     bool
	}{
		"terminal":               {true, never, true},
		"terminal, public name":  {true, []string{"--public-host", "turn.example.org"}, true},
		"journal":                {false, never, false},
		"guests on this machine": {true, nil, false},
		"guests from everywhere": {true, []string{"--auth-guests", "always"}, false},
		"journal, public name":   {false, []string{"--public-host", "turn.example.org"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			s := startWith(t, Options{Terminal: test.terminal}, append([]string{"--state", state}, test.args...)...)
			_, invite, found := strings.Cut(s.row("link"), "#invite=")
			if found != test.link || found != strings.Contains(s.banner, "#invite=") {
				t.Fatalf("a link is %v, want %v:\n%s", found, test.link, s.banner)
			}
			if want := "turnpike invite --room NAME --state " + state; test.args == nil != strings.Contains(s.row("who"), "anyone on this machine") ||
				!strings.Contains(s.row("who"), want) && !strings.Contains(s.row("who"), "always") {
				t.Errorf("who: %s, want %s", s.row("who"), want)
			}
			if !found || len(test.args) > 0 && test.args[0] != "--auth-guests" {
				return
			}
			invite, _, _ = strings.Cut(invite, " ")
			resp, err := http.Post("http://"+s.listener(t)+"/api/v1/tickets", "application/json", strings.NewReader(`{"name":"Ada","invite":"`+invite+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(body), `"role":"guest"`) {
				t.Errorf("the link gives %d %s", resp.StatusCode, body)
			}
		})
	}
}
