package signalload

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// serverFrame returns a frame as a server sends it.
func serverFrame(opcode byte, payload string) []byte {
	var b []byte
	switch n := len(payload); {
	case n < 126:
		b = []byte{final | opcode, byte(n)}
	case n <= 0xFFFF:
		b = []byte{final | opcode, 126, byte(n >> 8), byte(n)}
	default:
		b = []byte{final | opcode, 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return append(b, payload...)
}

func TestNextFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 0xFFFF, 0x10000} {
		text := strings.Repeat("x", size)
		data := append(serverFrame(opText, text), "next"...)
		opcode, payload, rest, whole, err := nextFrame(data)
		if err != nil || !whole || opcode != opText || string(payload) != text || string(rest) != "next" {
			t.Errorf("%d bytes: %d, %d bytes, %q, %v, %v", size, opcode, len(payload), rest, whole, err)
		}
		for _, cut := range []int{0, 1, 2, 3, 9, len(data) - len("next") - 1} {
			if cut >= len(data)-len("next") {
				continue
			}
			if _, _, rest, whole, err := nextFrame(data[:cut]); whole || err != nil || len(rest) != cut {
				t.Errorf("%d of %d bytes: %v, %v", cut, len(data), whole, err)
			}
		}
	}
	for name, bad := range map[string][]byte{
		"masked":     {final | opText, masked | 1, 0, 0, 0, 0, 0},
		"fragment":   {opText, 1, 0},
		"compressed": {final | 0x40 | opText, 1, 0},
		"too long":   {final | opText, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, _, _, _, err := nextFrame(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzNextFrame holds that no server makes the parser read beyond the data or loop for ever.
func FuzzNextFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(serverFrame(opText, "hello"))
	f.Add(serverFrame(opPing, strings.Repeat("x", 300)))
	f.Add([]byte{final | opText, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, payload, rest, whole, err := nextFrame(data)
		switch {
		case err != nil || !whole:
			if !bytes.Equal(rest, data) || payload != nil {
				t.Fatal("bytes were cut off a frame that is not whole")
			}
		case len(payload)+len(rest)+2 > len(data) || !bytes.HasSuffix(data, rest):
			t.Fatalf("%d and %d bytes of %d", len(payload), len(rest), len(data))
		}
	})
}

// FuzzReadStamp holds that readStamp returns only a stamp that is in the message.
func FuzzReadStamp(f *testing.F) {
	f.Add([]byte(marker))
	f.Add([]byte(marker + strings.Repeat("0", stampDigits)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, ok := readStamp(data)
		if !ok {
			return
		}
		var digits [stampDigits]byte
		s.encode(digits[:])
		if !bytes.Contains(bytes.ToLower(data), append([]byte(marker), digits[:]...)) {
			t.Fatalf("%+v is not in %q", s, data)
		}
	})
}

// TestFrameTemplate holds that a frameTemplate is one frame of valid JSON, of exactly its size, with any stamp.
func TestFrameTemplate(t *testing.T) {
	for _, d := range []Dialect{Turnpike{Run: "k7m2pq"}, PeerJS{}} {
		before, after := d.envelope(7, "b5nd3vhz6jyc2fga")
		for size := MinSize; size < MinSize+300; size++ {
			l, err := newFrameTemplate(before, after, size)
			if err != nil {
				t.Fatal(err)
			}
			want := stamp{1, uint32(size), 0xFFFFFFFF, 1767229200_000000000}
			frame := bytes.Clone(l.stamp(want))
			if frame[0] != final|opText || frame[1] != masked|126 {
				t.Fatalf("%d bytes: the frame begins with %x", size, frame[:4])
			}
			payload := frame[4+maskLength:]
			for i := range payload {
				payload[i] ^= mask[i%maskLength]
			}
			if got, ok := readStamp(payload); !ok || got != want || len(payload) != size || !json.Valid(payload) {
				t.Fatalf("%d bytes: %+v, %v in %d bytes of %s", size, got, ok, len(payload), payload)
			}
		}
	}
	if _, err := newFrameTemplate(strings.Repeat("x", 400), "", MinSize); err == nil {
		t.Error("the envelope is longer than the message")
	}
}

func TestStampAllocates(t *testing.T) {
	l, err := newFrameTemplate("", "", MinSize)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { l.stamp(stamp{1, 2, 3, 4}) }); n != 0 {
		t.Errorf("%v objects a message sent", n)
	}
	message := []byte(marker + strings.Repeat("0", stampDigits))
	if n := testing.AllocsPerRun(100, func() { readStamp(message) }); n != 0 {
		t.Errorf("%v objects a message received", n)
	}
}
