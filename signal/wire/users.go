package wire

import "encoding/json"

// EncodeUser returns a user as a part for [EncodeUsers].
func EncodeUser(u User) []byte {
	text, _ := json.Marshal(u) // strings always encode
	return text
}

// EncodeUsers returns an [Online] or [Offline] message with users that EncodeUser has encoded. Many receivers get lists
// of the same users, each without some.
func EncodeUsers(typ string, users [][]byte) []byte {
	return append(appendUsers(typ, "", users), '}')
}

// EncodeOnline is EncodeUsers for the answer to a [ListOnline].
func EncodeOnline(ref string, users [][]byte, more bool) []byte {
	out := appendUsers(TypeOnline, ref, users)
	if more {
		out = append(out, `,"more":true`...)
	}
	return append(out, '}')
}

// appendUsers returns such a message without its end.
func appendUsers(typ, ref string, users [][]byte) []byte {
	size := len(`{"type":"","ref":"","users":[],"more":true}`) + len(typ) + len(ref) + len(users)
	for _, u := range users {
		size += len(u)
	}
	out := make([]byte, 0, size)
	out = append(append(append(out, `{"type":"`...), typ...), '"')
	if ref != "" {
		out = appendString(out, "ref", ref)
	}
	out = append(out, `,"users":[`...)
	for i, u := range users {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, u...)
	}
	return append(out, ']')
}
