package turnserver

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
	"example.org/turnpike/turnserver/wire/wiretest"
)

// turnMethods are the methods that need a credential.
func turnMethods() []stun.Method {
	return []stun.Method{
		stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodConnect, stun.MethodConnectionBind,
	}
}

func TestChallenge(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		c := dial(t, startServer(t, nil), network)
		for _, method := range turnMethods() {
			res := c.wantCode(c.roundTrip(c.build(method)), 401)
			var realm stun.Realm
			var nonce stun.Nonce
			if err := res.Parse(&realm, &nonce); err != nil || realm.String() != testRealm || len(nonce) == 0 {
				t.Errorf("%v: realm %q, nonce %q, %v", method, realm, nonce, err)
			}
			if res.Contains(stun.AttrMessageIntegrity) {
				t.Errorf("%v: a challenge is signed", method)
			}
		}
	})
}

func TestMissingCredentialAttributes(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		c := dialREST(t, startServer(t, nil), network, "alice").challenged()
		username, realm, nonce := stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce)
		for name, attrs := range map[string][]stun.Setter{
			"no USERNAME":              {realm, nonce, c.key},
			"no REALM":                 {username, nonce, c.key},
			"no NONCE":                 {username, realm, c.key},
			"none":                     {c.key},
			"USERNAME after integrity": {realm, nonce, c.key, username},
			"NONCE after integrity":    {username, realm, c.key, nonce},
		} {
			for _, method := range turnMethods() {
				m := buildMessage(t, stun.NewType(method, stun.ClassRequest), append([]stun.Setter{transport(transportUDP)}, attrs...)...)
				if got := codeOf(t, c.roundTrip(m)); got != 400 {
					t.Errorf("%v, %s: answered %d, want 400", method, name, got)
				}
			}
		}
	})
}

func TestWrongCredentials(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		good := mintREST(t, "alice", time.Hour)
		expiry, _, _ := strings.Cut(good.Username, ":")
		session := testCredentials().MintSession("S1", "alice", time.Hour)
		for name, cred := range map[string]auth.Credential{
			"wrong password":          {Username: good.Username, Password: "guess"},
			"empty password":          {Username: good.Username},
			"another user's password": {Username: expiry + ":mallory", Password: good.Password},
			"a later expiry":          {Username: "9" + good.Username, Password: good.Password},
			"no expiry":               {Username: "alice", Password: good.Password},
			"expiry in words":         {Username: "tomorrow:alice", Password: good.Password},
			"empty username":          {Password: good.Password},
			"only a colon":            {Username: ":", Password: good.Password},
			"control characters":      {Username: expiry + ":a\nb", Password: good.Password},
			"no UTF-8":                {Username: expiry + ":\xff", Password: good.Password},
			"longer than STUN allows": {Username: expiry + ":" + strings.Repeat("x", 500), Password: good.Password},
			"a session under the password of another": {Username: session.Username + "x", Password: session.Password},
			"a session under a guessed password":      {Username: expiry + ":s.S2", Password: auth.Password(auth.NewSecret([]byte("signaling")), expiry+":s.S2")},
		} {
			c := dialAs(t, s, network, cred)
			res := c.wantCode(c.do(stun.MethodAllocate, transport(transportUDP)), 401)
			if !res.Contains(stun.AttrNonce) || !res.Contains(stun.AttrRealm) {
				t.Errorf("%s: the refusal has no NONCE or REALM", name)
			}
		}
		c := dialAs(t, s, network, good).challenged()
		c.realm = "elsewhere"
		c.key = stun.NewLongTermIntegrity(c.username, c.realm, c.password)
		c.refuse(401, stun.MethodAllocate, transport(transportUDP))
		if s.Allocations() != 0 {
			t.Error("an allocation was made")
		}
		owner := dialAs(t, s, network, good)
		owner.allocate()
		m := buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest),
			stun.NewUsername(owner.username), stun.NewRealm("elsewhere"), stun.NewNonce(owner.nonce), owner.key)
		owner.wantCode(owner.roundTrip(m), 401) // however well it is signed
	})
}

