package signalload

import (
	"bytes"
	"fmt"
)

// Dialect is what a server of some kind wants to hear. Sessions are numbered from zero.
type Dialect interface {
	// request is the path and query of a session's WebSocket, and the subprotocol to ask for, if any.
	request(session int) (target, subprotocol string)
	// greeting is what a session says first; empty if the server speaks first.
	greeting(session int) (string, error)
	// greeted finds in a message what others call the session by; not ok if that is not in it.
	greeted(session int, message []byte) (address string, ok bool)
	// entering is what a session says before its mate can reach it; empty if nothing.
	entering(session int) string
	// entered reports whether a message answers entering.
	entered(message []byte) bool
	// envelope is what stands around the text of a message to an address. The text is the inside of a JSON string.
	envelope(session int, to string) (before, after string)
	// refusal is what the server has against what was sent; nil if the message is none.
	refusal(message []byte) *RefusedError
	// receipt is what a session says after so many messages have come in a row; empty if nothing is due.
	receipt(last []byte, messages uint64) string
	// farewell is the last that a session says; empty if closing the socket is enough.
	farewell() string
}

// RefusedError is a server's refusal.
type RefusedError struct {
	Status int    // of HTTP, where the WebSocket was refused; else 0
	Code   string // the server's word, or that of a close code
	Detail string
}

func (e *RefusedError) Error() string {
	if e.Status != 0 {
		return "the server refuses a WebSocket: " + e.Detail
	}
	return fmt.Sprintf("the server refuses: %s (%s)", e.Detail, e.Code)
}

// stringField finds the first field of a name in a message, and returns what stands between its quotes. It is no parser, but
// what it reads is the server's own, and what it takes for a value goes back to the server alone.
func stringField(message []byte, name string) (string, bool) {
	_, rest, ok := bytes.Cut(message, []byte(`"`+name+`":"`))
	if !ok {
		return "", false
	}
	value, _, ok := bytes.Cut(rest, []byte(`"`))
	return string(value), ok
}
