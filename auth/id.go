package auth

import "io"

// idAlphabet has 31 characters, none of which people mistake for another when
// they read it aloud or copy it by hand: no 0 and o, no 1, l and i.
const idAlphabet = "abcdefghjkmnpqrstuvwxyz23456789"

// NewID returns n characters of a readable lower-case alphabet, each with just
// under 5 bits from rand. It panics if rand fails: an ID that can be guessed is
// worse than none.
func NewID(rand io.Reader, n int) string {
	id := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(id) < n {
		buf = buf[:n-len(id)]
		if _, err := io.ReadFull(rand, buf); err != nil {
			panic("auth: no randomness for an ID: " + err.Error())
		}
		for _, b := range buf {
			// Five bits make 32 values, one too many. Drawing again
			// for that one keeps every character equally likely.
			if b &= 31; int(b) < len(idAlphabet) {
				id = append(id, idAlphabet[b])
			}
		}
	}
	return string(id)
}