// TestRefusalsLookAlike: an outsider cannot tell an unknown user, an expired credential and a wrong password apart.
func TestRefusalsLookAlike(t *testing.T) {
	s := startServer(t, nil)
	var first *stun.Message
	for name, cred := range map[string]auth.Credential{
		"unknown": {Username: "nobody", Password: "x"},
		"wrong":   {Username: mintREST(t, "alice", time.Hour).Username, Password: "x"},
		"expired": mintREST(t, "alice", -time.Hour),
	} {
		c := dialAs(t, s, "udp", cred).challenged()
		res := c.refuse(401, stun.MethodAllocate, transport(transportUDP))
		if first == nil {
			first = res
		}
		if len(res.Raw) != len(first.Raw) || !bytes.Equal(errorOf(t, res), errorOf(t, first)) {
			t.Errorf("%s: refused with %v, others with %v", name, res, first)
		}
	}
}

func errorOf(t *testing.T, m *stun.Message) []byte {
	t.Helper()
	v, err := m.Get(stun.AttrErrorCode)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWrongIntegrity sends signatures that cannot be right.
func TestWrongIntegrity(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, nil)
		c := dialREST(t, s, network, "alice").challenged()
		m := c.build(stun.MethodAllocate, transport(transportUDP))
		m.Raw[len(m.Raw)-1] ^= 1
		c.wantCode(c.roundTrip(m), 401)
		for _, size := range []int{0, 1, 19, 21, 32, 100} {
			attrs := []stun.Setter{
				transport(transportUDP), stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
				attribute{stun.AttrMessageIntegrity, make([]byte, size)},
			}
			c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), attrs...)), 401)
		}
		// A signature at the very front, before anything that it could cover.
		c.wantCode(c.roundTrip(buildMessage(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest), attribute{stun.AttrMessageIntegrity, nil})), 400)
	})
}

// TestExpiredCredential: the server judges expiry when a client asks for a relay, and never cuts a live one.
func TestExpiredCredential(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s, clock := startClocked(t, allowLoopback)
		cred := mintREST(t, "alice", time.Minute)
		c := dialAs(t, s, network, cred)
		c.allocate()
		clock.advance(2 * time.Minute)

		peer := netip.AddrPortFrom(peerIP, 9)
		c.accept(stun.MethodRefresh)
		c.permit(peer)
		c.bind(wire.MinChannel, peer)

		late := dialAs(t, s, network, cred)
		late.refuse(401, stun.MethodAllocate, transport(transportUDP))
		late.refuse(437, stun.MethodRefresh) // it still proves the user's identity, and nothing else

		c.accept(stun.MethodRefresh, lifetime(0))
		c.refuse(401, stun.MethodAllocate, transport(transportUDP))
	})
}

func TestSecrets(t *testing.T) {
	first, second := auth.NewSecret([]byte("first")), auth.NewSecret([]byte("second"))
	s := startServer(t, func(cfg *Config) {
		cfg.Credentials = auth.NewCredentials(testRealm, auth.NewSecret([]byte("signaling")), []auth.Secret{first, second}, time.Now)
	})
	expiry := mintREST(t, "alice", time.Hour).Username
	for _, username := range []string{expiry, strings.TrimSuffix(expiry, ":alice")} { // coturn's users may leave the name out
		for secret, want := range map[string]int{"first": 0, "second": 0, "third": 401} {
			cred := auth.Credential{Username: username, Password: auth.Password(auth.NewSecret([]byte(secret)), username)}
			c := dialAs(t, s, "udp", cred)
			c.wantCode(c.do(stun.MethodAllocate, transport(transportUDP)), want)
		}
	}
	// A key of an app cannot sign for a session: the server reads "s." only under signaling's key.
	username := strings.TrimSuffix(expiry, "alice") + "s.S1"
	c := dialAs(t, s, "udp", auth.Credential{Username: username, Password: auth.Password(first, username)})
	c.allocate()
	s.EndSession("S1")
	c.accept(stun.MethodRefresh)
	s.EndUser("s.S1")
	c.refuse(437, stun.MethodRefresh)
}

