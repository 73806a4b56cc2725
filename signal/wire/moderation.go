package wire

// The messages that need host powers in a room. Its host has them, and members whose role is moderator or admin.
type (
	// Lock keeps newcomers out of a room.
	Lock struct {
		Request
		Room string `json:"room"`
	}
	// Unlock takes a Lock back.
	Unlock struct {
		Request
		Room string `json:"room"`
	}
	// Kick takes the user of a session out of a room for the room's life.
	Kick struct {
		Request
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Admit lets in a session that waits.
	Admit struct {
		Request
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Refuse sends away a session that waits.
	Refuse struct {
		Request
		Room    string `json:"room"`
		Session string `json:"session"`
	}
)

// The server's messages about moderation. By is the session that asked.
type (
	// Host tells which session is the host from now on.
	Host struct {
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Locked answers Lock, and tells everybody in the room.
	Locked struct {
		Ref  string `json:"ref,omitempty"`
		Room string `json:"room"`
		By   string `json:"by"`
	}
	// Unlocked answers Unlock, and tells everybody in the room.
	Unlocked struct {
		Ref  string `json:"ref,omitempty"`
		Room string `json:"room"`
		By   string `json:"by"`
	}
	// Kicked answers Kick.
	Kicked struct {
		Ref     string `json:"ref,omitempty"`
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Waiting answers Join: the session waits to be let in.
	Waiting struct {
		Ref  string `json:"ref,omitempty"`
		Room string `json:"room"`
	}
	// Knock tells those with host powers of a session that waits.
	Knock struct {
		Room string `json:"room"`
		Peer Peer   `json:"peer"`
	}
	// KnockOver tells those with host powers that a session waits no more.
	KnockOver struct {
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Admitted answers Admit, and tells all others with host powers.
	Admitted struct {
		Ref     string `json:"ref,omitempty"`
		Room    string `json:"room"`
		Session string `json:"session"`
	}
	// Refused answers Refuse, and tells all others with host powers.
	Refused struct {
		Ref     string `json:"ref,omitempty"`
		Room    string `json:"room"`
		Session string `json:"session"`
	}
)

func (*Lock) Type() string   { return TypeLock }
func (*Unlock) Type() string { return TypeUnlock }
func (*Kick) Type() string   { return TypeKick }
func (*Admit) Type() string  { return TypeAdmit }
func (*Refuse) Type() string { return TypeRefuse }

func (*Host) Type() string      { return TypeHost }
func (*Locked) Type() string    { return TypeLocked }
func (*Unlocked) Type() string  { return TypeUnlocked }
func (*Kicked) Type() string    { return TypeKicked }
func (*Waiting) Type() string   { return TypeWaiting }
func (*Knock) Type() string     { return TypeKnock }
func (*KnockOver) Type() string { return TypeKnockOver }
func (*Admitted) Type() string  { return TypeAdmitted }
func (*Refused) Type() string   { return TypeRefused }

// moderation builds a message that needs host powers; ok is false for all other types.
func (f *fields) moderation(typ []byte, req Request) (m ClientMessage, err *FieldError, ok bool) {
	switch string(typ) {
	case TypeLock, TypeUnlock, TypeKick, TypeAdmit, TypeRefuse:
	default:
		return nil, nil, false
	}
	room, err := f.roomID()
	if err != nil {
		return nil, err, true
	}
	switch string(typ) {
	case TypeLock:
		return &Lock{req, room}, nil, true
	case TypeUnlock:
		return &Unlock{req, room}, nil, true
	}
	session, err := text("session", f.session, MaxSession)
	if err != nil {
		return nil, err, true
	}
	switch string(typ) {
	case TypeKick:
		return &Kick{req, room, session}, nil, true
	case TypeAdmit:
		return &Admit{req, room, session}, nil, true
	}
	return &Refuse{req, room, session}, nil, true
}

func newModerationMessage(typ string) Message {
	switch typ {
	case TypeHost:
		return new(Host)
	case TypeLocked:
		return new(Locked)
	case TypeUnlocked:
		return new(Unlocked)
	case TypeKicked:
		return new(Kicked)
	case TypeWaiting:
		return new(Waiting)
	case TypeKnock:
		return new(Knock)
	case TypeKnockOver:
		return new(KnockOver)
	case TypeAdmitted:
		return new(Admitted)
	case TypeRefused:
		return new(Refused)
	}
	return nil
}
