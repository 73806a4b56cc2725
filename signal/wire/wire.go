// Package wire is the signaling protocol turnpike.v1 as Go types: one JSON object a WebSocket text message, named by
// its "type".
//
// [Parse] reads and checks a client's message, and [Encode] makes a server's:
//
//	client ── {"type":"signal","to":...} ──▶ Parse ──▶ *Signal ──▶ EncodeForward ──▶ {"type":"signal","from":...} ──▶ mate
//
// The payload of a signal message is never decoded on the way: Parse finds where it lies, and EncodeForward splices it
// in. ../PROTOCOL.md is the protocol in prose, and testdata holds an example of every message.
package wire

import "time"

// Subprotocol is the WebSocket subprotocol that both sides must name.
const Subprotocol = "turnpike.v1"

// The values of "type", client to server first. Some words go both ways, with other fields each way. Every client
// message may have id and received. After the welcome, every server message except ack and pong has seq.
const (
	TypeHello  = "hello"  // client: ticket?, name?, resume?  -> welcome
	TypeJoin   = "join"   // client: room?, create?, size?, waiting?, media?, transports? -> joined | waiting
	TypeLeave  = "leave"  // client: room                     -> left
	TypeSignal = "signal" // client: room, to, description | candidate | candidates
	//                       server: room, from, description | candidate | candidates
	TypeSay  = "say"  // client: room, to?, topic?, data        -> said
	TypeCall = "call" // client: to (a user), data?, media?, transports? -> ringing
	//                   server: call, from (a user), data?: it rings
	TypeAccept = "accept" // client: call, media?, transports? -> accept, joined
	//                       server: call, room
	TypeDecline = "decline" // client: call, reason?          -> decline
	//                         server: call, reason?
	TypeCancel = "cancel" // client: call                     -> cancel
	//                       server: call, reason
	TypeHangup = "hangup" // client: call                     -> hangup
	//                       server: call, room
	TypeOnline = "online" // client: after? (a user)          -> online
	//                       server: ref?, users, more?
	TypeBye = "bye" // client: the session ends; close 1000
	TypeAck = "ack" // client: received
	//                 server: ref; it has handled all requests up to that
	TypePing = "ping" // client                               -> pong

	TypeRefresh = "refresh" // client: ticket                 -> refreshed
	TypeRename  = "rename"  // client: name                   -> renamed

	TypeLock   = "lock"   // client: room                     -> locked
	TypeUnlock = "unlock" // client: room                     -> unlocked
	TypeKick   = "kick"   // client: room, session            -> kicked
	TypeAdmit  = "admit"  // client: room, session            -> admitted
	TypeRefuse = "refuse" // client: room, session            -> refused

	TypeWelcome    = "welcome"     // server: session, user, name, role, resume, resumeWindow, epoch, resumed?, handled?, rooms?, expiresIn?, limits?, iceServers, iceExpires, online, onlineMore?
	TypePong       = "pong"        // server
	TypeResume     = "resume"      // server: token, which replaces the last one
	TypePeerAway   = "peer-away"   // server: room, session
	TypePeerBack   = "peer-back"   // server: room, session, fresh?
	TypeError      = "error"       // server: code, message, field?, retryAfter?, away?, limit?
	TypeJoined     = "joined"      // server: room, size, host?, locked?, waiting?, peers, knocks?
	TypeLeft       = "left"        // server: room, reason
	TypePeerJoined = "peer-joined" // server: room, peer
	TypePeerLeft   = "peer-left"   // server: room, session, reason
	TypeOffline    = "offline"     // server: users
	TypeSaid       = "said"        // server: room, missed?
	TypeData       = "data"        // server: room, from, topic?, data
	TypeRinging    = "ringing"     // server: call, to (a user), data?
	TypeICEServers = "ice-servers" // server: iceServers, iceExpires
	TypeGoingAway  = "going-away"  // server: retryAfter; close 1001 follows

	TypeRefreshed   = "refreshed"    // server: name, role, expiresIn?, online?, onlineMore?
	TypeRenamed     = "renamed"      // server: name
	TypePeerRenamed = "peer-renamed" // server: room, session, name

	TypeHost      = "host"       // server: room, session
	TypeLocked    = "locked"     // server: room, by (a session)
	TypeUnlocked  = "unlocked"   // server: room, by
	TypeKicked    = "kicked"     // server: room, session
	TypeWaiting   = "waiting"    // server: room
	TypeKnock     = "knock"      // server: room, peer
	TypeKnockOver = "knock-over" // server: room, session
	TypeAdmitted  = "admitted"   // server: room, session
	TypeRefused   = "refused"    // server: room, session
)

