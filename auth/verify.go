package auth

import "crypto/subtle"

// Verify reports whether username and password are a credential that has not
// expired, and what it grants. TURN itself is never told a password: there
// Candidates has the keys.
func (c *Credentials) Verify(username, password string) (Grant, bool) {
	candidates, _ := c.Candidates([]byte(username), nil)
	ours := len(candidates) - len(c.shared) // of signaling's, which come first
	for i, candidate := range candidates {
		secret := c.signaling.secret
		if i >= ours {
			secret = c.shared[i-ours].secret
		}
		want := Password(secret, username)
		if subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 1 && c.now().Before(candidate.Grant.Expires) {
			return candidate.Grant, true
		}
	}
	return Grant{}, false
}
