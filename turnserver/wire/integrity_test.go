package wire

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/wire/wiretest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors are messages of RFC 5769 §2 and RFC 8489's appendix B.1, with the keys that sign them. The last is the one in
// the erratum: the printed message lacks PASSWORD-ALGORITHM, and its length is wrong.
func vectors(t testing.TB) map[string]struct{ raw, key []byte } {
	const longTerm = "マトリックス:example.org:TheMatrIX"
	password := []byte("VOkJxbRl1RmTxUk/WvJxBt")
	md5Key, sha256Key := md5.Sum([]byte(longTerm)), sha256.Sum256([]byte(longTerm))
	return map[string]struct{ raw, key []byte }{
		"request": {unhex(t, `00010058 2112a442 b7e7a701 bc34d686 fa87dfae
			80220010 5354554e 20746573 7420636c 69656e74
			00240004 6e0001ff
			80290008 932ff9b1 51263b36
			00060009 6576746a 3a683676 59202020
			00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
			80280004 e57a3bcf`), password},
		"IPv4 response": {unhex(t, `0101003c 2112a442 b7e7a701 bc34d686 fa87dfae
			8022000b 74657374 20766563 746f7220
			00200008 0001a147 e112a643
			00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
			80280004 c07d4c96`), password},
		"IPv6 response": {unhex(t, `01010048 2112a442 b7e7a701 bc34d686 fa87dfae
			8022000b 74657374 20766563 746f7220
			00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
			00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
			80280004 c8fb0b4c`), password},
		"long-term": {unhex(t, `00010060 2112a442 78ad3433 c6ad72c0 29da412e
			00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
			0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
			0014000b 6578616d 706c652e 6f726700
			00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666`), md5Key[:]},
		"SHA-256 and USERHASH": {unhex(t, `00010090 2112a442 78ad3433 c6ad72c0 29da412e
			001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704
			00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 46535476 79363473 41000000
			0014000b 6578616d 706c652e 6f726700
			001d0004 00020000
			001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65`), sha256Key[:]},
	}
}

// TestIntegrityVectors judges the RFCs' messages, and each of them with one bit changed.
func TestIntegrityVectors(t *testing.T) {
	for name, v := range vectors(t) {
		m := &stun.Message{Raw: bytes.Clone(v.raw)}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		judge := CutAtIntegrity(m)
		if !judge.Holds(m.Raw, v.key) {
			t.Errorf("%s: refused", name)
		}
		if judge.Holds(m.Raw, v.key[1:]) || judge.Holds(m.Raw, nil) {
			t.Errorf("%s: accepted with another key", name)
		}
		for i := range judge.At + AttrHeaderSize + len(judge.Value) {
			if i == 2 || i == 3 || i >= judge.At && i < judge.At+AttrHeaderSize {
				continue // the length is not covered, and the attribute's header is how it is found
			}
			m.Raw[i] ^= 0x10
			if judge.Holds(m.Raw, v.key) {
				t.Errorf("%s: accepted with byte %d changed", name, i)
			}
			m.Raw[i] ^= 0x10
		}

		// The part before the integrity, signed again, gives the same message.
		again := &stun.Message{Raw: bytes.Clone(v.raw[:judge.At]), Length: uint32(judge.At - HeaderSize)}
		AddIntegrity(again, judge.Type, v.key)
		if end := judge.At + AttrHeaderSize + len(judge.Value); !bytes.Equal(again.Raw[4:], v.raw[4:end]) {
			t.Errorf("%s: signed again % x", name, again.Raw)
		}
	}
}

