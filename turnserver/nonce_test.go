package turnserver

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

func TestStaleNonce(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, nil)
		c := dialREST(t, s, network, "alice")
		c.allocate()
		clock.advance(wire.NonceLifetime - 2*time.Second)
		c.wantCode(c.roundTrip(c.build(stun.MethodRefresh, lifetime(3600))), 0)

		clock.advance(4 * time.Second)
		stale := c.wantCode(c.roundTrip(c.build(stun.MethodRefresh)), 438)
		old := c.nonce
		c.learn(stale)
		if c.nonce == old {
			t.Error("the stale nonce was handed out again")
		}
		c.wantCode(c.roundTrip(c.build(stun.MethodRefresh)), 0)
	})
}

// TestForeignNonce: a nonce is good only at the address that it was made for, and only if this server made it.
func TestForeignNonce(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c, other := dialREST(t, s, network, "alice").challenged(), dialREST(t, s, network, "alice").challenged()
		good := c.nonce
		for name, nonce := range map[string]string{
			"another client's": other.nonce,
			"one character":    "x",
			"cut":              good[:len(good)-1],
			"longer":           good + "A",
			"changed prefix":   flip(good, 0),
			"changed features": flip(good, len(wire.CookiePrefix)),
			"other features":   good[:len(wire.CookiePrefix)] + "wAAA" + good[wire.CookieSize:],
			"no features":      good[:len(wire.CookiePrefix)] + "AAAA" + good[wire.CookieSize:],
			"no cookie":        good[wire.CookieSize:],
			"changed time":     flip(good, wire.CookieSize),
			"changed second":   flip(good, wire.CookieSize+1),
			"changed MAC":      flip(good, len(good)-2),
			"changed last bit": good[:len(good)-1] + string(good[len(good)-1]+1),
			"no base64":        good[:len(good)-2] + "\r\n",
		} {
			c.nonce = nonce
			c.wantCode(c.roundTrip(c.build(stun.MethodAllocate, transport(transportUDP))), 438)
			if s.Allocations() != 0 {
				t.Fatalf("%s: an allocation was made", name)
			}
		}
		c.nonce = good
		c.wantCode(c.roundTrip(c.build(stun.MethodAllocate, transport(transportUDP))), 0)
	})
}

// flip changes a letter of base64.
func flip(s string, i int) string {
	b := []byte(s)
	b[i] = "AB"[min(1, strings.IndexByte("A", b[i])+1)]
	return string(b)
}

// TestNonceFromTheFuture: the nonce of a node with a clock that is a little ahead is good.
func TestNonceFromTheFuture(t *testing.T) {
	s, clock := startClocked(t, nil)
	c := dialREST(t, s, "udp", "alice")
	for ahead, want := range map[time.Duration]int{30 * time.Second: 0, 2 * time.Minute: 438} {
		clock.advance(ahead)
		c.challenged()
		clock.advance(-ahead)
		c.wantCode(c.roundTrip(c.build(stun.MethodAllocate, transport(transportUDP))), want)
		if want == 0 {
			c.accept(stun.MethodRefresh, lifetime(0))
		}
		c.nonce, c.key = "", nil
	}
}

// TestNonceComesLast: the server judges the credential before the age of the nonce (RFC 8489 §9.2.4), unless the nonce
// was made for another client.
func TestNonceComesLast(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, nil)
		good := mintREST(t, "alice", time.Hour)
		right, wrong := dialAs(t, s, network, good).challenged(), dialAs(t, s, network, auth.Credential{Username: good.Username, Password: "x"}).challenged()
		clock.advance(wire.NonceLifetime + 2*time.Second)
		right.wantCode(right.roundTrip(right.build(stun.MethodRefresh)), 438)
		wrong.wantCode(wrong.roundTrip(wrong.build(stun.MethodRefresh)), 401)
		if counterOf(t, s, "authentications", "refused") != 1 || counterOf(t, s, "authentications", "stale_nonce") != 1 {
			t.Error("not counted as one refusal and one stale nonce")
		}
		right.nonce, wrong.nonce = wrong.nonce, right.nonce
		right.wantCode(right.roundTrip(right.build(stun.MethodRefresh)), 438)
		wrong.wantCode(wrong.roundTrip(wrong.build(stun.MethodRefresh)), 438)
		if counterOf(t, s, "authentications", "refused") != 1 {
			t.Error("a credential was looked at that came with another client's nonce")
		}
	})
}

// TestChallengesAreShort: a challenge has no more than it must have, since it may go to an address that did not ask. To
// the shortest Allocate it is 2.9 times as long.
func TestChallengesAreShort(t *testing.T) {
	s := startServer(t, func(cfg *Config) {
		cfg.Realm = "turnpike"
		cfg.Credentials = auth.NewCredentials("turnpike", auth.NewSecret([]byte("signaling")), nil, time.Now)
	})
	c := dial(t, s, "udp")
	const header, code, realm, nonce, algorithms = 20, 8, 12, 28, 12
	if got := len(c.wantCode(c.roundTrip(c.build(stun.MethodAllocate)), 401).Raw); got != header+code+realm+nonce+algorithms {
		t.Errorf("a challenge is of %d bytes, want %d", got, header+code+realm+nonce+algorithms)
	}
	for name, m := range map[string]*stun.Message{
		"no credential":     c.build(stun.MethodRefresh, attribute{stun.AttrMessageIntegrity, make([]byte, 20)}),
		"unknown attribute": c.build(stun.MethodBinding, attribute{0x7ff0, nil}),
	} {
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(c.roundTrip(m)); err != nil || len(code.Reason) > 0 {
			t.Errorf("%s: a stranger is told %q (%v)", name, code.Reason, err)
		}
	}
}
