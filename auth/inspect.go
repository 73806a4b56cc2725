package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Inspection tells an operator why a verifier accepts or refuses a token.
type Inspection struct {
	Header  json.RawMessage // Nil, as Claims is, if the input is no token at all.
	Claims  json.RawMessage
	Issuer  string   // Name of the issuer whose key must have signed it: Issuer for ours; empty: none is known.
	Signed  bool     // That issuer's key signed it.
	Unknown string   // Why nobody can tell now whether that issuer's key signed it; empty: Signed says it.
	Ticket  Ticket   // Set if the verifier accepts it.
	Reasons []string // Why the verifier refuses it; nil: it accepts it.
}

// rules are the conditions that the tokens of one issuer must meet.
type rules struct {
	name, iss, audience string
	algorithms          []string
	leeway              time.Duration
	key                 jwt.Keyfunc
	own                 bool // The claim nbf is required, and iat may not be in the future.
}

// Inspect explains Verify's answer to a token.
func (v *Verifier) Inspect(token string) Inspection {
	var in Inspection
	tk, err := v.Verify(token)
	if err == nil {
		in.Ticket = tk
	}
	claims := claimSet{}
	parser := jwt.NewParser(jwt.WithStrictDecoding())
	unverified, parts, parseErr := parser.ParseUnverified(token, &claims)
	if len(parts) == 3 {
		in.Header, in.Claims = rawSegment(parser, parts[0]), rawSegment(parser, parts[1])
	}
	if spelling := checkSpelling(token, maxForeignTokenBytes); spelling != nil {
		parseErr = spelling
	}
	if parseErr != nil {
		in.Reasons = []string{"it is not a readable token: " + plain(parseErr)}
		return in
	}
	iss, issErr := claims.GetIssuer()
	r, known := v.rulesOf(iss)
	switch {
	case issErr != nil:
		in.Reasons = []string{issErr.Error()}
		return in
	case !known:
		in.Reasons = []string{v.noIssuer(iss)}
		return in
	}
	in.Issuer = r.name
	alg := unverified.Method.Alg()
	checker := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithValidMethods(r.algorithms), jwt.WithoutClaimsValidation())
	_, signErr := checker.ParseWithClaims(token, &claimSet{}, r.key)
	in.Signed = signErr == nil
	unavailable, unknown := errors.AsType[*KeysUnavailableError](signErr)
	if err == nil {
		return in
	}
	switch {
	case !slices.Contains(r.algorithms, alg):
		in.Reasons = append(in.Reasons, fmt.Sprintf("it is signed with %s, but %s accepts %s", alg, r.name, strings.Join(r.algorithms, ", ")))
	case unknown:
		in.Unknown = unavailable.Error()
		in.Reasons = append(in.Reasons, "its signature cannot be checked now, so the server answers \"internal\" and the client tries again")
	case signErr != nil:
		in.Reasons = append(in.Reasons, "the signature does not come from a key of "+r.name+": "+plain(signErr))
	}
	in.Reasons = append(in.Reasons, r.explain(claims, v.own.signer.now())...)
	if len(in.Reasons) == 0 { // Only the optional claims remain.
		in.Reasons = []string{plain(err)}
	}
	return in
}

func rawSegment(p *jwt.Parser, segment string) json.RawMessage {
	data, err := p.DecodeSegment(segment)
	if err != nil || !json.Valid(data) {
		return nil
	}
	return data
}

// rulesOf finds the rules for the tokens of iss.
func (v *Verifier) rulesOf(iss string) (rules, bool) {
	if is := v.issuers[iss]; is != nil {
		return rules{name: is.Name, iss: iss, audience: is.Audience, algorithms: is.Algorithms, leeway: is.Leeway, key: is.key}, true
	}
	if iss == MachineIssuer && v.machines != nil {
		return rules{
			name: MachineIssuer, iss: iss, audience: ticketAudience, algorithms: []string{jwt.SigningMethodEdDSA.Alg()}, leeway: leeway, key: v.machines.keyOf,
		}, true
	}
	s := v.own.signer
	return rules{
		name: Issuer, iss: Issuer, audience: s.audience, algorithms: []string{jwt.SigningMethodHS256.Alg()}, leeway: leeway,
		key: s.keys, own: true,
	}, iss == Issuer
}

func (v *Verifier) noIssuer(iss string) string {
	known := []string{fmt.Sprintf("%q, which is this server", Issuer)}
	for _, name := range v.issClaims() {
		known = append(known, fmt.Sprintf("%q", name))
	}
	has := fmt.Sprintf("its iss is %.100q", iss)
	if iss == "" {
		has = "it has no iss"
	}
	return has + ", and the known issuers are " + strings.Join(known, ", ")
}

// explain says what is wrong with the claims that every token has.
func (r rules) explain(claims claimSet, now time.Time) (reasons []string) {
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	times := map[string]*jwt.NumericDate{}
	for _, name := range []string{"exp", "nbf", "iat"} {
		date, err := claims.date(name)
		if err != nil && (name != "iat" || r.own) {
			say("%v", err)
		}
		times[name] = date
		if _, there := claims[name]; !there && (name == "exp" || name == "nbf" && r.own) {
			say("it has no %s", name)
		}
	}
	seconds := func(d time.Duration) time.Duration { return d.Round(time.Second) }
	if exp := times["exp"]; exp != nil && !now.Before(exp.Add(r.leeway)) {
		say("it expired %v ago (exp), with a leeway of %v", seconds(now.Sub(exp.Time)), r.leeway)
	}
	if nbf := times["nbf"]; nbf != nil && now.Before(nbf.Add(-r.leeway)) {
		say("it is not valid for another %v (nbf), with a leeway of %v", seconds(nbf.Sub(now)), r.leeway)
	}
	if iat := times["iat"]; r.own && iat != nil && now.Before(iat.Add(-r.leeway)) {
		say("it was made %v from now (iat), with a leeway of %v: the clocks differ", seconds(iat.Sub(now)), r.leeway)
	}
	audience, err := claims.GetAudience()
	switch {
	case err != nil:
		say("%v", err)
	case r.audience == AnyAudience || slices.Contains(audience, r.audience):
	case len(audience) == 0:
		say("it has no aud, but %s requires %q", r.name, r.audience)
	default:
		say("its aud is %.200q, but %s requires %q", []string(audience), r.name, r.audience)
	}
	subject, err := claims.identifier("sub", maxSubjectBytes)
	switch {
	case err != nil:
		say("%v", err)
	case subject == "":
		say("it has no sub, so there is no user")
	}
	return reasons
}

// plain returns an error's text without the prefix that every refusal has.
func plain(err error) string {
	if errors.Is(err, ErrInviteRevoked) {
		return "the invite that it was made from was revoked"
	}
	if errors.Is(err, ErrKicked) {
		return "its user was thrown out after it was issued, as far as it says when that was (iat)"
	}
	return strings.TrimPrefix(err.Error(), ErrUnauthorized.Error()+": ")
}
