package wire

// Limits tells a client what its session may do.
type Limits struct {
	MessageBytes           int  `json:"messageBytes"`
	Messages               Rate `json:"messages"`     // of this session
	UserMessages           Rate `json:"userMessages"` // of all sessions of its user
	Joins                  Rate `json:"joins"`        // joins and calls of this session
	UserJoins              Rate `json:"userJoins"`    // of all sessions of its user
	Sessions               int  `json:"sessions"`     // of its user
	Rooms                  int  `json:"rooms"`        // that it is in or waits for
	RoomSize               int  `json:"roomSize"`     // that it may ask for
	Waiting                int  `json:"waiting"`      // sessions that wait for one room
	UnacknowledgedMessages int  `json:"unacknowledgedMessages"`
	UnacknowledgedBytes    int  `json:"unacknowledgedBytes"`
	DataBytes              int  `json:"dataBytes"`     // of data in say
	CallDataBytes          int  `json:"callDataBytes"` // of data in call
}

// Rate allows Burst at once, and PerMinute after that.
type Rate struct {
	Burst     int     `json:"burst"`
	PerMinute float64 `json:"perMinute"`
}
