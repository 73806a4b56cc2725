package wire

type (
	// Refresh presents a new ticket of the session's user: the session lives on beyond its end, with the ticket's rights.
	Refresh struct {
		Request
		Ticket string `json:"ticket"`
	}
	// Refreshed answers Refresh, with what the session has from now on. ExpiresIn is as in Welcome. Online is there, as in
	// Welcome, if the session sees others than before.
	Refreshed struct {
		Ref        string `json:"ref,omitempty"`
		Name       string `json:"name"`
		Role       string `json:"role"`
		ExpiresIn  int    `json:"expiresIn,omitempty"`
		Online     []User `json:"online,omitzero"`
		OnlineMore bool   `json:"onlineMore,omitempty"`
	}
)

func (*Refresh) Type() string   { return TypeRefresh }
func (*Refreshed) Type() string { return TypeRefreshed }
