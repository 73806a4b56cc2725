// Package auth decides who may come in: it signs and verifies the tickets that
// admit users, the invites that are exchanged for tickets, and the expiring
// usernames and passwords that TURN asks for.
//
//	state_dir/secret ── LoadOrCreateSecret ── Secret
//	                                            │ Derive(purpose), one key a purpose
//	        ┌───────────────────────────────────┼──────────────────────┐
//	     Invites ── exchanged for a ──▶ Tickets              Credentials ◀── shared secrets
//	  "join room R"                   "this is user U"     "may relay until T"   (TURN REST API)
//
// Other apps' tokens are tickets, too, if the operator named the app: Verifier
// judges them by that issuer's key, and ours by Tickets.
//
// Nothing here is stored, but for which invites were used and revoked (Ledger):
// what was signed verifies until it expires, in every process that holds the
// same secret. Time and randomness are passed in by the caller, and the values
// here are safe for concurrent use if those are.
package auth

import "errors"

// ErrUnauthorized is wrapped by every refusal of a token. The text around it
// says why and is for the log only: a client that is told why a token failed
// is helped to forge a better one.
var ErrUnauthorized = errors.New("unauthorized")

// ErrExpired wraps ErrUnauthorized. It is given only for a token that we, or an
// issuer that the operator named, signed and whose single fault is its age, so
// that a page may say that a link is too old.
var ErrExpired error = expiredError{}

type expiredError struct{}

func (expiredError) Error() string { return "unauthorized: expired" }
func (expiredError) Unwrap() error { return ErrUnauthorized }
