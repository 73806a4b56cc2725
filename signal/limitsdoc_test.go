package signal

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
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
		"messages":                         {told(l.Messages), told(l.UserMessages)},
		"joins and calls":                  {told(l.Joins), told(l.UserJoins), told(l.AddrJoins)},
		"`hello`":                          {2: told(l.AddrHellos)},
		"bad tickets":                      {2: told(l.FailedHellos)},
		"rooms, those waited for included": {strconv.Itoa(l.RoomsPerSession)},
		"sessions":                         {1: strconv.Itoa(l.SessionsPerUser), 2: strconv.Itoa(l.SessionsPerAddr)},
		"sockets":                          {2: strconv.Itoa(l.SessionsPerAddr)},
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

// told writes a rate as the table does.
func told(r Rate) string {
	if r.PerSecond < 1 {
		return fmt.Sprintf("%d, then one in %g s", r.Burst, 1/r.PerSecond)
	}
	return fmt.Sprintf("%d, then %g a second", r.Burst, r.PerSecond)
}
