package wire

import (
	"encoding/json"
	"fmt"
)

// ParseServer reads a server's message, and its seq, which is zero if it has none. It is for clients, which must pass
// over the additions of later versions: it ignores unknown fields, and returns nil and no error for an unknown type.
func ParseServer(data []byte) (m Message, seq uint64, err error) {
	var head struct {
		Type string `json:"type"`
		Seq  uint64 `json:"seq"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, 0, fmt.Errorf("server message: %w", err)
	}
	if m = newServerMessage(head.Type); m == nil {
		return nil, head.Seq, nil
	}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, 0, fmt.Errorf("server message %s: %w", head.Type, err)
	}
	return m, head.Seq, nil
}

func newServerMessage(typ string) Message {
	switch typ {
	case TypeRefreshed:
		return new(Refreshed)
	case TypeRenamed:
		return new(Renamed)
	case TypePeerRenamed:
		return new(PeerRenamed)
	case TypeWelcome:
		return new(Welcome)
	case TypeError:
		return new(Error)
	case TypeJoined:
		return new(Joined)
	case TypeLeft:
		return new(Left)
	case TypePeerJoined:
		return new(PeerJoined)
	case TypePeerLeft:
		return new(PeerLeft)
	case TypeSignal:
		return new(Forward)
	case TypeSaid:
		return new(Said)
	case TypeData:
		return new(Data)
	case TypeOnline:
		return new(Online)
	case TypeOffline:
		return new(Offline)
	case TypeCall:
		return new(Ring)
	case TypeRinging:
		return new(Ringing)
	case TypeAccept:
		return new(Accepted)
	case TypeDecline:
		return new(Declined)
	case TypeCancel:
		return new(Cancelled)
	case TypeHangup:
		return new(HungUp)
	case TypeICEServers:
		return new(NewICEServers)
	case TypeGoingAway:
		return new(GoingAway)
	case TypeAck:
		return new(Handled)
	case TypePong:
		return new(Pong)
	case TypeResume:
		return new(NewToken)
	case TypePeerAway:
		return new(PeerAway)
	case TypePeerBack:
		return new(PeerBack)
	}
	return newModerationMessage(typ)
}
