package turnserver

import (
	"crypto/md5"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

// modern is a client of RFC 8489. It makes its requests attribute by attribute.
type modern struct {
	*testClient
	list     string // PASSWORD-ALGORITHMS as it was offered
	name     stun.Setter
	chosen   string // PASSWORD-ALGORITHM; empty: neither that nor the list is sent
	md5      []byte
	sha256   []byte
	features uint32 // in the nonce's cookie
}

// dialModern connects a client with a credential, gets a challenge, and chooses an algorithm.
func dialModern(t testing.TB, s *Server, network string, cred auth.Credential, chosen string) *modern {
	t.Helper()
	c := &modern{testClient: dialAs(t, s, network, cred), name: stun.NewUsername(cred.Username), chosen: chosen}
	c.challengedBy(c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest))), 401))
	return c
}

// challengedBy reads a challenge as RFC 8489 §9.2.5 says.
func (c *modern) challengedBy(res *stun.Message) {
	c.t.Helper()
	c.learn(res)
	list, err := res.Get(stun.AttrPasswordAlgorithms)
	if err != nil {
		c.t.Fatal("a challenge without PASSWORD-ALGORITHMS")
	}
	c.list, c.features = string(list), wire.CookieFeatures([]byte(c.nonce))
	text := []byte(c.username + ":" + c.realm + ":" + c.password)
	md5Key, sha256Key := md5.Sum(text), sha256.Sum256(text)
	c.md5, c.sha256 = md5Key[:], sha256Key[:]
}

// chosenKey is the key of the chosen algorithm.
func (c *modern) chosenKey() []byte {
	if c.chosen == wire.AlgorithmSHA256 {
		return c.sha256
	}
	return c.md5
}

// credential has the attributes of the long-term credential, without the integrity.
func (c *modern) credential() []stun.Setter {
	out := []stun.Setter{c.name, stun.NewRealm(c.realm), stun.NewNonce(c.nonce)}
	if c.chosen != "" {
		out = append(out, attribute{stun.AttrPasswordAlgorithm, []byte(c.chosen)}, attribute{stun.AttrPasswordAlgorithms, []byte(c.list)})
	}
	return out
}

// ask makes a request, signs it as RFC 8489 says, and wants an answer with a code. The answer must be signed likewise,
// if its code allows.
func (c *modern) ask(want int, method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	if method == stun.MethodAllocate {
		attrs = append(attrs, transport(transportUDP))
	}
	return c.askSigned(want, method, append(attrs, append(c.credential(), wiretest.IntegritySHA256(c.chosenKey()))...)...)
}

func (c *modern) askSigned(want int, method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	res := c.wantCode(c.roundTrip(buildMessage(c.t, stun.NewType(method, stun.ClassRequest), attrs...)), want)
	if want == 400 || want == 401 || want == 438 {
		if res.Contains(stun.AttrMessageIntegrity) || res.Contains(stun.AttrMessageIntegritySHA256) {
			c.t.Errorf("%v: %d is signed", method, want)
		}
	} else if err := wiretest.IntegritySHA256(c.chosenKey()).Check(res); err != nil {
		c.t.Errorf("%v: the answer's MESSAGE-INTEGRITY-SHA256: %v", method, err)
	}
	return res
}

// TestPasswordAlgorithms: a client of RFC 8489 can do everything with either algorithm, and the answers use the same.
func TestPasswordAlgorithms(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		for name, chosen := range map[string]string{"SHA-256": wire.AlgorithmSHA256, "MD5": wire.AlgorithmMD5} {
			s, clock := startClocked(t, allowLoopback)
			for _, cred := range []auth.Credential{mintREST(t, "alice", time.Hour), testCredentials().MintSession("S1", "alice", time.Hour)} {
				c := dialModern(t, s, network, cred, chosen)
				if c.list != "\x00\x02\x00\x00\x00\x01\x00\x00" || c.features != wire.FeaturePasswordAlgorithms {
					t.Fatalf("offered %x with features %x", c.list, c.features)
				}
				c.ask(0, stun.MethodAllocate)
				c.ask(0, stun.MethodRefresh, lifetime(1200))
				c.ask(437, stun.MethodAllocate)
				c.ask(420, stun.MethodRefresh, attribute{0x7ff0, nil})
				c.ask(403, stun.MethodCreatePermission, peerAddr(at("10.0.0.1")))
				if cred.Username == mintREST(t, "alice", time.Hour).Username {
					c.ask(0, stun.MethodCreatePermission, peerAddr(at("127.0.0.2")))
					c.ask(0, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(at("127.0.0.2")))
				}
				clock.advance(wire.NonceLifetime + time.Second)
				c.challengedBy(c.ask(438, stun.MethodRefresh))
				c.ask(0, stun.MethodRefresh, lifetime(0))
			}
			if s.Allocations() != 0 {
				t.Errorf("%s: %d allocations are left", name, s.Allocations())
			}
		}
	})
}

