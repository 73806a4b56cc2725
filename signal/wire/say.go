package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

type (
	// Say takes Data, which is any JSON, to room mates by way of the server: to all, or to the sessions in To. Topic is for the
	// app there.
	Say struct {
		Request
		Room  string          `json:"room"`
		To    []string        `json:"to,omitempty"`
		Topic string          `json:"topic,omitempty"`
		Data  json.RawMessage `json:"data"`
	}
	// Said answers Say. Missed are the sessions that do not get it: those of To that are not in the room, and those for which
	// much waits already.
	Said struct {
		Ref    string   `json:"ref,omitempty"`
		Room   string   `json:"room"`
		Missed []string `json:"missed,omitempty"`
	}
	// Data is a Say as its receivers get it. The server sets From.
	Data struct {
		Room  string          `json:"room"`
		From  string          `json:"from"`
		Topic string          `json:"topic,omitempty"`
		Data  json.RawMessage `json:"data"`
	}
)

func (*Say) Type() string  { return TypeSay }
func (*Said) Type() string { return TypeSaid }
func (*Data) Type() string { return TypeData }

func (f *fields) say(req Request) (ClientMessage, *FieldError) {
	m := &Say{Request: req}
	var err *FieldError
	if m.Room, err = f.roomID(); err != nil {
		return nil, err
	}
	if f.to != nil {
		if m.To, err = sessions(f.to); err != nil {
			return nil, err
		}
	}
	if f.topic != nil {
		if m.Topic, err = text("topic", f.topic, MaxTopic); err != nil {
			return nil, err
		}
	}
	if f.data == nil {
		return nil, &FieldError{Field: "data", Problem: "is missing"}
	}
	m.Data, err = anyJSON("data", f.data, MaxData)
	return m, err
}

// sessions reads a list of sessions: at most as many as the others in a room can be.
func sessions(raw []byte) (list []string, err *FieldError) {
	l := lister{data: raw}
	for l.next() {
		session, err := text("to", l.value, MaxSession)
		if err != nil {
			return nil, err
		}
		if list = append(list, session); len(list) >= MaxRoomSize {
			break
		}
	}
	if l.err || len(list) == 0 || len(list) >= MaxRoomSize {
		return nil, &FieldError{Field: "to", Problem: "must be a list of 1 to " + strconv.Itoa(MaxRoomSize-1) + " sessions"}
	}
	return list, nil
}

// anyJSON reads a value that the server does not look into. It is a copy: the message's memory is used again.
func anyJSON(field string, raw []byte, limit int) (json.RawMessage, *FieldError) {
	if len(raw) > limit {
		return nil, &FieldError{Field: field, Problem: "is longer than " + strconv.Itoa(limit) + " bytes"}
	}
	return bytes.Clone(raw), nil
}

// EncodeData is Encode for a [Data], without making one. data is spliced in as it came.
func EncodeData(room, from, topic string, data []byte) []byte {
	dst := append(make([]byte, 0, len(room)+len(from)+len(topic)+len(data)+80), `{"type":"data"`...)
	dst = appendString(appendString(dst, "room", room), "from", from)
	if topic != "" {
		dst = appendString(dst, "topic", topic)
	}
	return appendData(dst, data)
}

func encodeSay(m *Say) []byte {
	dst := appendString(appendRequest([]byte(`{"type":"say"`), m.Request), "room", m.Room)
	if len(m.To) > 0 {
		to, _ := json.Marshal(m.To) // strings always encode
		dst = append(append(dst, `,"to":`...), to...)
	}
	if m.Topic != "" {
		dst = appendString(dst, "topic", m.Topic)
	}
	return appendData(dst, m.Data)
}

func encodeCall(m *Call) []byte {
	dst := appendString(appendRequest([]byte(`{"type":"call"`), m.Request), "to", m.To)
	if m.Media != nil {
		dst = strconv.AppendBool(append(dst, `,"media":`...), *m.Media)
	}
	if len(m.Transports) > 0 {
		transports, _ := json.Marshal(m.Transports) // strings always encode
		dst = append(append(dst, `,"transports":`...), transports...)
	}
	return appendData(dst, m.Data)
}

// appendData appends the last field of a message, if there is one, and its end.
func appendData(dst, data []byte) []byte {
	if data != nil {
		dst = append(append(dst, `,"data":`...), data...)
	}
	return append(dst, '}')
}