// TestWhatIntegrityCovers tries messages of a few attributes: which attributes count, and which one judges the message
// (RFC 8489 §9).
func TestWhatIntegrityCovers(t *testing.T) {
	attrs := map[byte]stun.RawAttribute{
		'u': {Type: stun.AttrUsername, Value: []byte("abc")}, 'n': {Type: stun.AttrNonce, Value: []byte("nonce")},
		'1': {Type: stun.AttrMessageIntegrity, Value: make([]byte, 20)}, '2': {Type: stun.AttrMessageIntegritySHA256, Value: make([]byte, 32)},
		'f': {Type: stun.AttrFingerprint, Value: make([]byte, 4)},
	}
	for _, row := range []struct {
		message, counts string
		judge           int // which attribute; -1: none
	}{
		{"", "", -1},
		{"un", "un", -1},
		{"unf", "unf", -1},
		{"un1", "un", 2},
		{"un2", "un", 2},
		{"un1f", "un", 2},
		{"un12", "un", 3},
		{"un12f", "un", 3},
		{"un21", "un", 2},
		{"u1n", "u", 1},
		{"u2n", "u", 1},
		{"u1n2", "u", 3},
		{"u1n2u", "u", 3},
		{"u12n2", "u", 2},
		{"u2n2", "u", 1},
		{"u1n1", "u", 1},
		{"u2n1", "u", 1},
		{"1", "", 0},
		{"2u", "", 0},
		{"uf1", "uf", 2}, // a FINGERPRINT that is not last says nothing
	} {
		m := stun.MustBuild(stun.BindingRequest)
		at := []int{}
		for _, name := range []byte(row.message) {
			at = append(at, len(m.Raw))
			m.Add(attrs[name].Type, attrs[name].Value)
		}
		judge := CutAtIntegrity(m)
		var counts []byte
		for _, a := range m.Attributes {
			for name, is := range attrs {
				if is.Type == a.Type {
					counts = append(counts, name)
				}
			}
		}
		if string(counts) != row.counts {
			t.Errorf("%q: of it %q counts, want %q", row.message, counts, row.counts)
		}
		if row.judge < 0 && judge.At != 0 || row.judge >= 0 && (judge.At != at[row.judge] || judge.Type != attrs[row.message[row.judge]].Type) {
			t.Errorf("%q: judged by %v at %d, want attribute %d", row.message, judge.Type, judge.At, row.judge)
		}
	}
}

// FuzzIntegrity: pion's code, or the tests' client, agrees on whether a message is signed, and no attribute counts that
// the signature does not cover.
func FuzzIntegrity(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.raw, v.key)
	}
	both := stun.MustBuild(stun.BindingRequest, stun.MessageIntegrity("key"), wiretest.IntegritySHA256("key"), stun.NewSoftware("x"), stun.Fingerprint)
	f.Add(both.Raw, []byte("key"))
	f.Fuzz(func(t *testing.T, raw, key []byte) {
		m := &stun.Message{Raw: bytes.Clone(raw)}
		if !WellFormed(raw) || m.Decode() != nil {
			return
		}
		all := slices.Clone(m.Attributes)
		judge := CutAtIntegrity(m)
		holds := judge.Holds(m.Raw, key)
		if !bytes.Equal(m.Raw, raw) {
			t.Fatal("the message was changed")
		}
		if judge.At == 0 {
			if len(m.Attributes) != len(all) || holds {
				t.Fatalf("no integrity, yet %d of %d attributes count, and it holds: %v", len(m.Attributes), len(all), holds)
			}
			return
		}
		end := HeaderSize
		for _, a := range m.Attributes {
			if a.Type == stun.AttrMessageIntegrity || a.Type == stun.AttrMessageIntegritySHA256 {
				t.Fatalf("%v counts", a.Type)
			}
			end += AttrHeaderSize + Pad4(len(a.Value))
		}
		if end > judge.At {
			t.Fatalf("attributes to %d count, but the integrity is at %d", end, judge.At)
		}
		// The message as a client sends it, up to its integrity.
		cut := &stun.Message{Raw: bytes.Clone(raw[:judge.At]), Length: uint32(judge.At - HeaderSize)}
		var signer stun.Setter = wiretest.IntegritySHA256(key)
		if judge.Type == stun.AttrMessageIntegrity {
			signer = stun.MessageIntegrity(key)
		}
		if err := signer.AddTo(cut); err != nil {
			t.Fatal(err)
		}
		if want := bytes.Equal(cut.Raw[judge.At+AttrHeaderSize:], judge.Value); holds != want {
			t.Fatalf("it holds: %v, want %v", holds, want)
		}
	})
}
