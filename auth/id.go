package auth

import "io"

// readable has no character that is mistaken for another when it is read aloud
// or copied by hand: no 0 and o, no 1, l and i. It has 31 characters.
const readable = "abcdefghjkmnpqrstuvwxyz23456789"

// NewID returns n characters of a readable lower-case alphabet, each with just
// under 5 bits from rand. It panics if rand fails, because an ID that can be
// guessed is worse than none.
func NewID(rand io.Reader, n int) string {
	id := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(id) < n {
		buf = buf[:n-len(id)]
		if _, err := io.ReadFull(rand, buf); err != nil {
			panic("auth: no randomness for an ID: " + err.Error())
		}
		for _, b := range buf {
			// Five bits make 32 values: the one too many is drawn
			// again, so that every character is equally likely.
			if b &= 31; int(b) < len(readable) {
				id = append(id, readable[b])
			}
		}
	}
	return string(id)
}