// Code is the stable name of an error; its sentence may change.
type Code string

// The error codes.
const (
	CodeUnauthorized Code = "unauthorized" // the ticket does not admit
	CodeNotExisting  Code = "not-existing" // no such room, and create was not set
	CodeFull         Code = "full"         // the room has as many sessions as it may have
	CodeNameTaken    Code = "name-taken"   // another user who is online has the name
	CodeNotInRoom    Code = "not-in-room"  // sender or receiver is not in the room
	CodeBadMessage   Code = "bad-message"  // field says which field
	CodeSlow         Code = "slow"         // reserved: a client that reads too slowly learns it from the close code
	CodeRateLimited  Code = "rate-limited" // retryAfter says for how long
	CodeForbidden    Code = "forbidden"    // the ticket does not allow it
	CodeNoSuchUser   Code = "no-such-user" // not online, or not for a guest to see
	CodeBusy         Code = "busy"         // one of the two users is in a call or being rung
	CodeNoSuchCall   Code = "no-such-call" // over, or never one of the sender's

	CodeNoSuchSession Code = "no-such-session" // the token resumes no session: say hello with a ticket
	CodeInternal      Code = "internal"        // the server's fault
	CodeNotHost       Code = "not-host"        // no host powers in the room
	CodeLocked        Code = "locked"          // the room lets no newcomers in
	CodeKicked        Code = "kicked"          // the user was kicked from this room, for its life
)

// Codes lists every error code.
func Codes() []Code {
	return []Code{CodeUnauthorized, CodeNotExisting, CodeFull, CodeNameTaken, CodeNotInRoom, CodeBadMessage, CodeSlow,
		CodeRateLimited, CodeForbidden, CodeNoSuchUser, CodeBusy, CodeNoSuchCall, CodeNoSuchSession, CodeInternal,
		CodeNotHost, CodeLocked, CodeKicked}
}

// The WebSocket close codes. The close frame's reason is the word beside the code.
const (
	CloseBye          = 1000 // bye
	CloseGoingAway    = 1001 // going-away
	CloseTooBig       = 1009 // too-big
	CloseInternal     = 1011 // internal
	CloseBadMessage   = 4000 // bad-message
	CloseUnauthorized = 4001 // unauthorized
	CloseSlow         = 4002 // slow
	CloseHelloTimeout = 4003 // hello-timeout
	CloseRateLimited  = 4004 // rate-limited
	CloseDead         = 4005 // dead
	CloseReplaced     = 4006 // replaced
	CloseEnded        = 4007 // ended
	CloseExpired      = 4008 // expired
)

// CloseReason returns the word that goes with a close code, empty for codes of others.
func CloseReason(code int) string {
	switch code {
	case CloseBye:
		return "bye"
	case CloseGoingAway:
		return "going-away"
	case CloseTooBig:
		return "too-big"
	case CloseInternal:
		return "internal"
	case CloseBadMessage:
		return "bad-message"
	case CloseUnauthorized:
		return "unauthorized"
	case CloseSlow:
		return "slow"
	case CloseHelloTimeout:
		return "hello-timeout"
	case CloseRateLimited:
		return "rate-limited"
	case CloseDead:
		return "dead"
	case CloseReplaced:
		return "replaced"
	case CloseEnded:
		return "ended"
	case CloseExpired:
		return "expired"
	}
	return ""
}

