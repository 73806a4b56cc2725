package turnserver

import (
	"crypto/sha256"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// authenticate checks the long-term credential of a request, in the order of RFC 8489 §9.2.4, and answers it if it is
// not good.
//
// In one thing it is stricter: it refuses a nonce that was never this client's before it looks at the credential. The
// sender of such a nonce has not shown that the address is its own. It must not make the server compute, or get
// failures counted against that address, or guess at passwords uncounted.
func (r *request) authenticate() bool {
	if r.integrity.At == 0 {
		r.countAuth(authChallenged)
		r.challenge(stun.CodeUnauthorized)
		return false
	}
	realm, haveRealm := r.m.Attributes.Get(stun.AttrRealm)
	nonce, haveNonce := r.m.Attributes.Get(stun.AttrNonce)
	if !r.m.Contains(stun.AttrUsername) && !r.m.Contains(stun.AttrUserhash) || !haveRealm || !haveNonce {
		r.countAuth(authMalformed)
		r.fail(stun.CodeBadRequest)
		return false
	}
	if wire.CookieFeatures(nonce.Value)&wire.FeaturePasswordAlgorithms != 0 {
		var ok bool
		if r.algorithm, ok = wire.ReadPasswordAlgorithm(r.m); !ok {
			r.countAuth(authMalformed)
			r.fail(stun.CodeBadRequest)
			return false
		}
	}
	state := r.judgeNonce(nonce.Value)
	if state == wire.NonceForeign {
		r.countAuth(authStaleNonce)
		r.challenge(stun.CodeStaleNonce)
		return false
	}
	switch verdict := r.verify(realm.Value); {
	case verdict == authExpired, verdict == authRefused && r.isForgotten():
		// It may have been good once, so it is no guess: others at its address must not pay for it.
		r.countAuth(verdict)
		r.challenge(stun.CodeUnauthorized)
		return false
	case verdict == authLimited:
		r.countAuth(verdict)
		r.w.counters.count(dropLoginLimit)
		return false
	case verdict == authRefused:
		r.countAuth(verdict)
		r.w.srv.countFailure(r.c)
		r.challenge(stun.CodeUnauthorized)
		return false
	case state == wire.NonceStale:
		r.countAuth(authStaleNonce)
		r.challenge(stun.CodeStaleNonce)
		return false
	}
	r.countAuth(authAccepted)
	r.signed = true
	return true
}

// judgeNonce says what the request's nonce is worth. A ConnectionBind comes from another port than the allocation's
// requests did, and so may a Refresh with a ticket. Some clients, pion's among them, use the allocation's nonce there
// and try no other. From the allocation's address that is good enough.
func (r *request) judgeNonce(nonce []byte) wire.NonceState {
	state := r.w.judgeNonce(nonce, r.c)
	if a := r.concerned(); state == wire.NonceForeign && a != nil && a.home.Load().tuple.Client.IP == r.c.tuple.Client.IP {
		state = r.w.judgeNonce(nonce, &a.home.Load().client)
	}
	return state
}

// renewNonces follows a change of the key. It also takes the nonces that were made with a former one.
func (w *worker) renewNonces() {
	key := w.srv.cfg.NonceKey.Bytes()
	if w.nonceKey == &key[0] {
		return
	}
	w.nonceKey = &key[0]
	var former [][]byte
	for _, f := range w.srv.cfg.NonceKey.Former(w.srv.wallClock()) {
		former = append(former, f.Bytes())
	}
	w.nonces = wire.NewNonceMaker(key, former...)
}

// nonce makes a nonce for c. Clients that read its cookie send USERHASH and nothing else where the cookie offers that.
// So it does only while every username can be found by its hash.
func (w *worker) nonce(c *client) []byte {
	features := wire.FeaturePasswordAlgorithms
	if w.srv.cfg.Credentials.KnowsUsernames() {
		features |= wire.FeatureUsernameAnonymity
	}
	w.renewNonces()
	return w.nonces.Make(w.srv.wallClock(), features, c.tuple.Client)
}

// judgeNonce says what a nonce from c is worth.
func (w *worker) judgeNonce(nonce []byte, c *client) wire.NonceState {
	w.renewNonces()
	return w.nonces.Judge(nonce, w.srv.wallClock(), c.tuple.Client)
}

// verify finds the password whose key signed the request, and sets keys and grant. The credential of a live allocation
// stays good for that allocation after it has expired: only Allocate judges expiry.
func (r *request) verify(realm []byte) authOutcome {
	w := r.w
	username, ourRealm := r.username(), string(realm) == w.srv.cfg.Realm
	if a := r.concerned(); ourRealm && a != nil && a.grant.Username == string(username) && r.signedWith(&a.keys) {
		r.keys, r.grant = a.keys, a.grant
		return authAccepted
	}
	// A request that no key could make good costs no computing.
	if r.m.Type.Method == stun.MethodAllocate && auth.UsernameExpired(username, w.srv.wallClock()) {
		return authExpired
	}
	if r.isForgotten() {
		return authRefused
	}
	if w.srv.failures.UsedUp(sourceOf(r.c.tuple.Client), time.Duration(w.now())) {
		return authLimited // before the server computes anything
	}
	candidates, known := w.candidatesFor(username)
	verdict := authRefused
	for i := range candidates {
		if !r.signedWith(&candidates[i].Keys) || !known || !ourRealm {
			continue
		}
		r.keys, r.grant = candidates[i].Keys, candidates[i].Grant
		verdict = authAccepted
		break
	}
	return verdict
}

// Addresses that begin to wait are logged no more often than this.
const (
	loggedEvery  = 10 * time.Second
	loggedAtOnce = time.Minute
)

// countFailure counts a credential that cannot have been one of ours against its source, and logs when the source begins to wait.
func (s *Server) countFailure(c *client) {
	source, now := sourceOf(c.tuple.Client), time.Duration(s.now())
	if s.failures.Take(source, now); s.failures.UsedUp(source, now) && s.logged.Take(now, loggedEvery, loggedAtOnce) {
		s.log.Info("turn: an address sent too many wrong credentials, so new ones from there get no answer for now",
			"client", c.tuple.Client.Addr(), "per_minute", s.cfg.Limits.FailedCredentialsPerMinute)
	}
}

// nobody is a username that could be one of ours, and is nobody's.
const nobody = "0:s.nobody"

// candidatesFor lists the keys that may have signed for username. For a username that is nobody's it lists keys of
// nobody, so that a refusal takes as long as one for a wrong password.
func (w *worker) candidatesFor(username []byte) (candidates []auth.Candidate, known bool) {
	candidates, known = w.srv.cfg.Credentials.Candidates(username, w.candidates[:0])
	if known = known && len(candidates) > 0; !known {
		w.name = append(w.name[:0], nobody...)
		candidates, _ = w.srv.cfg.Credentials.Candidates(w.name, candidates)
	}
	w.candidates = candidates
	return candidates, known
}

// username returns USERNAME, or the name that USERHASH stands for: that of the allocation's owner, or one that this
// node has minted a credential for. It is empty for any other hash.
func (r *request) username() []byte {
	if name, ok := r.m.Attributes.Get(stun.AttrUsername); ok {
		return name.Value
	}
	hash, _ := r.m.Attributes.Get(stun.AttrUserhash)
	if len(hash.Value) != sha256.Size {
		return nil
	}
	credentials := r.w.srv.cfg.Credentials
	name, ok := credentials.Username(hash.Value)
	if a := r.concerned(); !ok && a != nil && [sha256.Size]byte(hash.Value) == credentials.Userhash(a.grant.Username) {
		name = a.grant.Username // the allocation remembers it for longer than Credentials does
	}
	r.w.name = append(r.w.name[:0], name...)
	return r.w.name
}

// isForgotten reports whether the request names its user by a hash that stands for nobody whom we remember: there is no password to
// guess.
func (r *request) isForgotten() bool {
	hash, _ := r.m.Attributes.Get(stun.AttrUserhash)
	return !r.m.Contains(stun.AttrUsername) && len(hash.Value) == sha256.Size && len(r.username()) == 0
}

func (r *request) countAuth(o authOutcome) { r.w.counters.auth[o].Add(1) }

func (r *request) signedWith(keys *auth.Keys) bool {
	return r.integrity.Holds(r.m.Raw, r.signingKey(keys))
}

// signingKey is the one of a password's keys that the request chose.
func (r *request) signingKey(keys *auth.Keys) []byte {
	if r.algorithm.SHA256 {
		return keys.SHA256[:]
	}
	return keys.MD5[:]
}

// isOwner reports whether the request comes from the allocation's owner: it is signed with the same password, by any
// algorithm.
func (r *request) isOwner(a *allocation) bool {
	return a.grant.Username == r.grant.Username && a.keys.Equal(&r.keys)
}
