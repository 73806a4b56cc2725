package signal

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"example.org/turnpike/auth"
)

// TestProtocolTellsDefaults: the table of limits in PROTOCOL.md has the defaults.
func TestProtocolTellsDefaults(t *testing.T) {
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	_, table, _ := strings.Cut(string(text), "\n## Limits\n")
	for line := range strings.Lines(table) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); len(cells) == 4 {
			rows[strings.TrimSpace(cells[0])] = cells[1:]
		}
	}
	l := DefaultLimits()
	for what, want := range map[string][3]string{
		"messages; a `say` is one to each receiver": {told(l.Messages), told(l.UserMessages)},
		"joins, calls and new names":                {told(l.Joins), told(l.UserJoins), told(l.AddrJoins)},
		"`hello` and `refresh`":                     {2: told(l.AddrHellos)},
		"bad tickets":                               {2: told(l.FailedHellos)},
		"rooms, those waited for included":          {strconv.Itoa(l.RoomsPerSession)},
		"sessions":                                  {1: strconv.Itoa(l.SessionsPerUser), 2: strconv.Itoa(l.SessionsPerAddr)},
		"sockets":                                   {2: strconv.Itoa(l.SessionsPerAddr)},
	} {
		row := rows[what]
		if row == nil {
			t.Errorf("PROTOCOL.md has no row about %s", what)
			continue
		}
		for i, cell := range row {
			value, _, _ := strings.Cut(strings.TrimSpace(cell), ";")
			if value != want[i] && !strings.HasPrefix(value, want[i]+" ") {
				t.Errorf("PROTOCOL.md says %q of %s, and the default is %q", value, what, want[i])
			}
		}
	}
}

// TestWelcomeTellsLimits: a session is told the limits that it has, unless it knows them already.
func TestWelcomeTellsLimits(t *testing.T) {
	h := newHarness(t, func(cfg *Config) {
		cfg.ResumeWindow = testWindow
		cfg.Limits = Limits{RoomsPerSession: 3, SessionsPerUser: 7, Messages: Rate{PerSecond: 5, Burst: 20}, Joins: Rate{PerSecond: 0.5, Burst: 30}}
	})
	c := h.dial()
	c.send(msg{"type": "hello", "ticket": testTicket("ann", "Ann", auth.RoleGuest)})
	w := c.expect("welcome")
	limits, _ := w["limits"].(map[string]any)
	for name, want := range map[string]any{
		"messageBytes": 65536.0, "rooms": 3.0, "sessions": 7.0, "roomSize": 16.0, "waiting": 32.0,
		"unacknowledgedMessages": 1024.0, "unacknowledgedBytes": 1048576.0,
		"dataBytes": 16384.0, "callDataBytes": 4096.0,
		"messages":     map[string]any{"burst": 20.0, "perMinute": 300.0},
		"joins":        map[string]any{"burst": 30.0, "perMinute": 30.0},
		"userMessages": map[string]any{"burst": 800.0, "perMinute": 12000.0},
		"userJoins":    map[string]any{"burst": 60.0, "perMinute": 60.0},
	} {
		if !reflect.DeepEqual(limits[name], want) {
			t.Errorf("%s is %v, want %v", name, limits[name], want)
		}
	}
	if len(limits) != 13 {
		t.Errorf("the limits are %v", limits)
	}
	back := h.dial()
	back.send(msg{"type": "hello", "resume": msg{"session": w["session"], "token": w["resume"], "received": 0}})
	if w := back.expect("welcome", "resumed", "replayed"); w["limits"] != nil {
		t.Errorf("told again: %v", w["limits"])
	}
	next := newHarness(t, func(cfg *Config) { cfg.ResumeWindow = testWindow })
	restored := next.dial()
	restored.send(msg{"type": "hello", "resume": msg{"session": w["session"], "token": w["resume"], "received": 0}})
	if w := restored.expect("welcome", "resumed", "restored"); w["limits"].(map[string]any)["rooms"] != 16.0 {
		t.Errorf("the next process says %v", w["limits"])
	}
}

// told writes a rate as the table does.
func told(r Rate) string {
	if r.PerSecond < 1 {
		return fmt.Sprintf("%d, then one in %g s", r.Burst, 1/r.PerSecond)
	}
	return fmt.Sprintf("%d, then %g a second", r.Burst, r.PerSecond)
}
