package auth

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestNewID(t *testing.T) {
	r := testRand("id")
	seen := map[string]bool{}
	count := map[rune]int{}
	const ids, chars = 2000, 10
	for range ids {
		id := NewID(r, chars)
		if len(id) != chars || seen[id] {
			t.Fatalf("%q: seen before or not %d characters", id, chars)
		}
		seen[id] = true
		for _, c := range id {
			count[c]++
		}
	}
	if len(count) != len(idAlphabet) {
		t.Errorf("%d characters occur, of %d", len(count), len(idAlphabet))
	}
	for c, n := range count {
		if strings.ContainsRune("0o1li", c) || !strings.ContainsRune(idAlphabet, c) {
			t.Errorf("%q is not in the alphabet", c)
		}
		// About 645 each; 5 standard deviations are about 125.
		if mean := ids * chars / len(idAlphabet); n < mean-125 || n > mean+125 {
			t.Errorf("%q occurs %d times, others about %d", c, n, mean)
		}
	}
	if NewID(r, 0) != "" {
		t.Error("an ID of no characters has some")
	}
}

func TestNewIDWithoutRandomness(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an ID was made of nothing")
		}
	}()
	NewID(iotest.ErrReader(io.ErrUnexpectedEOF), 8)
}
