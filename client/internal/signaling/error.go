package signaling

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"example.org/turnpike/signal/wire"
)

// Codes of the library's own, beside the server's.
const (
	CodeOffline     = "offline"      // the server cannot be reached, or the connection to it was lost
	CodeTimeout     = "timeout"      // the server did not answer in time
	CodeBadURL      = "bad-url"      // that is no address of a server
	CodeNotTurnpike = "not-turnpike" // something else answers there
	CodeCertificate = "certificate"  // the server's certificate cannot be trusted
	CodeTicket      = "ticket"       // the program has given no ticket
	CodeTooLong     = "too-long"
	CodeEnded       = "ended"  // the server has ended the session for good
	CodeClosed      = "closed" // the session is closed

	CodeBadMessage = string(wire.CodeBadMessage)
)

// Error is what went wrong, for programs and for people. client.Error has the same fields.
type Error struct {
	Code       string
	Message    string
	Hint       string
	RetryAfter time.Duration
	Retryable  bool
	Err        error
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " " + e.Hint
}

func (e *Error) Unwrap() error { return e.Err }

func closedError() *Error {
	return &Error{Code: CodeClosed, Message: "The session is closed."}
}

// serverError makes one of the server's.
func serverError(m *wire.Error) *Error {
	code := string(m.Code)
	return &Error{Code: code, Message: printable(m.Message), Hint: hint(code), RetryAfter: time.Duration(m.RetryAfter) * time.Second,
		Retryable: m.Away || passes(code)}
}

// printable is a text of the server, or of somebody in its place, on one line and without what commands a terminal: errors are printed.
func printable(text string) string {
	const most = 500
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(text[:min(len(text), most)], ""))
}

// passes reports whether time may heal an error of the server.
func passes(code string) bool {
	switch wire.Code(code) {
	case wire.CodeRateLimited, wire.CodeSlow, wire.CodeInternal:
		return true
	}
	return false
}

// hint says what to do about an error of the server, beyond what its message says. It is empty if there is nothing to add.
func hint(code string) string {
	switch code {
	case string(wire.CodeUnauthorized):
		return "`turnpike ticket --inspect` says what is wrong with a ticket."
	case string(wire.CodeForbidden):
		return "The ticket must allow it: see its role and rooms."
	case string(wire.CodeNotExisting):
		return "Join with Create to make the room."
	case string(wire.CodeFull):
		return "The session that makes a room says its size; without one, it is for two."
	case string(wire.CodeNoSuchUser):
		return "Guests see nobody but their room mates."
	case "invite-required":
		return "Pass an invite or a ticket, or set auth.guests in the server's configuration."
	}
	return ""
}

// asError returns err as an *Error.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeOffline, Message: "The server cannot be reached: " + err.Error() + ".", Retryable: true, Err: err}
}

func retryable(err error) bool { return asError(err).Retryable }
