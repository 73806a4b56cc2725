package signal

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// tokenAttacks try to get into a session with a token that must not open it.
func tokenAttacks() []attack {
	refused := func(why string, session, token func(*attacker) string) func(*attacker) {
		return func(a *attacker) {
			c := a.notResumed(why, identity{session: session(a), token: token(a)})
			c.send(msg{"type": "join", "room": "home"})
			c.expect("error", "code", "bad-message") // it has no session
			a.expectNothing()                        // the session of the token has lost nothing
		}
	}
	home := func(a *attacker) string { return a.home.session }
	own := func(a *attacker) string { return a.session }
	part := func(token string, i int) string { return strings.Split(token, ".")[i] }
	b64 := base64.RawURLEncoding.EncodeToString
	issue := func(secret auth.Secret, edit func(*auth.Resume), now func() time.Time) func(*attacker) string {
		return func(a *attacker) string {
			r := auth.Resume{Session: a.home.session, Epoch: a.h.srv.epoch, Generation: 1, Name: "x", Ticket: auth.Ticket{
				User: auth.User{Issuer: "turnpike", Subject: "home a"}, Role: auth.RoleAdmin}}
			edit(&r)
			token, err := auth.NewResumeTokens(secret, now, rand.Reader).Issue(r)
			if err != nil {
				a.t.Fatal(err)
			}
			return token
		}
	}
	keep := func(*auth.Resume) {}
	longAgo := func() time.Time { return time.Now().Add(-auth.ResumeTTL - time.Minute) }
	rows := []attack{
		{name: "resume another's session by one's own token", try: refused(resumeForged, home, func(a *attacker) string { return a.token })},
		{name: "resume by a ticket", try: refused(resumeForged, home, func(*attacker) string {
			token, _, _ := auth.NewTickets(testSecret, time.Now, rand.Reader).Issue(auth.Ticket{}, time.Hour)
			return token
		})},
		{name: "resume by a token of another secret", try: refused(resumeForged, home, issue(auth.NewSecret([]byte("another secret, of as many bytes")), keep, time.Now))},
		{name: "resume by a token with another's claims", try: refused(resumeForged, home, func(a *attacker) string {
			return part(a.token, 0) + "." + part(issue(testSecret, keep, time.Now)(a), 1) + "." + part(a.token, 2)
		})},
		{name: "resume by a token without a signature", try: refused(resumeForged, home, func(a *attacker) string {
			return b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part(issue(testSecret, keep, time.Now)(a), 1) + "."
		})},
		{name: "resume by an expired token", try: refused(resumeExpired, home, issue(testSecret, keep, longAgo))},
		{name: "resume by a token from before the first", try: refused(resumeReplaced, own, func(a *attacker) string {
			return issue(testSecret, func(r *auth.Resume) { r.Session, r.Generation = a.session, 0 }, time.Now)(a)
		})},
		{name: "resume by a token that was followed by another", try: func(a *attacker) {
			b, _ := a.h.back(a.identity(), wire.ResumedReplayed)
			b.acknowledge()
			b.expectNothing()
			a.notResumed(resumeReplaced, a.identity())
			b.expectNothing()
		}},
		{name: "resume after bye", try: func(a *attacker) {
			a.send(msg{"type": "bye"})
			a.closedWith(wire.CloseBye)
			a.notResumed(resumeEnded, a.identity())
		}},
		{name: "resume from the future", try: func(a *attacker) {
			for _, received := range []uint64{a.received + 1, 1<<53 - 1} {
				a.notResumed(resumeGap, identity{a.session, a.token, received})
			}
			a.h.resume(identity{a.session, a.token, 1 << 53}).expect("error", "code", "bad-message", "field", "resume.received")
			a.expectNothing()
		}},
		{name: "resume from nowhere", try: func(a *attacker) {
			c := &attacker{client: a.h.dial()}
			for _, received := range []string{`-1`, `1.5`, `"1"`, `null`, `99999999999999999999`, `{}`} {
				c.refusedAs(wire.CodeBadMessage, `{"type":"hello","resume":{"session":"`+a.session+`","token":"`+a.token+`","received":`+received+`}}`)
			}
			a.expectNothing()
		}},
		{name: "hostile resume", try: func(a *attacker) {
			c := &attacker{client: a.h.dial()}
			c.refusedAs(wire.CodeBadMessage, `{"type":"hello","resume":null}`, `{"type":"hello","resume":[]}`, `{"type":"hello","resume":{}}`,
				`{"type":"hello","resume":{"session":7,"token":"t","received":0}}`,
				`{"type":"hello","resume":{"session":"s","token":{},"received":0}}`,
				`{"type":"hello","resume":{"session":"s","token":"t","received":0,"fresh":"yes"}}`,
				`{"type":"hello","resume":{"session":"s","session":"s","token":"t","received":0}}`)
			a.notResumed(resumeForged, identity{"__proto__", "__proto__", 0})
		}},
		{name: "guessed tokens", limits: func(l *Limits) { l.FailedHellos = Rate{PerSecond: 0.001, Burst: 3} }, try: func(a *attacker) {
			c := a.h.dial()
			for range 5 {
				c.send(msg{"type": "hello", "resume": msg{"session": a.home.session, "token": "guess", "received": 0}})
				if c.expect("error")["code"] == "rate-limited" {
					a.h.back(a.identity(), wire.ResumedReplayed) // which keeps nobody else out
					return
				}
			}
			a.t.Error("guessing goes on")
		}},
	}
	for i := range rows {
		rows[i].resume, rows[i].memory = true, true
	}
	return rows
}

// notResumed tries to resume. The server must refuse and count that.
func (a *attacker) notResumed(why string, id identity) *client {
	a.t.Helper()
	before := counterOf(a.h.srv, "resumes_refused", why)
	c := a.h.resume(id)
	c.expect("error", "ref", "resume", "code", "no-such-session")
	if now := counterOf(a.h.srv, "resumes_refused", why); now != before+1 {
		a.t.Errorf("refused, but not as %s", why)
	}
	return c
}
