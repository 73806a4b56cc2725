package node

import (
	"net/netip"
	"strings"
	"testing"

	"example.org/turnpike/turnserver"
)

// TestCheckContainer: a container with a private address of its own and a public name needs to know its public address.
func TestCheckContainer(t *testing.T) {
	relays := func(local, external string) []turnserver.RelayAddress {
		return []turnserver.RelayAddress{{Local: netip.MustParseAddr(local), External: netip.MustParseAddr(external)}}
	}
	for title, test := range map[string]struct {
		host   string
		relays []turnserver.RelayAddress
		refuse bool
		args   []string
	}{
		"a bridge":           {"turn.example.org", relays("172.18.0.2", "172.18.0.2"), true, nil},
		"a bridge, mapped":   {"turn.example.org", relays("172.18.0.2", "45.33.7.10"), false, nil},
		"the host's network": {"turn.example.org", relays("45.33.7.10", "45.33.7.10"), false, nil},
		"a network inside":   {"turn.lan", relays("10.0.0.5", "10.0.0.5"), false, nil},
		"a network inside, by a name of the world": {"turn.example.org", relays("10.0.0.5", "10.0.0.5"), false, []string{"--turn-external-addresses", "0.0.0.0=10.0.0.5"}},
		"loopback":       {"turn.example.org", relays("127.0.0.1", "127.0.0.1"), false, nil},
		"nobody outside": {"", relays("172.18.0.2", "172.18.0.2"), false, nil},
	} {
		args := test.args
		if test.host != "" {
			args = append(args, "--public-host", test.host)
		}
		err := checkContainer(load(t, args...), test.relays)
		if (err != nil) != test.refuse || err != nil && !strings.Contains(err.Error(), "turn.external_addresses: does not tell by which address the world knows this container, whose own is 172.18.0.2; set it to") {
			t.Errorf("%s: %v", title, err)
		}
	}
}
