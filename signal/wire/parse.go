package wire

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// FieldError says which field of a client's message is wrong. Field is empty
// if the message as a whole is; a field inside another is named with a dot,
// such as description.sdp.
type FieldError struct {
	Field   string
	Problem string
	// Ref is the message's id, for the answer; empty if it could not be read.
	Ref string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return "the message " + e.Problem
	}
	return e.Field + " " + e.Problem
}

// Parse reads and checks a client's message. Every error is a *[FieldError].
// The payload of a [Signal] is a part of data, not a copy.
func Parse(data []byte) (ClientMessage, error) {
	f, err := readFields(data)
	if err != nil {
		return nil, err
	}
	var req Request
	m, err := f.message(&req)
	if err != nil {
		err.Ref = req.ID
		return nil, err
	}
	return m, nil
}

// fields are the raw values of a message's known fields, nil where absent.
type fields struct {
	typ, id                            []byte
	ticket, name                       []byte
	room, create, size                 []byte
	to, description, candidate, callID []byte
}

func (f *fields) slot(name []byte) *[]byte {
	switch string(name) {
	case "type":
		return &f.typ
	case "id":
		return &f.id
	case "ticket":
		return &f.ticket
	case "name":
		return &f.name
	case "room":
		return &f.room
	case "create":
		return &f.create
	case "size":
		return &f.size
	case "to":
		return &f.to
	case "description":
		return &f.description
	case "candidate":
		return &f.candidate
	case "call":
		return &f.callID
	}
	return nil
}

func readFields(data []byte) (fields, *FieldError) {
	var f fields
	switch {
	case len(data) > MaxMessage:
		return f, &FieldError{Problem: "is longer than " + strconv.Itoa(MaxMessage) + " bytes"}
	case !utf8.Valid(data):
		// Browsers cut a connection that brings bad UTF-8: whoever could have
		// it forwarded could cut off others.
		return f, &FieldError{Problem: "is not UTF-8"}
	case !validJSON(data):
		return f, &FieldError{Problem: "is not JSON"}
	}
	w := walker{data: data}
	for w.next() {
		w.keep(f.slot(w.name))
	}
	return f, w.err
}

// message builds the message. It fills req first, so that an error about any
// other field can carry the id.
func (f *fields) message(req *Request) (ClientMessage, *FieldError) {
	if f.id != nil {
		id, err := text("id", f.id, MaxID)
		if err != nil {
			return nil, err
		}
		req.ID = id
	}
	typ, err := word("type", f.typ, MaxID)
	if err != nil {
		return nil, err
	}
	switch string(typ) {
	case TypeHello:
		return f.hello(*req)
	case TypeJoin:
		return f.join(*req)
	case TypeLeave:
		room, err := f.roomID()
		return &Leave{*req, room}, err
	case TypeSignal:
		return f.signal(*req)
	case TypeCall:
		to, err := text("to", f.to, MaxUser)
		return &Call{*req, to}, err
	case TypeAccept:
		call, err := text("call", f.callID, MaxCall)
		return &Accept{*req, call}, err
	case TypeDecline:
		call, err := text("call", f.callID, MaxCall)
		return &Decline{*req, call}, err
	case TypeCancel:
		call, err := text("call", f.callID, MaxCall)
		return &Cancel{*req, call}, err
	case TypeHangup:
		call, err := text("call", f.callID, MaxCall)
		return &Hangup{*req, call}, err
	case TypeBye:
		return &Bye{*req}, nil
	}
	return nil, &FieldError{Field: "type", Problem: "is not one that a client sends"}
}

func (f *fields) hello(req Request) (ClientMessage, *FieldError) {
	m := &Hello{Request: req}
	var err *FieldError
	if m.Ticket, err = text("ticket", f.ticket, MaxTicket); err != nil {
		return nil, err
	}
	if f.name != nil {
		if m.Name, err = text("name", f.name, MaxName); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (f *fields) join(req Request) (ClientMessage, *FieldError) {
	m := &Join{Request: req}
	var err *FieldError
	if f.room != nil {
		if m.Room, err = f.roomID(); err != nil {
			return nil, err
		}
	}
	if f.create != nil {
		switch string(f.create) {
		case "true":
			m.Create = true
		case "false":
		default:
			return nil, &FieldError{Field: "create", Problem: "must be true or false"}
		}
	}
	if f.size != nil {
		if m.Size, err = integer("size", f.size, MinRoomSize, MaxRoomSize); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (f *fields) signal(req Request) (ClientMessage, *FieldError) {
	m := &Signal{Request: req, Description: f.description, Candidate: f.candidate}
	var err *FieldError
	if m.Room, err = f.roomID(); err != nil {
		return nil, err
	}
	if m.To, err = text("to", f.to, MaxSession); err != nil {
		return nil, err
	}
	switch {
	case f.description == nil && f.candidate == nil:
		return nil, &FieldError{Field: "description", Problem: "or candidate is missing"}
	case f.description != nil && f.candidate != nil:
		return nil, &FieldError{Field: "candidate", Problem: "must not stand beside description"}
	case f.description != nil:
		err = checkDescription(f.description)
	default:
		err = checkCandidate(f.candidate)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (f *fields) roomID() (string, *FieldError) {
	room, err := text("room", f.room, MaxRoom)
	if err != nil {
		return "", err
	}
	if !ValidRoom(room) {
		return "", &FieldError{Field: "room", Problem: "must be lower-case letters a-z, digits and inner hyphens"}
	}
	return room, nil
}

// text reads a string of 1 to limit code points.
func text(field string, raw []byte, limit int) (string, *FieldError) {
	if err := checkString(field, raw); err != nil {
		return "", err
	}
	s := unquote(raw)
	if s == "" || utf8.RuneCountInString(s) > limit {
		return "", &FieldError{Field: field, Problem: "must be 1 to " + strconv.Itoa(limit) + " characters long"}
	}
	return s, nil
}

// word reads what text does, for comparing only: it makes no string of what needs none.
func word(field string, raw []byte, limit int) ([]byte, *FieldError) {
	if err := checkString(field, raw); err != nil {
		return nil, err
	}
	if inner := raw[1 : len(raw)-1]; len(inner) > 0 && len(inner) <= limit && bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	s, err := text(field, raw, limit)
	return []byte(s), err
}

func checkString(field string, raw []byte) *FieldError {
	switch {
	case len(raw) == 0:
		return &FieldError{Field: field, Problem: "is missing"}
	case raw[0] != '"':
		return &FieldError{Field: field, Problem: "must be a string"}
	}
	return nil
}

// integer reads a whole number, written as one, of least to most.
func integer(field string, raw []byte, least, most int) (int, *FieldError) {
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < least || n > most {
		return 0, &FieldError{Field: field, Problem: "must be a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)}
	}
	return n, nil
}
