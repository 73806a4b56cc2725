package node

import (
	"path/filepath"
	"testing"
)

// TestWalkInsAfterRestart: people who got in without an invite come back after a restart only as long as auth.guests still lets
// them in like that. Others are not concerned.
func TestWalkInsAfterRestart(t *testing.T) {
	for _, before := range []string{"loopback", "always"} {
		t.Run(before, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			s := start(t, "--state", state, "--auth-guests", before)
			c := signIn(t, s, "ann")
			other := map[string]string{"loopback": "always", "always": "loopback"}[before]
			for _, step := range []struct{ guests, want string }{
				{before, "restored"}, {"never", "no-such-session"}, {other, "no-such-session"}, {before, "restored"},
			} {
				s.stop()
				s = start(t, "--state", state, "--auth-guests", step.guests)
				if got := c.resumed(s); got != step.want {
					t.Errorf("guests = %s: %s, want %s", step.guests, got, step.want)
				}
			}
		})
	}
}

// TestTicketsOfWalkIns: a ticket that somebody got without an invite admits nobody once auth.guests lets nobody in like that.
func TestTicketsOfWalkIns(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	s := start(t, "--state", state)
	ticket := ticketFrom(t, s, "ann", "")
	s.stop()
	for guests, want := range map[string]string{"never": "error", "loopback": "welcome"} {
		s = start(t, "--state", state, "--auth-guests", guests)
		if got := answered(t, s, ticket); got != want {
			t.Errorf("guests = %s: %s, want %s", guests, got, want)
		}
		s.stop()
	}
}
