package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Message is any message of the protocol.
type Message interface {
	// Type is the value of the field "type".
	Type() string
}

// ClientMessage is a message that a client may send.
type ClientMessage interface {
	Message
	// RequestID is the client's id, which the answer carries as ref. It is empty if the client gave none.
	RequestID() string
	// Acknowledged is the greatest seq that the client has handled. It is zero if the message does not say.
	Acknowledged() uint64
}

// Request has the fields that every client message may carry.
type Request struct {
	ID       string `json:"id,omitempty"`
	Received uint64 `json:"received,omitempty"`
}

// RequestID implements [ClientMessage].
func (r Request) RequestID() string { return r.ID }

// Acknowledged implements [ClientMessage].
func (r Request) Acknowledged() uint64 { return r.Received }

// Peer is a session in a room, as its mates see it. Away means that it has no connection at the moment.
type Peer struct {
	Session string `json:"session"`
	User    string `json:"user"`
	Name    string `json:"name"`
	Away    bool   `json:"away,omitempty"`
	Media   *bool  `json:"media,omitempty"` // false: it takes no part in WebRTC, and nobody makes it an offer; else nil
	// Transports are those that it has beside WebRTC, such as quic.
	Transports []string `json:"transports,omitempty"`
}

// User is a user who is online, with one session or more. The user's identifier is opaque to clients.
type User struct {
	User string `json:"user"`
	Name string `json:"name"`
}

