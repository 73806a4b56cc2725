package httpapi

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestClient(t *testing.T) {
	a := newAPITest(GuestsNever)
	for _, row := range []struct {
		from, header, address, ignored string
	}{
		{stranger, "", "203.0.113.5", ""},
		{stranger, "X-Forwarded-For: 198.51.100.1", "203.0.113.5", "X-Forwarded-For"},
		{"10.0.0.1:4711", "X-Forwarded-For: 192.0.2.1, 198.51.100.1", "198.51.100.1", ""},
		{"10.0.0.1:4711", "", "10.0.0.1", ""},
	} {
		var headers []string
		if row.header != "" {
			headers = append(headers, row.header)
		}
		resp, object := a.do("GET", "/api/v1/client", "", request(row.from, "turn.example.org", headers...))
		ignored, _ := object["ignored"].(string)
		if resp.StatusCode != 200 || object["address"] != row.address || ignored != row.ignored {
			t.Errorf("from %s with %q: %d %v", row.from, row.header, resp.StatusCode, object)
		}
	}
}

// TestClientURLs: anybody learns where the server speaks TURN, also over DTLS, which signaling names to no browser. A name of loopback in the
// Host header draws no address of the network behind out of it.
func TestClientURLs(t *testing.T) {
	for _, row := range []struct{ publicHost, host, want string }{
		{"turn.example.org", "other.example.org", "[stun:turn.example.org:3478 turn:turn.example.org:3478?transport=udp turns:turn.example.org:443?transport=tcp turns:turn.example.org:5349?transport=udp]"},
		{"turn.example.org", "localhost", "[stun:turn.example.org:3478 turn:turn.example.org:3478?transport=udp turns:turn.example.org:443?transport=tcp turns:turn.example.org:5349?transport=udp]"},
		{"", "box.lan:8443", "[stun:box.lan:3478 turn:box.lan:3478?transport=udp turns:box.lan:443?transport=tcp turns:box.lan:5349?transport=udp]"},
		{"", "localhost:8443", "<nil>"},
		{"", "127.0.0.1", "<nil>"},
	} {
		a := newAPITest(GuestsNever)
		a.cfg.ICEServers.PublicHost = row.publicHost
		a.cfg.ICEServers.Listeners = []Listener{{"udp", netip.MustParseAddrPort("0.0.0.0:3478")}, {"dtls", netip.MustParseAddrPort("0.0.0.0:5349")}}
		a.cfg.ICEServers.Web = []Listener{{"tls", netip.MustParseAddrPort("0.0.0.0:443")}}
		a.cfg.ICEServers.Relays = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.0.0.5")} }
		if _, object := a.do("GET", "/api/v1/client", "", request(stranger, row.host)); fmt.Sprint(object["urls"]) != row.want {
			t.Errorf("%q by %q: %v", row.publicHost, row.host, object["urls"])
		}
	}
}
