// Package auth decides who may come in. It signs and verifies the tickets that
// admit users, the invites that are exchanged for tickets, and the expiring
// usernames and passwords that TURN asks for.
//
//	state_dir/secret ── LoadOrCreateSecret ── Secret
//	                                            │ Derive(purpose), one key a purpose
//	        ┌───────────────────────────────────┼──────────────────────┐
//	     Invites ── exchanged for a ──▶ Tickets              Credentials ◀── shared secrets
//	  "join room R"                   "this is user U"     "may relay until T"   (TURN REST API)
//
// If the operator named another app, its tokens are tickets too: Verifier checks
// them with the key of that issuer, and our own with Tickets.
//
// The package stores only which invites were used or revoked (Ledger). A token
// verifies until it expires, in every process that holds the same secret. The
// caller passes in time and randomness; the values here are safe for concurrent
// use if those are.
package auth

import "errors"

// ErrUnauthorized is wrapped by every refusal of a token. The text around it
// says why and is for the log only: it would help a client to forge a better
// token.
var ErrUnauthorized = errors.New("unauthorized")

// ErrExpired wraps ErrUnauthorized. It means that age is the single fault of a
// token with a valid signature. A page may then say that a link is too old.
var ErrExpired error = expiredError{}

type expiredError struct{}

func (expiredError) Error() string { return "unauthorized: expired" }
func (expiredError) Unwrap() error { return ErrUnauthorized }
