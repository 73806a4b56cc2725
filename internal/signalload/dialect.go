package signalload

import (
	"bytes"
	"fmt"
)

// Dialect is the protocol of one kind of server. Sessions are numbered from zero.
type Dialect interface {
	// request returns the path and query of a session's WebSocket, and the subprotocol to ask for, if any.
	request(session int) (target, subprotocol string)
	// greeting returns a session's first message; empty if the server speaks first.
	greeting(session int) (string, error)
	// greeted finds in a message the address by which others reach the session; not ok if the message has none.
	greeted(session int, message []byte) (address string, ok bool)
	// entering returns the message that a session must send before its mate can reach it; empty if none.
	entering(session int) string
	// entered reports whether a message answers entering.
	entered(message []byte) bool
	// envelope returns the JSON around the text of a message to an address. The text is the inside of a JSON string.
	envelope(session int, to string) (before, after string)
	// refusal returns the server's refusal in a message; nil if the message is none.
	refusal(message []byte) *RefusedError
	// receipt returns the message that is due after so many received messages; empty if none.
	receipt(last []byte, messages uint64) string
	// farewell returns a session's last message; empty if closing the socket is enough.
	farewell() string
}

// RefusedError is a server's refusal.
type RefusedError struct {
	Status int    // of HTTP, if the server refused the WebSocket; else 0
	Code   string // the server's error code, or the close code
	Detail string
}

func (e *RefusedError) Error() string {
	if e.Status != 0 {
		return "the server refuses a WebSocket: " + e.Detail
	}
	return fmt.Sprintf("the server refuses: %s (%s)", e.Detail, e.Code)
}

// stringField finds the first field with a name in a message, and returns the text between the quotes of its value. It
// is no parser. It need not be: the message comes from the server, and the value goes back only to the server.
func stringField(message []byte, name string) (string, bool) {
	_, rest, ok := bytes.Cut(message, []byte(`"`+name+`":"`))
	if !ok {
		return "", false
	}
	value, _, ok := bytes.Cut(rest, []byte(`"`))
	return string(value), ok
}
