package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// signalingClient is one session at a test's node.
type signalingClient struct {
	t       *testing.T
	server  *testNode
	conn    *websocket.Conn
	welcome wire.Welcome
}

// signIn comes in as a guest of that name.
func signIn(t *testing.T, s *testNode, name string) *signalingClient {
	t.Helper()
	c := signInWith(t, s, ticketFrom(t, s, name, ""))
	if len(c.welcome.ICEServers) == 0 {
		t.Fatalf("welcome %+v", c.welcome)
	}
	return c
}

// signInWith comes in with a ticket.
func signInWith(t *testing.T, s *testNode, ticket string) *signalingClient {
	t.Helper()
	c := &signalingClient{t: t}
	c.dial(s)
	c.say(`{"type":"hello","ticket":%q}`, ticket)
	welcome, ok := c.hear("welcome").(*wire.Welcome)
	if !ok {
		t.Fatalf("welcome %+v", welcome)
	}
	c.welcome = *welcome
	return c
}

// ticketFrom gets a ticket by an invite; empty: without one.
func ticketFrom(t *testing.T, s *testNode, name, invite string) string {
	t.Helper()
	resp, err := http.Post(s.row("web")+"/api/v1/tickets", "application/json", strings.NewReader(fmt.Sprintf(`{"name":%q,"invite":%q}`, name, invite)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ticket struct{ Ticket string }
	if err := json.NewDecoder(resp.Body).Decode(&ticket); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", resp.StatusCode, err)
	}
	return ticket.Ticket
}

// dial connects to a node.
func (c *signalingClient) dial(s *testNode) {
	c.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}}
	conn, _, err := dialer.Dial(strings.Replace(s.row("web"), "http", "ws", 1)+"/signal", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	c.server, c.conn = s, conn
}

// comeBack has a node carry the session on, which must be as it was, and returns its welcome.
func (c *signalingClient) comeBack(s *testNode, how string) *wire.Welcome {
	c.t.Helper()
	c.dial(s)
	c.say(`{"type":"hello","resume":{"session":%q,"token":%q,"received":0}}`, c.welcome.Session, c.welcome.Resume)
	welcome, ok := c.hear("welcome").(*wire.Welcome)
	if !ok || welcome.Resumed != how || welcome.Session != c.welcome.Session {
		c.t.Fatalf("welcome %+v, want it %s", welcome, how)
	}
	return welcome
}

func (c *signalingClient) say(format string, args ...any) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads until a message of this type comes.
func (c *signalingClient) hear(typ string) wire.Message {
	c.t.Helper()
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, data, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", typ, err)
		}
		m, _, err := wire.ParseServer(data)
		if err != nil {
			c.t.Fatal(err)
		}
		if m != nil && m.Type() == typ {
			return m
		}
	}
}

// turn is a TURN client with the credential of the session's welcome.
func (c *signalingClient) turn() *turnClient {
	c.t.Helper()
	relays := c.welcome.ICEServers[len(c.welcome.ICEServers)-1]
	uri, err := stun.ParseURI(relays.URLs[0])
	if err != nil {
		c.t.Fatal(err)
	}
	target := turnTarget{uri: uri, credential: auth.Credential{Username: relays.Username, Password: relays.Credential}}
	return target.dial(c.t)
}

// relays reports whether the session has a relay.
func (c *signalingClient) relays() bool {
	c.t.Helper()
	status, body := get(c.t, http.DefaultClient, strings.TrimSuffix(c.server.row("metrics"), "/metrics")+"/allocations")
	if status != http.StatusOK {
		c.t.Fatalf("allocations: %d %s", status, body)
	}
	return strings.Contains(body, c.welcome.Session)
}

// meet puts sessions into one room, the first as its host.
func meet(clients ...*signalingClient) {
	for _, c := range clients {
		c.say(`{"type":"join","room":"meeting","create":true,"size":4}`)
		c.hear("joined")
	}
}

// TestStolenCredential takes the credential out of a welcome and uses it as a thief would, with another implementation
// of TURN. The peer policy allows two more addresses, of which a room mate signals one.
func TestStolenCredential(t *testing.T) {
	s := start(t, "--turn-allow-peers", "127.0.0.2/32,127.0.0.3/32")
	mate, victim := signIn(t, s, "Mate"), signIn(t, s, "Victim")
	meet(mate, victim)
	thief, other := victim.turn(), mate.turn()
	relay, err := thief.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	live, err := other.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()

	const forbidden = "403"
	try := func(what, addr, want string) {
		t.Helper()
		udp, err := net.ResolveUDPAddr("udp", addr)
		if err == nil {
			err = thief.CreatePermission(udp)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	try("an address that nobody signalled yet", "127.0.0.2:9", forbidden)
	mate.say(`{"type":"signal","room":"meeting","to":%q,"candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.2 9 typ host"}}`, victim.welcome.Session)
	victim.hear("signal")
	try("what a room mate signalled", "127.0.0.2:9", "")
	try("an address that the policy allows and nobody signalled", "127.0.0.3:9", forbidden)
	try("the internet", "8.8.8.8:53", forbidden)
	try("the network of the server", "10.0.0.1:80", forbidden)
	try("a live relay", live.LocalAddr().String(), "")
	if err := other.CreatePermission(relay.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), relay, live); err != nil {
		t.Errorf("from relay to relay: %v", err)
	}

	// After the kick, the credential reaches nothing that it did before.
	mate.say(`{"type":"kick","id":"1","room":"meeting","session":%q}`, victim.welcome.Session)
	mate.hear("kicked")
	again, err := victim.turn().Allocate() // the session is alive
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	thief = victim.turn()
	if again, err = thief.Allocate(); err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	try("what was signalled before the kick", "127.0.0.2:9", forbidden)
}

// TestWhatEndsRelays holds that a kick and a bye end a session's relays, and a lost connection does not.
func TestWhatEndsRelays(t *testing.T) {
	for _, tc := range []struct {
		name string
		ends bool
		do   func(host, guest *signalingClient)
	}{
		{"kick", true, func(host, guest *signalingClient) {
			host.say(`{"type":"kick","id":"1","room":"meeting","session":%q}`, guest.welcome.Session)
			host.hear("kicked")
		}},
		{"bye", true, func(host, guest *signalingClient) {
			guest.say(`{"type":"bye"}`)
			host.hear("peer-left")
		}},
		{"lost connection", false, func(host, guest *signalingClient) {
			_ = guest.conn.NetConn().Close()
			host.hear("peer-away")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t)
			host, guest := signIn(t, s, "Host"), signIn(t, s, "Guest")
			meet(host, guest)
			a, b := host.turn(), guest.turn()
			mine, err := a.Allocate()
			if err != nil {
				t.Fatal(err)
			}
			defer mine.Close()
			theirs, err := b.Allocate()
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{a.CreatePermission(theirs.LocalAddr()), b.CreatePermission(mine.LocalAddr())} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := send(t.Context(), mine, theirs); err != nil {
				t.Fatal(err)
			}
			tc.do(host, guest)
			for deadline := time.Now().Add(10 * time.Second); tc.ends && guest.relays(); {
				if time.Now().After(deadline) {
					t.Fatal("the relay goes on")
				}
			}
			if !host.relays() {
				t.Error("the other's relay ended too")
			}
			if !tc.ends {
				if err := send(t.Context(), theirs, mine); err != nil {
					t.Errorf("the relay carries nothing any more: %v", err)
				}
				_ = theirs.Close()
			}
		})
	}
}
