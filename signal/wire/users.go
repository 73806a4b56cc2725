package wire

import "encoding/json"

// EncodeUser gives a user as a part of what [EncodeUsers] puts together.
func EncodeUser(u User) []byte {
	text, _ := json.Marshal(u) // strings always encode
	return text
}

// EncodeUsers gives an [Online] or [Offline] message of users that are encoded already: many receivers get lists of
// the same users, each without some.
func EncodeUsers(typ string, users [][]byte) []byte {
	size := len(`{"type":"","users":[]}`) + len(typ) + len(users)
	for _, u := range users {
		size += len(u)
	}
	out := make([]byte, 0, size)
	out = append(append(append(out, `{"type":"`...), typ...), `","users":[`...)
	for i, u := range users {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, u...)
	}
	return append(out, "]}"...)
}
