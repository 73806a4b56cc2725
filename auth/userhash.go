package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"
)

// Userhash is what a client sends in the place of username where it may stay
// anonymous (RFC 8489 §14.4): SHA-256(username:realm).
func (c *Credentials) Userhash(username string) [sha256.Size]byte {
	var space [maxUsernameBytes + 256]byte // Enough for most realms, so that the heap is not needed.
	text := append(space[:0], username...)
	text = append(text, ':')
	return sha256.Sum256(append(text, c.realm...))
}

// RememberUsernames keeps the usernames that are minted for sessions and
// relay-only from now on, at most so many at a time and until they expire, so
// that Username finds them by their hashes. longest is the longest time that
// credentials live which another process minted before with the same secret.
// It is called once, before anything else.
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

// KnowsUsernames reports whether Username finds everybody who may come with a
// good credential. It does not where outside apps mint them too, nor while
// there may be some that were minted by an earlier process, or that there was
// no room for.
func (c *Credentials) KnowsUsernames() bool {
	return c.minted != nil && len(c.shared) == 0 && c.now().UnixNano() >= c.minted.unknownUntil.Load()
}

// remembered returns cred, and remembers its username if it is to.
func (c *Credentials) remembered(cred Credential) Credential {
	if c.minted != nil {
		c.minted.add(c.Userhash(cred.Username), cred, c.now())
	}
	return cred
}

// usernames is a bounded table of those that have not expired.
type usernames struct {
	atMost       int
	unknownUntil atomic.Int64 // Unix nanoseconds; until then some may be good that are not in the table.

	mu     sync.Mutex
	byHash map[[sha256.Size]byte]string // Guarded by mu.
	queue  []mintedUsername             // Guarded by mu. As they were minted, which is nearly as they expire.
}

type mintedUsername struct {
	hash    [sha256.Size]byte
	expires time.Time
}

// add makes room by forgetting what has expired. Where there is none it keeps
// what is there: a stranger who asks for credentials must not push others out.
func (u *usernames) add(hash [sha256.Size]byte, cred Credential, now time.Time) {
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
