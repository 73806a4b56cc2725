package wire

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func validSeeds() []string {
	return []string{
		``, ` `, `{`, `}`, `[`, `]`, `{}`, `[]`, ` { } `, `[ ]`, `[{}]`, `{"a":{}}`, `{"a":[]}`, `[[],[]]`, `[1,]`, `{"a":1,}`, `{"a"}`, `{"a":}`,
		`{a:1}`, `{"a" : 1 , "b" : [ true , false , null ] }`, `tru`, `true`, `truex`, `nul`, `null1`, `0`, `-0`, `01`, `-`, `1.`, `.5`, `1.5e+3`, `1e`,
		`1E-`, `1e5`, `+1`, `"`, `""`, `"\`, `"\"`, `"\x"`, `"\u00"`, `"\u00e9"`, `"\u00G9"`, "\"\x1f\"", "\"\x7f\xff\"", "\"\x80\x90\xa0\"", `{} {}`, `[}`,
		`{]`, `{"a":1]`, `,`, `:`, `[,]`, `{,}`, `"1234567"`, `"12345678"`, `"1234567\n9012345"`, "\"1234567\x01\"", "\v1", "1\v",
		strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("[", 64) + strings.Repeat("]", 64),
		strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("[", 65) + strings.Repeat("]", 64), strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70),
	}
}

// TestValidJSON and the fuzz target compare validJSON with encoding/json.
func TestValidJSON(t *testing.T) {
	for _, text := range validSeeds() {
		if got, want := validJSON([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	// A special byte at each place of a word, after each byte that could borrow from it.
	for at := range 24 {
		for c := range 256 {
			for _, before := range []byte{'x', '!', '#', '[', ']', 0x80, 0xA2, 0xDC} {
				text := []byte(`"` + strings.Repeat(string(rune('a')), 24) + `"`)
				text[1+at] = byte(c)
				if at > 0 {
					text[at] = before
				}
				if got, want := validJSON(text), json.Valid(text); got != want {
					t.Fatalf("%q: %v, want %v", text, got, want)
				}
			}
		}
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, text := range validSeeds() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := validJSON(data), json.Valid(data); got != want {
			t.Fatalf("%q: %v, want %v", data, got, want)
		}
	})
}

// FuzzUnquote compares unquote with encoding/json.
func FuzzUnquote(f *testing.F) {
	for _, text := range []string{`""`, `"a"`, `"\r\n\t\b\f\/\\\""`, `"\u00e9x"`, `"\ud83d\ude00"`, `"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want string
		if len(data) == 0 || data[0] != '"' || !utf8.Valid(data) || json.Unmarshal(data, &want) != nil {
			return
		}
		if end := skipSpace(data, validString(data, 0)); end != len(data) {
			t.Fatalf("%q ends at %d", data, end)
		}
		if got := unquote(data[:validString(data, 0)]); got != want {
			t.Fatalf("%q: %q, want %q", data, got, want)
		}
	})
}

func TestParseSignalAllocates(t *testing.T) {
	data := []byte(`{"type":"signal","room":"standup","to":"b5nd3vhz6jyc2fga","description":{"type":"offer","sdp":"` +
		strings.Repeat(`v=0\r\na=ice-options:trickle\r\n`, 30) + `"}}`)
	n := testing.AllocsPerRun(100, func() {
		m, err := Parse(data)
		if err != nil || len(slices.Collect(m.(*Signal).Texts())) > 0 {
			t.Fatalf("%v, %v", m, err)
		}
	})
	if n > 3 { // the message, its room and its receiver
		t.Errorf("%v objects a message", n)
	}
}
