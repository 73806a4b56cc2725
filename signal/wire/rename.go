package wire

type (
	// Rename gives the session's user another name.
	Rename struct {
		Request
		Name string `json:"name"`
	}
	// Renamed answers Rename, and tells the other sessions of the user. Name is as others see it.
	Renamed struct {
		Ref  string `json:"ref,omitempty"`
		Name string `json:"name"`
	}
	// PeerRenamed tells that a room mate, or a session that waits, has another name.
	PeerRenamed struct {
		Room    string `json:"room"`
		Session string `json:"session"`
		Name    string `json:"name"`
	}
)

func (*Rename) Type() string      { return TypeRename }
func (*Renamed) Type() string     { return TypeRenamed }
func (*PeerRenamed) Type() string { return TypePeerRenamed }