// TestAfterIntegrity: attributes behind MESSAGE-INTEGRITY may be anybody's and do not count (RFC 8489 §14.5).
func TestAfterIntegrity(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		c.allocate()
		with := func(method stun.Method, before []stun.Setter, after ...stun.Setter) int {
			m := c.build(method, before...)
			for _, a := range after {
				if err := a.AddTo(m); err != nil {
					t.Fatal(err)
				}
			}
			return codeOf(t, c.roundTrip(m))
		}
		if got := with(stun.MethodRefresh, nil, lifetime(0)); got != 0 || s.Allocations() != 1 {
			t.Errorf("LIFETIME 0 behind the signature: answered %d, and %d allocations live", got, s.Allocations())
		}
		if got := with(stun.MethodRefresh, nil, attribute{0x7ff0, nil}, stun.Fingerprint); got != 0 {
			t.Errorf("an unknown attribute behind the signature: answered %d", got)
		}
		peer := peerAddr(netip.AddrPortFrom(peerIP, 9))
		if got := with(stun.MethodCreatePermission, nil, peer); got != 400 {
			t.Errorf("a peer behind the signature: answered %d, want 400", got)
		}
		denied := peerAddr(netip.MustParseAddrPort("10.0.0.1:9"))
		if got := with(stun.MethodCreatePermission, []stun.Setter{peer}, denied); got != 0 {
			t.Errorf("a denied peer behind the signature: answered %d", got)
		}
		for _, signature := range []stun.Setter{c.key, wiretest.IntegritySHA256(c.key)} {
			if got := codeOf(t, c.roundTrip(buildMessage(t, stun.BindingRequest, signature, attribute{0x7ff0, nil}))); got != 0 {
				t.Errorf("Binding with an unknown attribute behind %T: answered %d", signature, got)
			}
		}

		// The same with the new signature: only attributes count that it covers, or that the old one before it does.
		m := dialModern(t, s, network, mintREST(t, "alice", time.Hour), wire.AlgorithmSHA256)
		m.ask(0, stun.MethodAllocate)
		sign := wiretest.IntegritySHA256(m.sha256)
		end := lifetime(0)
		for name, tail := range map[string][]stun.Setter{
			"behind":            {sign, end},
			"with FINGERPRINT":  {sign, end, stun.Fingerprint},
			"between the two":   {attribute{stun.AttrMessageIntegrity, make([]byte, 20)}, end, sign},
			"behind the two":    {attribute{stun.AttrMessageIntegrity, make([]byte, 20)}, sign, end},
			"before a third":    {sign, end, attribute{stun.AttrMessageIntegritySHA256, make([]byte, 32)}},
			"before an old one": {sign, end, attribute{stun.AttrMessageIntegrity, make([]byte, 20)}},
		} {
			before := s.Allocations()
			m.askSigned(0, stun.MethodRefresh, append(m.credential(), tail...)...)
			if s.Allocations() != before {
				t.Errorf("LIFETIME 0 %s the signature counted", name)
			}
		}
	})
}

