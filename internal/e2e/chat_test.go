//go:build linux

package e2e

import (
	"testing"
	"time"

	"example.org/turnpike/internal/netlab"
)

// TestChat holds what the chat of a room says of messages: unread, sent, delivered, seen, and not delivered.
func TestChat(t *testing.T) {
	driveLocally(t, "unread", "fates", "writing")
}

// TestChatWhileAway cuts the network of one of three people for longer than the server keeps sessions.
func TestChatWhileAway(t *testing.T) {
	need(t, "node", "chromium", "certutil", "ss")
	lab := netlab.New(t)
	s, config, ca := startServerOn(t, lab, lab.Public("server"), defaultListen+"\n[signal]\nresume_window = \"1s\"")
	link := s.link(t, config, "standup")
	var hosts []*netlab.Host
	var people []person
	for _, name := range []string{"ann", "ben", "cid"} {
		host := lab.Public(name)
		hosts = append(hosts, host)
		people = append(people, person{place: chromiumAt(t, host, ca), Name: name, URL: link})
	}
	driveOn(t, nil, "cutoff", map[string]any{"people": people}, map[string]func(){
		"cut": func() {
			lab.Rules(hosts[1], `
table inet cut {
	chain in {
		type filter hook input priority filter; policy drop
	}
	chain out {
		type filter hook output priority filter; policy drop
	}
}
`)
			// The server need not wait 45 s to hear nothing.
			ctx, cancel := within(t, 20*time.Second)
			defer cancel()
			for _, to := range []string{hosts[1].Addr().String(), "[" + hosts[1].Addr6().String() + "]"} {
				if out, err := s.host.Command(ctx, "ss", "-K", "state", "established", "dst", to).CombinedOutput(); err != nil {
					t.Errorf("ss: %v: %s", err, out)
				}
			}
		},
		"mend": func() { lab.Rules(hosts[1], "delete table inet cut") },
	})
}
