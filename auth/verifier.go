package auth

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Verifier verifies every token that a client may present as a ticket: our own,
// and those of the apps that the operator named.
//
//	token ── iss, not yet verified ─┬─▶ Tickets      our secret, HS256
//	                                ├─▶ Machines     the key that a machine joined with, EdDSA
//	                                └─▶ the issuer   its own key, algorithms and audience
//
// The iss claim only chooses whose key must have signed the token.
type Verifier struct {
	own      *Tickets
	refuses  func(Ticket) error
	issuers  map[string]*issuer // By iss.
	machines *Machines          // Nil: none.
}

// NewVerifier returns a verifier of our own tickets and those of issuers. refuses
// says why a good ticket does not admit any more, like Ledger.Refuses; it may be
// nil. NewVerifier reads the JWKS pages before it returns. It logs a page
// that it cannot read, and reads it again later. An error is "NAME: " and an
// IssuerFault. Close ends the readings.
func NewVerifier(own *Tickets, refuses func(Ticket) error, issuers []IssuerConfig, now func() time.Time, log *slog.Logger) (*Verifier, error) {
	v := &Verifier{own: own, refuses: refuses, issuers: map[string]*issuer{}}
	made, errs := make([]*issuer, len(issuers)), make([]error, len(issuers))
	var making sync.WaitGroup // Concurrently: several pages that are down must delay the start by one timeout only.
	for i, c := range issuers {
		making.Go(func() { made[i], errs[i] = newIssuer(c, now, log) })
	}
	making.Wait()
	var bad error
	for i, c := range issuers {
		switch {
		case errs[i] != nil:
			bad = cmp.Or(bad, fmt.Errorf("%s: %w", c.Name, errs[i]))
		case v.issuers[c.iss()] != nil:
			made[i].close()
			bad = cmp.Or(bad, fmt.Errorf("%s: %w", c.Name, &IssuerFault{"issuer", fmt.Errorf("%q is the iss of another issuer, too", c.iss())}))
		default:
			v.issuers[c.iss()] = made[i]
		}
	}
	if bad != nil {
		v.Close()
		return nil, bad
	}
	return v, nil
}

// AdmitMachines has the verifier take the tickets of machines, too. Call it once, before any other method.
func (v *Verifier) AdmitMachines(m *Machines) { v.machines = m }

// Close stops reading JWKS pages. It is safe to call it twice.
func (v *Verifier) Close() {
	for _, is := range v.issuers {
		is.close()
	}
}

// Verify returns the ticket that token stands for. Its errors wrap
// ErrUnauthorized, or are ErrExpired, or a KeysUnavailableError for a token that
// may be good; what they say is for the log only.
func (v *Verifier) Verify(token string) (Ticket, error) {
	tk, err := v.verify(token)
	if err == nil && v.refuses != nil {
		err = v.refuses(tk)
	}
	if err != nil {
		return Ticket{}, err
	}
	return tk, nil
}

func (v *Verifier) verify(token string) (Ticket, error) {
	if len(v.issuers) == 0 && v.machines == nil {
		return v.verifyOwn(token)
	}
	iss, err := issuerOf(token)
	if err != nil {
		return Ticket{}, err
	}
	if is := v.issuers[iss]; is != nil {
		return is.verify(token)
	}
	if iss == MachineIssuer && v.machines != nil {
		return v.machines.Verify(token)
	}
	if iss != Issuer {
		return Ticket{}, refuse("no issuer has iss %.100q", iss)
	}
	return v.verifyOwn(token)
}

// verifyOwn verifies a token that we have signed. That of a code may be for a user of another issuer.
func (v *Verifier) verifyOwn(token string) (Ticket, error) {
	tk, err := v.own.Verify(token)
	if err == nil && !v.Knows(tk.User) {
		return Ticket{}, refuse("its user %.100q is of no issuer here, or of no machine", tk.User.String())
	}
	return tk, err
}

// Knows reports whether a user's tickets can verify at all: the user is ours, a
// machine, or of an issuer that is configured.
func (v *Verifier) Knows(user User) bool {
	if user.Issuer == Issuer {
		return true
	}
	if user.Issuer == MachineIssuer && v.machines != nil {
		_, found := v.machines.Find(user.Subject)
		return found
	}
	for _, is := range v.issuers {
		if is.Name == user.Issuer {
			return true
		}
	}
	return false
}

// KeyPage is the JWKS page of an issuer.
type KeyPage struct {
	Issuer string    // Its name.
	Read   time.Time // When it was last read; zero: never.
}

// KeyPages returns the JWKS pages of the issuers, sorted by name.
func (v *Verifier) KeyPages() []KeyPage {
	var pages []KeyPage
	for _, is := range v.issuers {
		if is.keys != nil {
			read, _ := is.keys.status()
			pages = append(pages, KeyPage{is.Name, read})
		}
	}
	slices.SortFunc(pages, func(a, b KeyPage) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return pages
}

// issClaims returns the issuers' iss claims, sorted.
func (v *Verifier) issClaims() []string { return slices.Sorted(maps.Keys(v.issuers)) }

// issuerOf reads the iss claim of a token that is not verified yet.
func issuerOf(token string) (string, error) {
	claims, err := unverified(token)
	if err != nil {
		return "", err
	}
	iss, err := claims.GetIssuer()
	if err != nil {
		return "", refuse("%w", err)
	}
	return iss, nil
}

// subjectOf is issuerOf for sub.
func subjectOf(token string) (string, error) {
	claims, err := unverified(token)
	if err != nil {
		return "", err
	}
	sub, err := claims.GetSubject()
	if err != nil {
		return "", refuse("%w", err)
	}
	return sub, nil
}

// unverified reads the claims of a token that anybody may have made.
func unverified(token string) (claimSet, error) {
	if err := checkSpelling(token, maxForeignTokenBytes); err != nil {
		return nil, err
	}
	claims := claimSet{}
	if _, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(token, &claims); err != nil {
		return nil, refuse("%w", err)
	}
	return claims, nil
}
