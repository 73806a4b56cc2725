package signal

import (
	"sync/atomic"

	"example.org/turnpike/signal/wire"
)

// Why an upgrade was refused.
const (
	refusedOrigin      = "origin"
	refusedSubprotocol = "subprotocol"
	refusedHandshake   = "handshake"
	refusedDraining    = "draining"
	refusedSessions    = "sessions"
	refusedAddr        = "address"
)

const (
	messageInvalid = "invalid" // beside the types: a message that Parse refused

	// How sessions began.
	sessionNew      = "new"
	sessionReplayed = wire.ResumedReplayed
	sessionRestored = wire.ResumedRestored

	// Why sessions were not resumed.
	resumeForged    = "forged"     // the token is not ours, or another session's
	resumeExpired   = "expired"    // the token has expired
	resumeReplaced  = "replaced"   // a later welcome brought another token
	resumeRevoked   = "revoked"    // the user's invite or ticket was revoked
	resumeOtherUser = "other-user" // the ticket beside the token is another user's
	resumeEnded     = "ended"      // the session has ended
	resumeGap       = "gap"        // messages that the client has missed are gone

	// Why a candidate did not enter a scope.
	scopeHostName = "host-name" // it is a host name
	scopeFull     = "full"      // the scope has maxScope addresses, or maxFromMate of the mate
)

// Counter is a number that only grows. Names and reasons are of a fixed set, and never chosen by clients.
type Counter struct {
	Name, Reason string
	Value        uint64
}

// Stats counts what a server has at one moment.
type Stats struct {
	Sockets, Sessions, Away, Users, Rooms, Calls int
	KeptBytes                                    int64 // bytes of messages that clients have not acknowledged
}

// Stats counts what the server has now.
func (srv *Server) Stats() Stats {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return Stats{srv.conns.len(), len(srv.sessions), srv.away.len(), len(srv.users), len(srv.rooms), len(srv.calls), srv.kept.Load()}
}

// Counters returns all counters, those at zero too, in a stable order: messages by type, error answers by code, closed
// connections by the word of the close code, refused upgrades, sessions that began, were not resumed, and ended, what
// limits held back, candidates that did not enter a scope, and panics.
func (srv *Server) Counters() []Counter {
	c := &srv.counters
	var all []Counter
	for _, t := range []*tally{&c.messages, &c.errors, &c.closes, &c.refused, &c.begun, &c.unresumed, &c.ended, &c.limited, &c.scope, &c.panics} {
		for i, reason := range t.reasons {
			all = append(all, Counter{t.name, reason, t.values[i].Load()})
		}
	}
	return all
}

// counters are static after construction.
type counters struct {
	messages, errors, closes, refused, begun, unresumed, ended, limited, scope, panics tally
}

func newCounters() counters {
	var codes []string
	for _, code := range wire.Codes() {
		codes = append(codes, string(code))
	}
	var words []string
	for _, code := range []int{wire.CloseBye, wire.CloseGoingAway, wire.CloseTooBig, wire.CloseInternal, wire.CloseBadMessage, wire.CloseUnauthorized,
		wire.CloseSlow, wire.CloseHelloTimeout, wire.CloseRateLimited, wire.CloseDead, wire.CloseReplaced, wire.CloseEnded, wire.CloseExpired} {
		words = append(words, wire.CloseReason(code))
	}
	return counters{
		messages:  newTally("messages", append(wire.ClientTypes(), messageInvalid)...),
		errors:    newTally("errors", codes...),
		closes:    newTally("closes", words...),
		refused:   newTally("refused", refusedOrigin, refusedSubprotocol, refusedHandshake, refusedDraining, refusedSessions, refusedAddr),
		begun:     newTally("sessions_begun", sessionNew, sessionReplayed, sessionRestored),
		unresumed: newTally("resumes_refused", resumeForged, resumeExpired, resumeReplaced, resumeRevoked, resumeOtherUser, resumeEnded, resumeGap),
		ended: newTally("sessions_ended", wire.ReasonBye, wire.ReasonGone, wire.ReasonSlow, wire.ReasonBadMessage,
			wire.ReasonShutdown, wire.ReasonRevoked, wire.ReasonExpired, wire.ReasonInternal),
		limited: newTally("limited", limitedMessages, limitedUserMessages, limitedJoins, limitedUserJoins, limitedAddrJoins,
			limitedAddrHellos, limitedFailedHellos, limitedUserSessions, limitedAddrSessions, limitedSessions, limitedBeforeHello),
		scope:  newTally("scope_ignored", scopeHostName, scopeFull),
		panics: newTally("panics", panickedConn, panickedSession, panickedCall),
	}
}

// tally counts by reason.
type tally struct {
	name    string
	reasons []string
	values  []atomic.Uint64
}

func newTally(name string, reasons ...string) tally {
	return tally{name, reasons, make([]atomic.Uint64, len(reasons))}
}

func (t *tally) count(reason string) { t.countN(reason, 1) }

func (t *tally) countN(reason string, n int) {
	if n == 0 {
		return
	}
	for i, r := range t.reasons {
		if r == reason {
			t.values[i].Add(uint64(n))
			return
		}
	}
}
