package wire

import (
	"bytes"
	"slices"
	"testing"
)

// TestTicket: a ticket opens as the number that was sealed, with its own key only, and with no bit changed. Two tickets
// have no part in common.
func TestTicket(t *testing.T) {
	key, other := NewTicketKey(), NewTicketKey()
	seen := make(map[[8]byte]bool)
	for _, serial := range []uint64{0, 1, 2, 3, 1 << 32, 1<<64 - 1} {
		sealed := key.Seal(serial)
		if got, ok := key.Open(sealed[:]); !ok || got != serial {
			t.Errorf("%d opens as %d, %v", serial, got, ok)
		}
		if _, ok := other.Open(sealed[:]); ok {
			t.Errorf("%d opens with another key", serial)
		}
		for i := range len(sealed) * 8 {
			forged := sealed
			forged[i/8] ^= 1 << (i % 8)
			if _, ok := key.Open(forged[:]); ok {
				t.Errorf("%d opens with bit %d changed", serial, i)
			}
		}
		for _, bad := range [][]byte{nil, {}, sealed[:len(sealed)-1], append(sealed[:], 'A'), append(sealed[:len(sealed)-1], '\n')} {
			if _, ok := key.Open(bad); ok {
				t.Errorf("%q opens", bad)
			}
		}
		for part := range slices.Chunk(sealed[:], 8) {
			if seen[[8]byte(part)] {
				t.Errorf("ticket %d, %q, has a part that another has", serial, sealed)
			}
			seen[[8]byte(part)] = true
		}
		if len(sealed) > 32 || bytes.IndexByte(sealed[:], 0) >= 0 {
			t.Errorf("coturn's client does not take %q", sealed)
		}
	}
}

// FuzzTicket: a value opens only if it was sealed.
func FuzzTicket(f *testing.F) {
	key := NewTicketKey()
	for _, serial := range []uint64{0, 1, 1 << 40} {
		sealed := key.Seal(serial)
		f.Add(sealed[:], serial)
	}
	f.Add([]byte{}, uint64(0))
	f.Add(bytes.Repeat([]byte("A"), TicketSize), uint64(0))
	f.Add(bytes.Repeat([]byte("\n"), TicketSize), uint64(0))
	f.Fuzz(func(t *testing.T, value []byte, serial uint64) {
		before := bytes.Clone(value)
		if got, ok := key.Open(value); ok {
			if again := key.Seal(got); !bytes.Equal(again[:], value) {
				t.Errorf("%q opens as %d, which is %q", value, got, again)
			}
		}
		if !bytes.Equal(before, value) {
			t.Errorf("%q became %q", before, value)
		}
		sealed := key.Seal(serial)
		if got, ok := key.Open(sealed[:]); !ok || got != serial {
			t.Errorf("%d opens as %d, %v", serial, got, ok)
		}
		for i, b := range value { // changes a good ticket
			if b != 0 && i < len(sealed) {
				sealed[i] ^= b
			}
		}
		if _, ok := key.Open(sealed[:]); ok && sealed != key.Seal(serial) {
			t.Errorf("a forged %q opens", sealed)
		}
	})
}