// TestBidDown: if somebody on the way removes the strong algorithm from a challenge, the server refuses the client's
// request (RFC 8489 §9.2.1, §16.1.3).
func TestBidDown(t *testing.T) {
	const md5Only, sha256Only, swapped = wire.AlgorithmMD5, wire.AlgorithmSHA256, wire.AlgorithmMD5 + wire.AlgorithmSHA256
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		for name, row := range map[string]struct {
			list, chosen attribute
			want         int
		}{
			"as offered":            {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 0},
			"SHA-256 taken out":     {attribute{stun.AttrPasswordAlgorithms, []byte(md5Only)}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"MD5 taken out":         {attribute{stun.AttrPasswordAlgorithms, []byte(sha256Only)}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"swapped":               {attribute{stun.AttrPasswordAlgorithms, []byte(swapped)}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"one put in":            {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms + "\x00\x03\x00\x00")}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"no list":               {attribute{stun.AttrSoftware, nil}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"empty list":            {attribute{stun.AttrPasswordAlgorithms, nil}, attribute{stun.AttrPasswordAlgorithm, []byte(md5Only)}, 400},
			"no choice":             {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrSoftware, nil}, 400},
			"empty choice":          {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, nil}, 400},
			"chosen what is not":    {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte("\x00\x03\x00\x00")}, 400},
			"chosen the reserved":   {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte("\x00\x00\x00\x00")}, 400},
			"with parameters":       {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte("\x00\x01\x00\x01x\x00\x00\x00")}, 400},
			"parameters cut short":  {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte("\x00\x01\xff\xff")}, 400},
			"two chosen":            {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte(wire.OfferedAlgorithms)}, 400},
			"choice of three bytes": {attribute{stun.AttrPasswordAlgorithms, []byte(wire.OfferedAlgorithms)}, attribute{stun.AttrPasswordAlgorithm, []byte("\x00\x01\x00")}, 400},
		} {
			c := dialModern(t, s, network, mintREST(t, "alice", time.Hour), "")
			c.chosen = wire.AlgorithmMD5 // for the answer
			attrs := append([]stun.Setter{transport(transportUDP), row.list, row.chosen}, c.name, stun.NewRealm(c.realm), stun.NewNonce(c.nonce))
			before := s.Allocations()
			c.askSigned(row.want, stun.MethodAllocate, append(attrs, wiretest.IntegritySHA256(c.md5))...)
			if got := s.Allocations() - before; got != 0 != (row.want == 0) {
				t.Errorf("%s: %d allocations were made", name, got)
			}
		}

		// If the bit that tells of the list is removed as well, the nonce is no longer the server's.
		c := dialModern(t, s, network, mintREST(t, "alice", time.Hour), "")
		good := c.nonce
		for _, forged := range []string{wire.CookiePrefix + "AAAA" + good[wire.CookieSize:], good[wire.CookieSize:], "x" + good} {
			c.nonce = forged
			c.challengedBy(c.askSigned(438, stun.MethodAllocate, append(c.credential(), transport(transportUDP), c.testClient.key)...))
			if c.features&wire.FeaturePasswordAlgorithms == 0 {
				t.Error("the challenge after the forged nonce does not offer algorithms")
			}
		}
	})
}

// TestIntegrityOfAnswers: the answer's signature depends on whether the request names an algorithm (RFC 8489 §9.2.4).
// If a request is signed twice, the better signature decides.
func TestIntegrityOfAnswers(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		bad := attribute{stun.AttrMessageIntegritySHA256, make([]byte, 32)}
		badSHA1 := attribute{stun.AttrMessageIntegrity, make([]byte, 20)}
		for name, row := range map[string]struct {
			chosen string
			sign   func(c *modern) []stun.Setter
			want   int
			answer func(c *modern) stun.Checker
		}{
			"an older client": {"", func(c *modern) []stun.Setter { return []stun.Setter{c.key} }, 437,
				func(c *modern) stun.Checker { return c.key }},
			"SHA-256 without a choice": {"", func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.md5)} }, 437,
				func(c *modern) stun.Checker { return c.key }},
			"both without a choice": {"", func(c *modern) []stun.Setter { return []stun.Setter{c.key, wiretest.IntegritySHA256(c.md5)} }, 437,
				func(c *modern) stun.Checker { return c.key }},
			"SHA-256": {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.sha256)} }, 437,
				func(c *modern) stun.Checker { return wiretest.IntegritySHA256(c.sha256) }},
			"the old integrity with a choice": {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{stun.MessageIntegrity(c.sha256)} }, 437,
				func(c *modern) stun.Checker { return wiretest.IntegritySHA256(c.sha256) }},
			"a choice of MD5": {wire.AlgorithmMD5, func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.md5)} }, 437,
				func(c *modern) stun.Checker { return wiretest.IntegritySHA256(c.md5) }},
			"bad SHA-1, good SHA-256":    {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{badSHA1, wiretest.IntegritySHA256(c.sha256)} }, 437, func(c *modern) stun.Checker { return wiretest.IntegritySHA256(c.sha256) }},
			"good SHA-1, bad SHA-256":    {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{stun.MessageIntegrity(c.sha256), bad} }, 401, nil},
			"an older client with a bad": {"", func(c *modern) []stun.Setter { return []stun.Setter{c.key, bad} }, 401, nil},
			"the key of the other":       {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.md5)} }, 401, nil},
			"the key of the other, MD5":  {wire.AlgorithmMD5, func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.sha256)} }, 401, nil},
			"a key without a choice":     {"", func(c *modern) []stun.Setter { return []stun.Setter{wiretest.IntegritySHA256(c.sha256)} }, 401, nil},
			"truncated":                  {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{truncated256{c.sha256, 16}} }, 401, nil},
			"truncated by four":          {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{truncated256{c.sha256, 28}} }, 401, nil},
			"truncated to nothing":       {wire.AlgorithmSHA256, func(c *modern) []stun.Setter { return []stun.Setter{truncated256{c.sha256, 0}} }, 401, nil},
		} {
			c := dialModern(t, s, network, mintREST(t, "alice", time.Hour), row.chosen)
			m := buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), append(c.credential(), row.sign(c)...)...)
			res := c.roundTrip(m)
			if got := codeOf(t, res); got != row.want {
				t.Errorf("%s: answered %d, want %d", name, got, row.want)
			}
			switch {
			case row.answer != nil:
				if err := row.answer(c).Check(res); err != nil || res.Contains(stun.AttrMessageIntegrity) && res.Contains(stun.AttrMessageIntegritySHA256) {
					t.Errorf("%s: the answer is signed otherwise: %v, %v", name, err, res)
				}
			case res.Contains(stun.AttrMessageIntegrity) || res.Contains(stun.AttrMessageIntegritySHA256):
				t.Errorf("%s: the refusal is signed", name)
			}
		}
	})
}

