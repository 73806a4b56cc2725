package turnserver

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

func userhashOf(username string) attribute {
	hash := sha256.Sum256([]byte(username + ":" + testRealm))
	return attribute{stun.AttrUserhash, hash[:]}
}

// startRemembering runs a server whose credentials remember their usernames.
func startRemembering(t testing.TB, shared ...auth.Secret) (*Server, *testClock, *auth.Credentials) {
	t.Helper()
	clock := new(testClock)
	credentials := auth.NewCredentials(testRealm, auth.NewSecret([]byte("signaling")), shared, clock.now)
	credentials.RememberUsernames(100, time.Minute)
	s := newServer(t, func(cfg *Config) {
		allowLoopback(cfg)
		cfg.Credentials, cfg.Mobility = credentials, true
	})
	s.wallTime = clock.now
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s, clock, credentials
}

// TestUserhash: a session's client sends only the hash of its username, from its first request until after its
// credential has expired.
func TestUserhash(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock, credentials := startRemembering(t)
		clock.advance(time.Minute)
		for _, cred := range []auth.Credential{
			credentials.MintSession("S1", "alice", 2*time.Minute), credentials.MintRelayOnly("alice", 2*time.Minute),
		} {
			for _, chosen := range []string{wire.AlgorithmSHA256, wire.AlgorithmMD5} {
				c := dialModern(t, s, network, cred, chosen)
				if c.features != wire.FeaturePasswordAlgorithms|wire.FeatureUsernameAnonymity {
					t.Fatalf("the nonce tells of %#x", c.features)
				}
				c.name = userhashOf(cred.Username)
				c.ask(0, stun.MethodAllocate)
				c.ask(403, stun.MethodCreatePermission, peerAddr(at("127.0.0.2"))) // a session's: nobody signalled that
				c.ask(0, stun.MethodRefresh, lifetime(0))

				c.name = stun.NewUsername(cred.Username) // nothing forbids to say it
				c.ask(0, stun.MethodAllocate)
				c.ask(0, stun.MethodRefresh, lifetime(0))
			}
		}
		cred := credentials.MintSession("S2", "alice", 2*time.Minute)
		c, late := dialModern(t, s, network, cred, wire.AlgorithmSHA256), dialModern(t, s, network, cred, wire.AlgorithmSHA256)
		c.name, late.name = userhashOf(cred.Username), userhashOf(cred.Username)
		c.ask(0, stun.MethodAllocate)
		clock.advance(3 * time.Minute)
		credentials.MintSession("S3", "alice", time.Minute) // which forgets those that have expired
		if _, found := credentials.Username(userhashOf(cred.Username).value); found {
			t.Fatal("the username is still remembered")
		}
		c.ask(0, stun.MethodRefresh)
		late.ask(401, stun.MethodAllocate)
		other := userhashOf(credentials.MintSession("S4", "mallory", time.Minute).Username)
		c.name = other
		c.ask(401, stun.MethodRefresh) // with a password that is not this hash's
	})
}

// TestUnknownUserhash: the server refuses the hash of nobody like a wrong password.
func TestUnknownUserhash(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		shared := auth.NewSecret([]byte("shared"))
		s, _, credentials := startRemembering(t, shared)
		session, rest := credentials.MintSession("S1", "alice", time.Hour), mintREST(t, "alice", time.Hour)
		withoutRealm := sha256.Sum256([]byte(session.Username))
		for name, row := range map[string]struct {
			cred     auth.Credential
			userhash []byte
			want     int
		}{
			"a session's":    {session, userhashOf(session.Username).value, 0},
			"an outside app": {rest, userhashOf(rest.Username).value, 401},
			"nobody":         {session, make([]byte, 32), 401},
			"empty":          {session, nil, 401},
			"too short":      {session, userhashOf(session.Username).value[:31], 401},
			"too long":       {session, append(userhashOf(session.Username).value, 0), 401},
			"without realm":  {session, withoutRealm[:], 401},
		} {
			c := dialModern(t, s, network, row.cred, wire.AlgorithmSHA256)
			if c.features&wire.FeatureUsernameAnonymity != 0 {
				t.Fatal("anonymity is offered to users of an outside app, who would not be found")
			}
			c.name = attribute{stun.AttrUserhash, row.userhash}
			before := counterOf(t, s, "authentications", "refused")
			c.ask(row.want, stun.MethodAllocate)
			if refused := counterOf(t, s, "authentications", "refused") - before; refused != 0 != (row.want == 401) {
				t.Errorf("%s: %d refusals were counted", name, refused)
			}
		}
		// Where a request has both, the name counts.
		c := dialModern(t, s, network, session, wire.AlgorithmSHA256)
		attrs := append(c.credential(), transport(transportUDP), attribute{stun.AttrUserhash, make([]byte, 32)})
		c.askSigned(0, stun.MethodAllocate, append(attrs, wiretest.IntegritySHA256(c.sha256))...)
	})
}

// TestUserhashOfAnother: an allocation stays its owner's, whichever name a request carries.
func TestUserhashOfAnother(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, _, credentials := startRemembering(t)
		alice, mallory := credentials.MintSession("S1", "alice", time.Hour), credentials.MintSession("S2", "mallory", time.Hour)
		c := dialModern(t, s, network, alice, wire.AlgorithmSHA256)
		c.name = userhashOf(alice.Username)
		c.ask(0, stun.MethodAllocate)
		for _, chosen := range []string{wire.AlgorithmSHA256, wire.AlgorithmMD5} {
			c.as(mallory)
			c.challengedBy(c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest))), 401))
			c.chosen = chosen
			c.name = userhashOf(mallory.Username)
			c.ask(441, stun.MethodRefresh, lifetime(0))
			c.name = userhashOf(alice.Username)
			c.ask(401, stun.MethodRefresh, lifetime(0))
		}
		if s.Allocations() != 1 {
			t.Error("another user's request ended the allocation")
		}
	})
}

// TestAnonymityOnlyWhereItWorks: a client that is offered anonymity sends only the hash. So the server offers it only
// once it can find every user by the hash.
func TestAnonymityOnlyWhereItWorks(t *testing.T) {
	anonymity := func(s *Server) bool {
		return dialModern(t, s, "udp", auth.Credential{Username: "x"}, "").features&wire.FeatureUsernameAnonymity != 0
	}
	if anonymity(startServer(t, nil)) {
		t.Error("offered where usernames are not remembered")
	}
	s, clock, credentials := startRemembering(t)
	if anonymity(s) {
		t.Error("offered while credentials of an earlier process may be good")
	}
	clock.advance(time.Minute)
	if !anonymity(s) {
		t.Error("not offered")
	}
	for i := range 101 {
		credentials.MintSession(string(rune('A'+i)), "alice", time.Minute)
	}
	if anonymity(s) {
		t.Error("offered although there was no room for one username")
	}
	clock.advance(time.Minute)
	if !anonymity(s) {
		t.Error("not offered although that has expired")
	}
}
