package signalload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Turnpike is turnpike.v1, as signal/PROTOCOL.md describes it.
type Turnpike struct {
	// Run is in the names of this load's rooms, to tell them from other loads': a few of a-z and 0-9.
	Run string
	// Ticket returns the ticket of a session.
	Ticket func(session int) (string, error)
	// Name is the name of sessions whose tickets have none; empty if all have one.
	Name string
}

func (Turnpike) request(int) (target, subprotocol string) { return "/signal", "turnpike.v1" }

func (t Turnpike) greeting(session int) (string, error) {
	ticket, err := t.Ticket(session)
	if err != nil {
		return "", err
	}
	hello, err := json.Marshal(map[string]string{"type": "hello", "ticket": ticket, "name": t.Name})
	if t.Name == "" {
		hello, err = json.Marshal(map[string]string{"type": "hello", "ticket": ticket})
	}
	return string(hello), err
}

func (Turnpike) greeted(_ int, message []byte) (address string, ok bool) {
	if typ, _ := stringField(message, "type"); typ != "welcome" {
		return "", false
	}
	return stringField(message, "session")
}

func (t Turnpike) room(session int) string { return fmt.Sprintf("bench-%s-%d", t.Run, session/2) }

func (t Turnpike) entering(session int) string {
	return `{"type":"join","room":"` + t.room(session) + `","create":true,"size":2}`
}

func (Turnpike) entered(message []byte) bool {
	typ, _ := stringField(message, "type")
	return typ == "joined"
}

func (t Turnpike) envelope(session int, to string) (before, after string) {
	return `{"type":"signal","room":"` + t.room(session) + `","to":"` + to + `","description":{"type":"offer","sdp":"`, `"}}`
}

func (Turnpike) refusal(message []byte) *RefusedError {
	typ, _ := stringField(message, "type")
	switch typ {
	case "error":
		e := new(RefusedError)
		e.Code, _ = stringField(message, "code")
		e.Detail, _ = stringField(message, "message")
		return e
	case "going-away":
		return &RefusedError{Code: typ, Detail: "it is going away"}
	}
	return nil
}

// ackEvery is the number of messages that PROTOCOL.md lets a client acknowledge at once.
const ackEvery = 32

func (Turnpike) receipt(last []byte, messages uint64) string {
	if messages%ackEvery != 0 {
		return ""
	}
	_, seq, ok := bytes.Cut(last[max(0, len(last)-32):], []byte(`,"seq":`)) // seq is the last field
	if !ok {
		return "" // the server does not count this message
	}
	return `{"type":"ack","received":` + string(bytes.TrimSuffix(seq, []byte("}"))) + "}"
}

func (Turnpike) farewell() string { return `{"type":"bye"}` }

// token is in the welcome as resume, and later in a message of that type.
func (Turnpike) token(message []byte) (string, bool) {
	switch typ, _ := stringField(message, "type"); typ {
	case "welcome":
		return stringField(message, "resume")
	case "resume":
		return stringField(message, "token")
	}
	return "", false
}

// resuming has no ticket: another one would be another user's, who would begin a new session.
func (Turnpike) resuming(address, token string) (string, error) {
	text, err := json.Marshal(map[string]any{"type": "hello", "resume": map[string]any{"session": address, "token": token, "received": 0}})
	return string(text), err
}

func (Turnpike) forgotten(refused *RefusedError) bool { return refused.Code == "no-such-session" }

func (Turnpike) sentAway(message []byte) (time.Duration, bool) {
	if typ, _ := stringField(message, "type"); typ != "going-away" {
		return 0, false
	}
	var m struct{ RetryAfter int }
	if err := json.Unmarshal(message, &m); err != nil {
		return 0, false
	}
	return time.Duration(m.RetryAfter) * time.Second, true
}

func (Turnpike) resumed(message []byte) bool {
	how, _ := stringField(message, "resumed")
	return how != ""
}
