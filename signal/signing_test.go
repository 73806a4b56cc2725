package signal

import (
	"crypto/rand"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestTokensAreSignedUnlocked: nobody waits while a resume token is signed, be it for a new session, for one that comes
// back, or for one whose rooms have changed.
func TestTokensAreSignedUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv atomic.Pointer[Server]
		var signed atomic.Int32
		h := newMemoryHarness(t, func(cfg *Config) {
			resuming(cfg)
			cfg.ResumeTokens = auth.NewResumeTokens(testSecret, func() time.Time { // asked for each token that is signed or judged
				if srv := srv.Load(); srv != nil {
					signed.Add(1)
					if !srv.mu.TryLock() {
						t.Error("a token is signed while the server is locked")
						return time.Now()
					}
					srv.mu.Unlock()
				}
				return time.Now()
			}, rand.Reader)
		})
		srv.Store(h.srv)
		a := h.guest("a")
		a.join("x")
		settle(a)
		a.lose()
		a, _ = h.back(a.identity(), wire.ResumedReplayed)
		a.lose()
		former := newMemoryHarness(t, resuming)
		h.back(former.guest("b").identity(), wire.ResumedRestored)
		if n := signed.Load(); n < 5 {
			t.Errorf("%d tokens were signed or judged", n)
		}
	})
}

// TestRenewalDoesNotOvertakeWelcome: a token that was being signed when the session came back does not come after the one
// in its welcome, which is later.
func TestRenewalDoesNotOvertakeWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, resuming)
		a := h.guest("a")
		h.srv.mu.Lock()
		s := h.srv.sessions[a.session]
		h.srv.mu.Unlock()
		claims, ok := h.srv.renewedClaims(s)
		if !ok {
			t.Fatal("no token is due")
		}
		a.lose()
		a, _ = h.back(a.identity(), wire.ResumedReplayed)
		h.srv.tellToken(s, claims)
		a.acknowledge()
		a.expectNothing()
		a.lose()
		h.back(a.identity(), wire.ResumedReplayed)
	})
}