// truncated256 signs with a part of the HMAC, which RFC 8489 §14.6 allows if a usage says so.
type truncated256 struct {
	key  []byte
	size int
}

func (s truncated256) AddTo(m *stun.Message) error {
	m.Add(stun.AttrMessageIntegritySHA256, make([]byte, s.size))
	copy(m.Raw[len(m.Raw)-s.size:], wiretest.IntegritySHA256(s.key).Sum(m.Raw[:len(m.Raw)-s.size-wire.AttrHeaderSize]))
	return nil
}

// TestOneUserEitherAlgorithm: a client that knows the password owns the allocation, with either key. Nobody else does.
func TestOneUserEitherAlgorithm(t *testing.T) {
	first, second := auth.NewSecret([]byte("first")), auth.NewSecret([]byte("second"))
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, func(cfg *Config) {
			cfg.Credentials = auth.NewCredentials(testRealm, auth.NewSecret([]byte("signaling")), []auth.Secret{first, second}, time.Now)
		})
		username := mintREST(t, "alice", time.Hour).Username
		alice := auth.Credential{Username: username, Password: auth.Password(first, username)}
		otherName := mintREST(t, "mallory", time.Hour).Username
		choices := []string{wire.AlgorithmSHA256, wire.AlgorithmMD5, ""}
		for _, made := range choices {
			c := dialModern(t, s, network, alice, made)
			allocate := buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
				append(append(c.credential(), transport(transportUDP)), wiretest.IntegritySHA256(c.chosenKey()))...)
			granted := c.wantCode(c.roundTrip(allocate), 0)
			for _, used := range choices {
				c.as(alice)
				c.challengedBy(c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest))), 401))
				c.chosen, c.name = used, stun.NewUsername(alice.Username)
				do := func(want int, method stun.Method) *stun.Message {
					t.Helper()
					m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append(append(c.credential(), transport(transportUDP)), wiretest.IntegritySHA256(c.chosenKey()))...)
					if method == stun.MethodAllocate { // like a retransmission
						m.TransactionID = allocate.TransactionID
						m.WriteTransactionID()
						m.Raw = m.Raw[:len(m.Raw)-wiretest.IntegritySHA256Size]
						m.Length -= wiretest.IntegritySHA256Size
						if err := wiretest.IntegritySHA256(c.chosenKey()).AddTo(m); err != nil {
							t.Fatal(err)
						}
					}
					return c.wantCode(c.roundTrip(m), want)
				}
				do(0, stun.MethodRefresh)
				if again := do(0, stun.MethodAllocate); addressIn(t, again, stun.AttrXORRelayedAddress) != addressIn(t, granted, stun.AttrXORRelayedAddress) {
					t.Error("the Allocate sent again was answered with another relayed address")
				}
				for _, other := range []auth.Credential{
					{Username: otherName, Password: auth.Password(first, otherName)},      // another user
					{Username: alice.Username, Password: auth.Password(second, username)}, // another app's user of the same name
				} {
					c.username, c.password, c.name = other.Username, other.Password, stun.NewUsername(other.Username)
					c.challengedBy(c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest))), 401))
					do(441, stun.MethodRefresh)
					do(437, stun.MethodAllocate)
				}
			}
		}
	})
}