// TestDuplicateAttributes: of attributes that may come once, the first counts (RFC 8489 §14).
func TestDuplicateAttributes(t *testing.T) {
	onEach(t, func(t *testing.T, network string) {
		s := startServer(t, allowLoopback)
		c := dialREST(t, s, network, "alice")
		c.allocate(transport(6)) // allocate puts UDP first
		c.accept(stun.MethodRefresh, lifetime(1200), lifetime(0))
		if s.Allocations() != 1 {
			t.Fatal("the second LIFETIME counted")
		}
		first, second := netip.AddrPortFrom(peerIP, 1), netip.AddrPortFrom(peerIP, 2)
		c.accept(stun.MethodChannelBind, channelNumber(wire.MinChannel), channelNumber(wire.MinChannel+1), peerAddr(first), peerAddr(second))
		c.bind(wire.MinChannel, first)
		c.refuse(400, stun.MethodChannelBind, channelNumber(wire.MinChannel), peerAddr(second))

		twice := buildMessage(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest),
			stun.NewUsername(c.username), stun.NewUsername("mallory"), stun.NewRealm(c.realm), stun.NewRealm("elsewhere"),
			stun.NewNonce(c.nonce), stun.NewNonce("x"), c.key)
		twice.Add(stun.AttrMessageIntegrity, make([]byte, 20))
		c.wantCode(c.roundTrip(twice), 0)

		m := dialModern(t, s, network, mintREST(t, "alice", time.Hour), wire.AlgorithmSHA256)
		m.ask(0, stun.MethodAllocate)
		m.askSigned(0, stun.MethodRefresh, append(m.credential(),
			attribute{stun.AttrPasswordAlgorithm, []byte(wire.AlgorithmMD5)}, attribute{stun.AttrPasswordAlgorithms, []byte(wire.AlgorithmMD5)},
			wiretest.IntegritySHA256(m.sha256), attribute{stun.AttrMessageIntegritySHA256, make([]byte, 32)})...)
	})
}

func TestEveryErrorCodeHasAReason(t *testing.T) {
	r := request{w: new(worker), m: new(stun.Message)}
	for _, code := range errorCodes() {
		r.startAnswer(stun.ClassErrorResponse)
		r.addError(stun.ErrorCode(code))
		if got := codeOf(t, &r.w.res); got != code {
			t.Errorf("%d became %d", code, got)
		}
	}
}

// TestLongRequest: a request longer than any need be is not worth hashing.
func TestLongRequest(t *testing.T) {
	s := startServer(t, nil)
	client := listenPeer(t)
	server := listenerAddr(t, s, "udp")
	long := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest))
	long.Add(stun.AttrSoftware, make([]byte, wire.MaxRequest))
	for _, pkt := range [][]byte{long.Raw, stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw} {
		if _, err := client.WriteToUDPAddrPort(pkt, server); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 2000)
	if err := client.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := client.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.BigEndian.Uint16(buf[:n]); got != wire.TypeBindingSuccess {
		t.Errorf("the first answer is of type %#x, want only the Binding to be answered", got)
	}
}

// TestRefusalsCostTheSame: as many keys are tried for a username that is nobody's as for one of ours with a wrong
// password.
func TestRefusalsCostTheSame(t *testing.T) {
	for _, shared := range [][]auth.Secret{nil, {auth.NewSecret([]byte("first")), auth.NewSecret([]byte("second"))}} {
		s := newServer(t, func(cfg *Config) {
			cfg.Credentials = auth.NewCredentials(testRealm, auth.NewSecret([]byte("signaling")), shared, time.Now)
		})
		w := newWorker(s, nil)
		ours, known := w.candidatesFor([]byte(testCredentials().MintSession("S1", "alice", time.Hour).Username))
		if !known || len(ours) != 1+len(shared) {
			t.Fatalf("%d keys for a session's username", len(ours))
		}
		for _, name := range []string{"", "nobody", ":", "1e9:alice", strings.Repeat("x", 600), "\xff"} {
			if keys, known := w.candidatesFor([]byte(name)); known || len(keys) != 1+len(shared) {
				t.Errorf("%q: known %v, and %d keys", name, known, len(keys))
			}
		}
		if keys, _ := w.candidatesFor([]byte(mintREST(t, "alice", time.Hour).Username)); len(keys) == 0 {
			t.Error("no key is tried for an app's username")
		}
	}
}