// Why a session is no longer in a room: left and peer-left.
const (
	ReasonLeave      = "leave"       // sent leave
	ReasonHangup     = "hangup"      // the room's call was hung up
	ReasonBye        = "bye"         // ended the session
	ReasonGone       = "gone"        // the connection was lost
	ReasonSlow       = "slow"        // did not read its messages
	ReasonBadMessage = "bad-message" // broke the protocol or its limits
	ReasonShutdown   = "shutdown"    // the server is going away
	ReasonRevoked    = "revoked"     // the user's invite or ticket was revoked
	ReasonExpired    = "expired"     // the session was as old as it may be, and was not refreshed
	ReasonInternal   = "internal"    // the server failed in its work for the session
	ReasonKicked     = "kicked"      // taken out by a session with host powers
	ReasonRefused    = "refused"     // not let in from the waiting room; left only
	ReasonClosed     = "closed"      // the room died while the session waited; left only
	ReasonReplaced   = "replaced"    // was away, and another session of the same person took its place
	ReasonReturned   = "returned"    // the room's members came back after a restart, and newcomers may not enter; left only
)

// How a session was resumed: welcome.
const (
	ResumedReplayed = "replayed" // all messages that the client has missed follow
	ResumedRestored = "restored" // another process made it again from the token
)

// Why a call stopped ringing that was not answered here: cancel.
const (
	CancelCancelled         = "cancelled"          // the caller gave up
	CancelTimeout           = "timeout"            // nobody answered within RingTimeout
	CancelAnsweredElsewhere = "answered-elsewhere" // another session of the user accepted or declined
	CancelGone              = "gone"               // the other side's connection was lost
)

// The limits. Lengths of text are in Unicode code points.
const (
	MaxMessage   = 64 << 10 // bytes of one WebSocket message from a client
	MaxDepth     = 32       // objects and arrays inside one another
	MaxID        = 64       // id
	MaxTicket    = 16 << 10 // ticket
	MaxName      = 32       // name
	MaxShownName = 64       // a name as the server shows it
	MaxRoom      = 64       // room
	MaxSession   = 64       // session, in to and session
	MaxUser      = 512      // user, in to
	MaxCall      = 64       // call
	MaxToken     = 16 << 10 // resume.token
	MaxTopic     = 64       // topic
	MaxReason    = 200      // reason, in decline
	MaxTransport = 16       // each of transports

	MaxTransports = 4 // in transports

	MaxData     = 16 << 10 // bytes of the JSON of data in say
	MaxCallData = 4 << 10  // likewise, in call

	MaxCandidates = 32 // in candidates

	AckEvery = 32 // messages; after so many, at the latest, each side acknowledges

	MinRoomSize     = 2
	MaxRoomSize     = 16
	DefaultRoomSize = 2
	MaxWaiting      = 32  // sessions that wait to be let into one room
	MaxOnline       = 100 // users that welcome, or one answer to online, lists

	MaxBadMessages = 10 // in BadMessageWindow; then the close code is CloseBadMessage

	BadMessageWindow = time.Minute
	HelloTimeout     = 10 * time.Second // from the upgrade to the accepted hello
	PingInterval     = 25 * time.Second // WebSocket pings from the server
	DeadAfter        = 45 * time.Second // silence, pongs included
	RingTimeout      = 45 * time.Second
	AwayNotice       = 2 * time.Second // without a connection, until room mates are told
	ClosedWindow     = 5 * time.Second // the greatest resume window of a session whose page was closed
)

// ValidRoom reports whether a client may name a room id: ^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$.
func ValidRoom(id string) bool {
	if len(id) == 0 || len(id) > MaxRoom || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
