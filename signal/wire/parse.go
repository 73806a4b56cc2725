package wire

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// FieldError says which field of a client's message is wrong. Field is empty if the message as a whole is wrong. A
// field inside another is named with a dot, such as description.sdp.
type FieldError struct {
	Field   string
	Problem string
	Ref     string // the message's id, for the answer; empty if it could not be read
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
	typ, id, received                              []byte
	ticket, name, resume                           []byte
	room, create, size, waiting                    []byte
	to, description, candidate, candidates, callID []byte
	session, after                                 []byte
	media, topic, data, reason, transports         []byte
}

func (f *fields) slot(name []byte) *[]byte {
	switch string(name) {
	case "type":
		return &f.typ
	case "id":
		return &f.id
	case "received":
		return &f.received
	case "ticket":
		return &f.ticket
	case "resume":
		return &f.resume
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
	case "candidates":
		return &f.candidates
	case "call":
		return &f.callID
	case "waiting":
		return &f.waiting
	case "session":
		return &f.session
	case "after":
		return &f.after
	case "media":
		return &f.media
	case "topic":
		return &f.topic
	case "data":
		return &f.data
	case "reason":
		return &f.reason
	case "transports":
		return &f.transports
	}
	return nil
}

func readFields(data []byte) (fields, *FieldError) {
	var f fields
	switch {
	case len(data) > MaxMessage:
		return f, &FieldError{Problem: "is longer than " + strconv.Itoa(MaxMessage) + " bytes"}
	case !utf8.Valid(data):
		// Browsers cut a connection that brings bad UTF-8: a client that had it forwarded could cut others off.
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

// message builds the message. It fills req first, so that an error about any other field can carry the id.
func (f *fields) message(req *Request) (ClientMessage, *FieldError) {
	if f.id != nil {
		id, err := text("id", f.id, MaxID)
		if err != nil {
			return nil, err
		}
		req.ID = id
	}
	if f.received != nil {
		received, err := number("received", f.received)
		if err != nil {
			return nil, err
		}
		req.Received = received
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
	case TypeSay:
		return f.say(*req)
	case TypeCall:
		return f.call(*req)
	case TypeAccept:
		return f.accept(*req)
	case TypeDecline:
		return f.decline(*req)
	case TypeCancel:
		call, err := text("call", f.callID, MaxCall)
		return &Cancel{*req, call}, err
	case TypeHangup:
		call, err := text("call", f.callID, MaxCall)
		return &Hangup{*req, call}, err
	case TypeBye:
		return &Bye{*req}, nil
	case TypeOnline:
		return f.listOnline(*req)
	case TypeRefresh:
		ticket, err := text("ticket", f.ticket, MaxTicket)
		return &Refresh{*req, ticket}, err
	case TypeRename:
		name, err := text("name", f.name, MaxName)
		return &Rename{*req, name}, err
	case TypeAck:
		return &Ack{*req}, nil
	case TypePing:
		return &Ping{*req}, nil
	}
	if m, err, ok := f.moderation(typ, *req); ok {
		return m, err
	}
	return nil, &FieldError{Field: "type", Problem: "is not one that a client sends"}
}

func (f *fields) hello(req Request) (ClientMessage, *FieldError) {
	m := &Hello{Request: req}
	var err *FieldError
	if f.ticket != nil || f.resume == nil {
		if m.Ticket, err = text("ticket", f.ticket, MaxTicket); err != nil {
			return nil, err
		}
	}
	if f.resume != nil {
		if m.Resume, err = readResume(f.resume); err != nil {
			return nil, err.within("resume")
		}
	}
	if f.name != nil {
		if m.Name, err = text("name", f.name, MaxName); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// resumeFields are the raw fields of hello's resume.
type resumeFields struct{ session, token, received, fresh []byte }

func (r *resumeFields) slot(name []byte) *[]byte {
	switch string(name) {
	case "session":
		return &r.session
	case "token":
		return &r.token
	case "received":
		return &r.received
	case "fresh":
		return &r.fresh
	}
	return nil
}

func readResume(raw []byte) (m *Resume, err *FieldError) {
	var r resumeFields
	w := walker{data: raw}
	for w.next() {
		w.keep(r.slot(w.name))
	}
	if w.err != nil {
		return nil, w.err
	}
	m = new(Resume)
	if m.Session, err = text("session", r.session, MaxSession); err != nil {
		return nil, err
	}
	if m.Token, err = text("token", r.token, MaxToken); err != nil {
		return nil, err
	}
	if m.Received, err = number("received", r.received); err != nil {
		return nil, err
	}
	if r.fresh != nil {
		if m.Fresh, err = boolean("fresh", r.fresh); err != nil {
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
		if m.Create, err = boolean("create", f.create); err != nil {
			return nil, err
		}
	}
	if f.waiting != nil {
		if m.Waiting, err = boolean("waiting", f.waiting); err != nil {
			return nil, err
		}
	}
	if m.Media, m.Transports, err = f.part(); err != nil {
		return nil, err
	}
	if f.size != nil {
		if m.Size, err = integer("size", f.size, MinRoomSize, MaxRoomSize); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (f *fields) call(req Request) (ClientMessage, *FieldError) {
	m := &Call{Request: req}
	var err *FieldError
	if m.To, err = text("to", f.to, MaxUser); err != nil {
		return nil, err
	}
	if m.Media, m.Transports, err = f.part(); err == nil && f.data != nil {
		m.Data, err = anyJSON("data", f.data, MaxCallData)
	}
	return m, err
}

func (f *fields) accept(req Request) (ClientMessage, *FieldError) {
	m := &Accept{Request: req}
	var err *FieldError
	if m.Call, err = text("call", f.callID, MaxCall); err == nil {
		m.Media, m.Transports, err = f.part()
	}
	return m, err
}

// part reads how a session takes part in a room.
func (f *fields) part() (media *bool, names []string, err *FieldError) {
	if f.media != nil {
		is, err := boolean("media", f.media)
		if err != nil {
			return nil, nil, err
		}
		media = &is
	}
	if f.transports != nil {
		names, err = transports(f.transports)
	}
	return media, names, err
}

func (f *fields) decline(req Request) (ClientMessage, *FieldError) {
	m := &Decline{Request: req}
	var err *FieldError
	if m.Call, err = text("call", f.callID, MaxCall); err == nil && f.reason != nil {
		m.Reason, err = text("reason", f.reason, MaxReason)
	}
	return m, err
}

func (f *fields) listOnline(req Request) (ClientMessage, *FieldError) {
	m := &ListOnline{Request: req}
	if f.after == nil {
		return m, nil
	}
	var u userFields
	w := walker{data: f.after}
	for w.next() {
		w.keep(u.slot(w.name))
	}
	if w.err != nil {
		return nil, w.err.within("after")
	}
	var err *FieldError
	if m.After.User, err = text("user", u.user, MaxUser); err != nil {
		return nil, err.within("after")
	}
	if m.After.Name, err = text("name", u.name, MaxShownName); err != nil {
		return nil, err.within("after")
	}
	return m, nil
}

// userFields are the raw fields of a user.
type userFields struct{ user, name []byte }

func (u *userFields) slot(name []byte) *[]byte {
	switch string(name) {
	case "user":
		return &u.user
	case "name":
		return &u.name
	}
	return nil
}

func (f *fields) signal(req Request) (ClientMessage, *FieldError) {
	m := &Signal{Request: req, Payload: Payload{f.description, f.candidate, f.candidates}}
	var err *FieldError
	if m.Room, err = f.roomID(); err != nil {
		return nil, err
	}
	if m.To, err = text("to", f.to, MaxSession); err != nil {
		return nil, err
	}
	if err := m.Payload.check(); err != nil {
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

// word is text for a value that is only compared: it makes no string if it can do without.
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

// integer reads a whole number from least to most, written without a point or exponent.
func integer(field string, raw []byte, least, most int) (int, *FieldError) {
	n, err := strconv.Atoi(string(raw))
	if err != nil || n < least || n > most {
		return 0, &FieldError{Field: field, Problem: "must be a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)}
	}
	return n, nil
}

// number reads a whole number that JavaScript can hold exactly.
func number(field string, raw []byte) (uint64, *FieldError) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > 1<<53-1 {
		return 0, &FieldError{Field: field, Problem: "must be a whole number from 0 to 2^53 - 1"}
	}
	return n, nil
}

func boolean(field string, raw []byte) (bool, *FieldError) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, &FieldError{Field: field, Problem: "must be true or false"}
}
