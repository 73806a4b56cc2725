package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// Userhash returns the hash that a client may send instead of its username, to
// stay anonymous (RFC 8489 §14.4): SHA-256(username:realm).
func (c *Credentials) Userhash(username string) [sha256.Size]byte {
	var space [maxUsernameBytes + 256]byte // Enough for most realms, so that the heap is not needed.
	text := append(space[:0], username...)
	text = append(text, ':')
	return sha256.Sum256(append(text, c.realm...))
}

// RememberUsernames lets Username find the usernames that MintSession and
// MintRelayOnly mint from now on, until they expire. It keeps at most atMost.
// longest is the longest life of the credentials that an earlier process may have
// minted with the same secret. Call it once, before any other method.
func (c *Credentials) RememberUsernames(atMost int, longest time.Duration) {
	c.minted = &usernames{atMost: atMost, byHash: make(map[[sha256.Size]byte]string)}
	c.minted.unknownUntil.Store(c.now().Add(longest).UnixNano())
}

// Username returns the remembered username with this hash.
func (c *Credentials) Username(userhash []byte) (string, bool) {
	if c.minted == nil || len(userhash) != sha256.Size {
		return "", false
	}
	c.minted.mu.Lock()
	defer c.minted.mu.Unlock()
	name, ok := c.minted.byHash[[sha256.Size]byte(userhash)]
	return name, ok
}

// KnowsUsernames reports whether Username finds every valid credential that
// signaling or an app may have minted. It is false if other apps mint, too. It is
// also false while a credential may be valid that an earlier process minted, or
// for which the table had no room.
func (c *Credentials) KnowsUsernames() bool {
	return c.minted != nil && len(c.shared) == 0 && c.now().UnixNano() >= c.minted.unknownUntil.Load()
}

// remembered returns cred, and remembers its username after RememberUsernames.
func (c *Credentials) remembered(cred Credential) Credential {
	if c.minted != nil {
		c.minted.remember(c.Userhash(cred.Username), cred, c.now())
	}
	return cred
}

// usernames is a bounded table of usernames that have not expired.
type usernames struct {
	atMost       int
	unknownUntil atomic.Int64 // Unix nanoseconds; until then the table may lack a valid username.

	mu     sync.Mutex
	byHash map[[sha256.Size]byte]string // Guarded by mu.
	queue  []mintedUsername             // Guarded by mu. In the order of minting, which is nearly that of expiry.
}

type mintedUsername struct {
	hash    [sha256.Size]byte
	expires time.Time
}

// remember first forgets expired usernames. A full table keeps what it has: a
// stranger who asks for credentials must not push others out.
func (u *usernames) remember(hash [sha256.Size]byte, cred Credential, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.queue) > 0 && !now.Before(u.queue[0].expires) {
		delete(u.byHash, u.queue[0].hash)
		u.queue = u.queue[1:]
	}
	if _, known := u.byHash[hash]; known || !now.Before(cred.Expires) {
		return
	}
	if len(u.queue) >= u.atMost {
		u.unknownUntil.Store(max(u.unknownUntil.Load(), cred.Expires.UnixNano()))
		return
	}
	u.byHash[hash] = cred.Username
	u.queue = append(u.queue, mintedUsername{hash, cred.Expires})
}
