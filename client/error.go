package client

import (
	"errors"
	"time"

	"example.org/turnpike/client/internal/signaling"
)

// Codes of errors that the library has beside the server's, which signal/PROTOCOL.md lists.
const (
	CodeOffline     = signaling.CodeOffline     // the server cannot be reached, or the connection to it was lost
	CodeTimeout     = signaling.CodeTimeout     // the server did not answer in time
	CodeBadURL      = signaling.CodeBadURL      // Config.URL is no address of a server
	CodeNotTurnpike = signaling.CodeNotTurnpike // something else answers there
	CodeCertificate = signaling.CodeCertificate // the server's certificate is not trusted
	CodeTicket      = signaling.CodeTicket      // GetTicket failed
	CodeBadMessage  = signaling.CodeBadMessage  // what was asked is malformed
	CodeTooLong     = signaling.CodeTooLong     // a message is longer than the server takes
	CodeEnded       = signaling.CodeEnded       // the server has ended the session for good
	CodeClosed      = signaling.CodeClosed      // the session is closed
	CodeLeft        = "left"                    // the room was left
	CodeGone        = "gone"                    // the peer has left the room
	CodeNoTransport = "no-transport"            // the peer and this program have no transport in common
	CodeMissed      = "missed"                  // some receivers did not get what was said
)

// Error says what went wrong: Code for programs, Message for people, and Hint what to do about it. Retryable means that waiting
// may help, RetryAfter for how long the server wants to be left alone. Err is what caused it, if anything did.
type Error struct {
	Code       string
	Message    string
	Hint       string
	RetryAfter time.Duration
	Retryable  bool
	Err        error
}

// Error returns the message, and the hint behind it.
func (e *Error) Error() string { return (*signaling.Error)(e).Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of an [*Error] in err, empty if there is none.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*signaling.Error](err); ok {
		return e.Code
	}
	return ""
}

// publicError makes an [*Error] of one of signaling.
func publicError(err error) error {
	if e, ok := errors.AsType[*signaling.Error](err); ok {
		return (*Error)(e)
	}
	return err
}

func errClosed() error { return &Error{Code: CodeClosed, Message: "The session is closed."} }

func errLeft(reason string) error {
	return &Error{Code: CodeLeft, Message: "The room was left: " + reason + "."}
}

func errGone(reason string) error {
	return &Error{Code: CodeGone, Message: "The peer has left the room: " + reason + "."}
}

// asPublic is errors.As for an [*Error], also of one of signaling.
func asPublic(err error, to **Error) bool { return errors.As(publicError(err), to) }
