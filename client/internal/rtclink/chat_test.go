package rtclink

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

func TestIncoming(t *testing.T) {
	var got []link.Message
	in := incoming{take: func(m link.Message) { got = append(got, m) }}
	for _, test := range []struct {
		message, answer string
		topic, data     string // of what the program gets; both empty: nothing
	}{
		{`{"type":"chat","line":"4f","n":1,"text":"Hello","at":"now"}`, `{"line":"4f","n":1,"type":"chat-ack"}`, "turnpike.chat", `{"at":"now","text":"Hello"}`},
		{`{"type":"chat","line":"4f","n":1,"text":"Hello","at":"now"}`, `{"line":"4f","n":1,"type":"chat-ack"}`, "", ""},
		{`{"type":"data","line":"9x","n":1,"topic":"move","data":{"x":3}}`, `{"line":"9x","n":1,"type":"data-ack"}`, "move", `{"x":3}`},
		{`{"type":"data","line":"9x","n":2,"topic":"","bytes":"AQID"}`, `{"line":"9x","n":2,"type":"data-ack"}`, "", "\x01\x02\x03"},
		{`{"type":"data","line":"9x","n":3,"topic":7,"data":1}`, `{"line":"9x","n":3,"type":"data-ack"}`, "", ""},
		{`{"type":"data","line":"9x","n":4,"topic":"t","bytes":"no base64!"}`, `{"line":"9x","n":4,"type":"data-ack"}`, "", ""},
		{`{"type":"data","line":"9x","n":5,"topic":"turnpike.chat","data":{"text":"forged"}}`, `{"line":"9x","n":5,"type":"data-ack"}`, "", ""},
		{`{"type":"data","topic":"fast","data":null}`, ``, "fast", `null`},
		{`{"type":"data","line":"another","n":1,"topic":"t","data":1}`, `{"line":"another","n":1,"type":"data-ack"}`, "t", `1`},
		{`{"type":"media","audio":true}`, ``, "", ""},
		{`{"type":"chat-ack","line":"4f","n":1}`, ``, "", ""},
		{`end`, ``, "", ""},
	} {
		got = nil
		answer := in.receive([]byte(test.message))
		if string(answer) != test.answer {
			t.Errorf("%s is answered by %s, not %s", test.message, answer, test.answer)
		}
		wants := test.topic != "" || test.data != ""
		if wants != (len(got) == 1) {
			t.Errorf("of %s the program gets %v", test.message, got)
		} else if wants && (got[0].Topic != test.topic || string(got[0].Data)+string(got[0].Bytes) != test.data) {
			t.Errorf("of %s the program gets %q, %s%q", test.message, got[0].Topic, got[0].Data, got[0].Bytes)
		}
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add([]byte(`{"type":"chat","line":"4f","n":1,"text":"Hello","at":"now"}`), []byte(`{"type":"data","line":"9x","n":1,"topic":"move","data":{"x":3}}`))
	f.Add([]byte(`{"type":"data","line":"9x","n":-1,"bytes":"AQID"}`), []byte(`{"type":"data","n":1e400}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		taken := 0
		in := incoming{take: func(m link.Message) {
			taken++
			if m.Data != nil && !json.Valid(m.Data) {
				t.Fatalf("the program gets no JSON: %q", m.Data)
			}
			if m.Topic != chatTopic && strings.HasPrefix(m.Topic, link.ReservedName) {
				t.Fatalf("a page speaks as the SDK: %q", m.Topic)
			}
		}}
		for _, message := range [][]byte{first, second, first} {
			answer := in.receive(message)
			if answer != nil && (!json.Valid(answer) || !utf8.Valid(answer)) {
				t.Fatalf("the answer is no JSON: %q", answer)
			}
		}
		if len(in.lines) > 2 || taken > 3 {
			t.Fatalf("%d lines are remembered, and %d messages came of three", len(in.lines), taken)
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Add([]byte(`{"type":"offer","sdp":"v=0","id":"a-1.2","to":"b.1"}`), []byte(`{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"}`), []byte(`[null,{"candidate":""}]`))
	f.Fuzz(func(t *testing.T, raw, candidate, candidates []byte) {
		for _, p := range []wire.Payload{{Description: raw}, {Candidate: candidate}, {Candidates: candidates}} {
			d, found, err := parsePayload(p)
			if err != nil {
				continue
			}
			if len(found) > wire.MaxCandidates {
				t.Fatalf("%d candidates in one payload", len(found))
			}
			for _, c := range found {
				if c.Candidate == "" || len(c.Candidate) > maxCandidateText {
					t.Fatalf("a candidate has %d bytes", len(c.Candidate))
				}
			}
			if d != nil && !strings.HasPrefix(d.ID, link.ConnectionOf(d.ID)) {
				t.Fatalf("%q is not of %q", d.ID, link.ConnectionOf(d.ID))
			}
		}
	})
}