// ICEServer is an RTCIceServer. Its credential is a secret of the session.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// The messages of clients.
type (
	// Hello is the first message. It has a Ticket, or a session to Resume, or both: then the ticket is for the case
	// that there is nothing to resume.
	Hello struct {
		Request
		Ticket string  `json:"ticket,omitempty"`
		Name   string  `json:"name,omitempty"`
		Resume *Resume `json:"resume,omitempty"`
	}
	// Resume asks for a session to go on. Received is the greatest seq that the client has handled. Fresh means that
	// the client has lost everything else, its peer connections above all.
	Resume struct {
		Session  string `json:"session"`
		Token    string `json:"token"`
		Received uint64 `json:"received"`
		Fresh    bool   `json:"fresh,omitempty"`
	}
	// Join enters a room. Without Room, the server makes and names one. Size and Waiting count only when the room is
	// made. A Size of zero is [DefaultRoomSize]. Waiting gives the room a waiting room. Media of false means that the session
	// takes no part in WebRTC there. Transports are those that it has beside WebRTC.
	Join struct {
		Request
		Room       string   `json:"room,omitempty"`
		Create     bool     `json:"create,omitempty"`
		Size       int      `json:"size,omitempty"`
		Waiting    bool     `json:"waiting,omitempty"`
		Media      *bool    `json:"media,omitempty"`
		Transports []string `json:"transports,omitempty"`
	}
	// Leave leaves a room.
	Leave struct {
		Request
		Room string `json:"room"`
	}
	// Signal carries one payload to a room mate.
	Signal struct {
		Request
		Room string `json:"room"`
		To   string `json:"to"`
		Payload
	}
	// Call rings a user. Data is any JSON, for the app there. Media and Transports are those of [Join], for the call's room.
	Call struct {
		Request
		To         string          `json:"to"`
		Media      *bool           `json:"media,omitempty"`
		Transports []string        `json:"transports,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	// Accept answers a call that rings here. Media and Transports are those of [Join], for the call's room.
	Accept struct {
		Request
		Call       string   `json:"call"`
		Media      *bool    `json:"media,omitempty"`
		Transports []string `json:"transports,omitempty"`
	}
	// Decline refuses a call that rings here.
	Decline struct {
		Request
		Call   string `json:"call"`
		Reason string `json:"reason,omitempty"`
	}
	// Cancel takes back a call that nobody has answered yet.
	Cancel struct {
		Request
		Call string `json:"call"`
	}
	// Hangup ends an answered call.
	Hangup struct {
		Request
		Call string `json:"call"`
	}
	// Bye ends the session and its relays.
	Bye struct {
		Request
	}
	// ListOnline asks for the users who are online after a place in the order of names. A zero After is the beginning.
	ListOnline struct {
		Request
		After User `json:"after,omitzero"`
	}
	// Ack carries Received, and does nothing else.
	Ack struct {
		Request
	}
	// Ping asks for a Pong.
	Ping struct {
		Request
	}
)

// Payload is what a signal carries: exactly one of the three, as raw JSON that is forwarded as it came. A candidate of
// null means that there are no more.
type Payload struct {
	Description json.RawMessage `json:"description,omitempty"`
	Candidate   json.RawMessage `json:"candidate,omitempty"`
	Candidates  json.RawMessage `json:"candidates,omitempty"`
}

// The messages of the server. Ref is the id of the request that a message answers; it is empty if the request had none,
// or if the message answers none.
type (
	// Welcome answers Hello. After is one less than the number of the next message. Resume is the token to resume with,
	// empty if sessions are not resumed. ResumeWindow is in seconds. Epoch names the process of the server.
	//
	// Resumed is empty for a new session. Otherwise Rooms are the session's rooms, and Handled is the id of the last
	// request that the server handled, if it knows that. Online is nil for a resumed session that knows the users
	// already. OnlineMore means that there are more; ListOnline asks for them. Limits is nil if the client knows them.
	// ExpiresIn is in how many seconds the session ends unless it is refreshed; zero: never.
	Welcome struct {
		Ref          string      `json:"ref,omitempty"`
		After        uint64      `json:"after"`
		Session      string      `json:"session"`
		User         string      `json:"user"`
		Name         string      `json:"name"`
		Role         string      `json:"role"`
		Resume       string      `json:"resume,omitempty"`
		ResumeWindow int         `json:"resumeWindow"`
		Epoch        string      `json:"epoch"`
		Resumed      string      `json:"resumed,omitempty"`
		Handled      string      `json:"handled,omitempty"`
		Rooms        []Joined    `json:"rooms,omitempty"`
		ExpiresIn    int         `json:"expiresIn,omitempty"`
		Limits       *Limits     `json:"limits,omitempty"`
		ICEServers   []ICEServer `json:"iceServers"`
		ICEExpires   time.Time   `json:"iceExpires,omitzero"`
		Online       []User      `json:"online,omitzero"`
		OnlineMore   bool        `json:"onlineMore,omitempty"`
	}
	// Handled tells that all requests up to Ref were handled; some have no other answer.
	Handled struct {
		Ref string `json:"ref"`
	}
	// Pong answers Ping.
	Pong struct {
		Ref string `json:"ref,omitempty"`
	}
	// NewToken replaces the token of Welcome.
	NewToken struct {
		Token string `json:"token"`
	}
	// PeerAway tells that a room mate has lost its connection.
	PeerAway struct {
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// PeerBack tells that a room mate has a connection again. Fresh means that it has lost everything else: it begins
	// peer connections anew, by its offer.
	PeerBack struct {
		Room    string `json:"room"`
		Session string `json:"session"`
		Fresh   bool   `json:"fresh,omitempty"`
	}
	// Error answers any request. RetryAfter is in seconds. Away means that somebody is away who may not come back: with full
	// and name-taken. Limit is the name of the limit, as in Limits, that is reached: with forbidden.
	Error struct {
		Ref        string `json:"ref,omitempty"`
		Code       Code   `json:"code"`
		Message    string `json:"message"`
		Field      string `json:"field,omitempty"`
		RetryAfter int    `json:"retryAfter,omitempty"`
		Away       bool   `json:"away,omitempty"`
		Limit      string `json:"limit,omitempty"`
	}
	// Joined tells which other sessions are in the room. Host is a session, empty in the room of a call. Waiting means
	// that the room has a waiting room. Knocks are the sessions in it, for a session with host powers only.
	Joined struct {
		Ref     string `json:"ref,omitempty"`
		Room    string `json:"room"`
		Size    int    `json:"size"`
		Host    string `json:"host,omitempty"`
		Locked  bool   `json:"locked,omitempty"`
		Waiting bool   `json:"waiting,omitempty"`
		Peers   []Peer `json:"peers"`
		Knocks  []Peer `json:"knocks,omitempty"`
	}
	// Left answers Leave, or tells the session that the server took it out of the room.
	Left struct {
		Ref    string `json:"ref,omitempty"`
		Room   string `json:"room"`
		Reason string `json:"reason"`
	}
	// PeerJoined tells of a new room mate.
	PeerJoined struct {
		Room string `json:"room"`
		Peer Peer   `json:"peer"`
	}
	// PeerLeft tells that a room mate is no longer there.
	PeerLeft struct {
		Room    string `json:"room"`
		Session string `json:"session"`
		Reason  string `json:"reason"`
	}
	// Forward is a Signal as its receiver gets it. The server sets From.
	Forward struct {
		Room string `json:"room"`
		From string `json:"from"`
		Payload
	}
	// Online tells of users who came online or changed their names. With a Ref it answers ListOnline; More means that
	// there are others after the last of Users.
	Online struct {
		Ref   string `json:"ref,omitempty"`
		Users []User `json:"users"`
		More  bool   `json:"more,omitempty"`
	}
	// Offline tells of users whose last session ended.
	Offline struct {
		Users []User `json:"users"`
	}
	// Ring tells that a user calls.
	Ring struct {
		Call string          `json:"call"`
		From User            `json:"from"`
		Data json.RawMessage `json:"data,omitempty"`
	}
	// Ringing answers Call.
	Ringing struct {
		Ref  string          `json:"ref,omitempty"`
		Call string          `json:"call"`
		To   User            `json:"to"`
		Data json.RawMessage `json:"data,omitempty"`
	}
	// Accepted tells both sides of a call the room of the call.
	Accepted struct {
		Ref  string `json:"ref,omitempty"`
		Call string `json:"call"`
		Room string `json:"room"`
	}
	// Declined tells that the call was declined.
	Declined struct {
		Ref    string `json:"ref,omitempty"`
		Call   string `json:"call"`
		Reason string `json:"reason,omitempty"`
	}
	// Cancelled tells that the call rings no more.
	Cancelled struct {
		Ref    string `json:"ref,omitempty"`
		Call   string `json:"call"`
		Reason string `json:"reason"`
	}
	// HungUp tells that an answered call is over.
	HungUp struct {
		Ref  string `json:"ref,omitempty"`
		Call string `json:"call"`
		Room string `json:"room"`
	}
	// NewICEServers brings a new credential before the old one expires.
	NewICEServers struct {
		ICEServers []ICEServer `json:"iceServers"`
		ICEExpires time.Time   `json:"iceExpires,omitzero"`
	}
	// GoingAway announces a planned stop. RetryAfter is in seconds.
	GoingAway struct {
		RetryAfter int `json:"retryAfter"`
	}
)

func (*Hello) Type() string      { return TypeHello }
func (*Join) Type() string       { return TypeJoin }
func (*Leave) Type() string      { return TypeLeave }
func (*Signal) Type() string     { return TypeSignal }
func (*Call) Type() string       { return TypeCall }
func (*Accept) Type() string     { return TypeAccept }
func (*Decline) Type() string    { return TypeDecline }
func (*Cancel) Type() string     { return TypeCancel }
func (*Hangup) Type() string     { return TypeHangup }
func (*Bye) Type() string        { return TypeBye }
func (*ListOnline) Type() string { return TypeOnline }
func (*Ack) Type() string        { return TypeAck }
func (*Ping) Type() string       { return TypePing }

func (*Welcome) Type() string       { return TypeWelcome }
func (*Error) Type() string         { return TypeError }
func (*Joined) Type() string        { return TypeJoined }
func (*Left) Type() string          { return TypeLeft }
func (*PeerJoined) Type() string    { return TypePeerJoined }
func (*PeerLeft) Type() string      { return TypePeerLeft }
func (*Forward) Type() string       { return TypeSignal }
func (*Online) Type() string        { return TypeOnline }
func (*Offline) Type() string       { return TypeOffline }
func (*Ring) Type() string          { return TypeCall }
func (*Ringing) Type() string       { return TypeRinging }
func (*Accepted) Type() string      { return TypeAccept }
func (*Declined) Type() string      { return TypeDecline }
func (*Cancelled) Type() string     { return TypeCancel }
func (*HungUp) Type() string        { return TypeHangup }
func (*NewICEServers) Type() string { return TypeICEServers }
func (*GoingAway) Type() string     { return TypeGoingAway }
func (*Handled) Type() string       { return TypeAck }
func (*Pong) Type() string          { return TypePong }
func (*NewToken) Type() string      { return TypeResume }
func (*PeerAway) Type() string      { return TypePeerAway }
func (*PeerBack) Type() string      { return TypePeerBack }

// ClientTypes lists the types that clients send.
func ClientTypes() []string {
	return []string{TypeHello, TypeJoin, TypeLeave, TypeSignal, TypeSay, TypeCall, TypeAccept, TypeDecline, TypeCancel, TypeHangup, TypeBye,
		TypeOnline, TypeAck, TypePing, TypeRefresh, TypeRename, TypeLock, TypeUnlock, TypeKick, TypeAdmit, TypeRefuse}
}

// Encode returns m as one JSON object with its type first. It fails only for values that JSON cannot hold, such as a
// payload that is not JSON or a year of five digits.
func Encode(m Message) ([]byte, error) {
	switch m := m.(type) {
	case *Signal:
		return appendSignal(m.Request, "to", m.Room, m.To, &m.Payload), nil
	case *Forward:
		return EncodeForward(m.Room, m.From, &m.Payload), nil
	case *Say:
		return encodeSay(m), nil
	case *Data:
		return EncodeData(m.Room, m.From, m.Topic, m.Data), nil
	case *Call:
		return encodeCall(m), nil
	}
	out := typedObject{typ: m.Type()}
	if err := json.NewEncoder(&out).Encode(m); err != nil { // unlike json.Marshal, it makes no copy of its own
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	return out.text, nil
}

// typedObject takes the text of an object, and has it with its type.
type typedObject struct {
	typ  string
	text []byte
}

// Write implements io.Writer. A json.Encoder writes a value in one piece, and a line break behind it.
func (o *typedObject) Write(object []byte) (int, error) {
	fields := bytes.TrimSuffix(object, []byte("\n"))
	out := make([]byte, 0, len(fields)+len(`"type":"",`)+len(o.typ))
	out = append(out, `{"type":"`...)
	out = append(out, o.typ...)
	out = append(out, '"')
	if len(fields) > len("{}") {
		out = append(out, ',')
	}
	o.text = append(out, fields[1:]...)
	return len(object), nil
}

// EncodeForward is Encode for a [Forward], without making one.
func EncodeForward(room, from string, p *Payload) []byte {
	return appendSignal(Request{}, "from", room, from, p)
}

// appendSignal splices the payload in as it is. Signals are by far the most frequent messages, and nothing in a payload
// concerns the server.
func appendSignal(req Request, direction, room, session string, p *Payload) []byte {
	size := len(p.Description) + len(p.Candidate) + len(p.Candidates) + len(req.ID) + len(room) + len(session) + 80
	dst := append(make([]byte, 0, size), `{"type":"signal"`...)
	dst = appendRequest(dst, req)
	dst = appendString(dst, "room", room)
	dst = appendString(dst, direction, session)
	if p.Description != nil {
		dst = append(append(dst, `,"description":`...), p.Description...)
	}
	if p.Candidate != nil {
		dst = append(append(dst, `,"candidate":`...), p.Candidate...)
	}
	if p.Candidates != nil {
		dst = append(append(dst, `,"candidates":`...), p.Candidates...)
	}
	return append(dst, '}')
}

func appendRequest(dst []byte, req Request) []byte {
	if req.ID != "" {
		dst = appendString(dst, "id", req.ID)
	}
	if req.Received > 0 {
		dst = strconv.AppendUint(append(dst, `,"received":`...), req.Received, 10)
	}
	return dst
}

// AppendSeq appends a message of Encode to dst, with the number seq as its last field. It does not change message,
// which many receivers may share.
func AppendSeq(dst, message []byte, seq uint64) []byte {
	dst = append(dst, message[:len(message)-1]...)
	return append(strconv.AppendUint(append(dst, `,"seq":`...), seq, 10), '}')
}

// IsNewToken reports whether a message of Encode is a [NewToken].
func IsNewToken(message []byte) bool {
	return bytes.HasPrefix(message, []byte(`{"type":"`+TypeResume+`"`))
}

func appendString(dst []byte, field, value string) []byte {
	dst = append(append(append(dst, `,"`...), field...), `":`...)
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(value) // a string always encodes
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), value...), '"')
}
