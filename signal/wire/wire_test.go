package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type example struct {
	name      string
	Direction string          `json:"direction"`
	Message   json.RawMessage `json:"message"`
}

func examples(t testing.TB) []example {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var all []example
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ex := example{name: filepath.Base(path)}
		if err := json.Unmarshal(data, &ex); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, ex)
	}
	return all
}

// TestExamplesRoundTrip holds that every example, decoded and encoded again,
// is the same JSON: no field of it is unknown to the Go types.
func TestExamplesRoundTrip(t *testing.T) {
	seen := map[string][]string{}
	for _, ex := range examples(t) {
		t.Run(ex.name, func(t *testing.T) {
			var m Message
			var err error
			switch ex.Direction {
			case "client":
				m, err = Parse(ex.Message)
			case "server":
				m, err = ParseServer(ex.Message)
			default:
				t.Fatalf("direction %q", ex.Direction)
			}
			if err != nil || m == nil {
				t.Fatalf("got %v, %v", m, err)
			}
			if !strings.HasPrefix(ex.name, ex.Direction+"-"+m.Type()) {
				t.Errorf("a %s message %s in a file of this name", ex.Direction, m.Type())
			}
			seen[ex.Direction] = append(seen[ex.Direction], m.Type())
			out, err := Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(t, out, ex.Message) {
				t.Errorf("came back as\n%s\nwant\n%s", out, ex.Message)
			}
			if !bytes.HasPrefix(out, []byte(`{"type":"`+m.Type()+`"`)) {
				t.Errorf("the type is not first: %s", out)
			}
		})
	}
	for _, typ := range ClientTypes() {
		if !slices.Contains(seen["client"], typ) {
			t.Errorf("no example of a client's %s", typ)
		}
	}
	for _, typ := range []string{TypeWelcome, TypeError, TypeJoined, TypeLeft, TypePeerJoined, TypePeerLeft, TypeSignal,
		TypeOnline, TypeOffline, TypeCall, TypeRinging, TypeAccept, TypeDecline, TypeCancel, TypeHangup, TypeICEServers, TypeGoingAway} {
		if !slices.Contains(seen["server"], typ) {
			t.Errorf("no example of a server's %s", typ)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%v in %s", err, a)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return reflect.DeepEqual(x, y)
}

func TestParseRefuses(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	const sig = `{"type":"signal","room":"a","to":"b",`
	for _, tc := range []struct{ name, data, field, problem string }{
		{"empty", ``, "", "JSON"},
		{"not JSON", `{"type":"bye"`, "", "JSON"},
		{"two values", `{"type":"bye"} {}`, "", "JSON"},
		{"array", `[{"type":"bye"}]`, "", "object"},
		{"null", `null`, "", "object"},
		{"number", `7`, "", "object"},
		{"bad UTF-8", "{\"type\":\"bye\",\"x\":\"\xff\"}", "", "UTF-8"},
		{"too long", `{"type":"bye","x":"` + long(MaxMessage) + `"}`, "", "longer"},
		{"too deep", `{"type":"bye","x":` + nest(MaxDepth) + `}`, "", "nested"},
		{"no type", `{}`, "type", "missing"},
		{"type null", `{"type":null}`, "type", "string"},
		{"type number", `{"type":1}`, "type", "string"},
		{"type of another case", `{"TYPE":"bye"}`, "type", "missing"},
		{"type twice", `{"type":"bye","type":"hello"}`, "type", "twice"},
		{"type twice, once escaped", `{"type":"bye","\u0074ype":"hello"}`, "type", "twice"},
		{"unknown type", `{"type":"__proto__"}`, "type", "client sends"},
		{"server's type", `{"type":"welcome"}`, "type", "client sends"},
		{"id null", `{"type":"bye","id":null}`, "id", "string"},
		{"id number", `{"type":"bye","id":1}`, "id", "string"},
		{"id empty", `{"type":"bye","id":""}`, "id", "long"},
		{"id too long", `{"type":"bye","id":"` + long(65) + `"}`, "id", "long"},
		{"hello without ticket", `{"type":"hello"}`, "ticket", "missing"},
		{"ticket object", `{"type":"hello","ticket":{}}`, "ticket", "string"},
		{"ticket too long", `{"type":"hello","ticket":"` + long(MaxTicket+1) + `"}`, "ticket", "long"},
		{"name null", `{"type":"hello","ticket":"t","name":null}`, "name", "string"},
		{"name too long", `{"type":"hello","ticket":"t","name":"` + strings.Repeat("é", 33) + `"}`, "name", "long"},
		{"room number", `{"type":"join","room":7}`, "room", "string"},
		{"room null", `{"type":"join","room":null}`, "room", "string"},
		{"room upper case", `{"type":"join","room":"Standup"}`, "room", "lower-case"},
		{"room with outer hyphen", `{"type":"join","room":"-a"}`, "room", "lower-case"},
		{"room with a dot", `{"type":"join","room":"a.b"}`, "room", "lower-case"},
		{"room too long", `{"type":"join","room":"` + long(65) + `"}`, "room", "long"},
		{"create string", `{"type":"join","create":"true"}`, "create", "true or false"},
		{"create null", `{"type":"join","create":null}`, "create", "true or false"},
		{"size string", `{"type":"join","size":"2"}`, "size", "whole number"},
		{"size fraction", `{"type":"join","size":2.5}`, "size", "whole number"},
		{"size too small", `{"type":"join","size":1}`, "size", "whole number"},
		{"size too big", `{"type":"join","size":17}`, "size", "whole number"},
		{"size huge", `{"type":"join","size":99999999999999999999}`, "size", "whole number"},
		{"leave without room", `{"type":"leave"}`, "room", "missing"},
		{"signal without room", `{"type":"signal","to":"b","candidate":null}`, "room", "missing"},
		{"signal without to", `{"type":"signal","room":"a","candidate":null}`, "to", "missing"},
		{"to too long", `{"type":"signal","room":"a","to":"` + long(65) + `","candidate":null}`, "to", "long"},
		{"neither", sig + `"x":1}`, "description", "missing"},
		{"both", sig + `"candidate":null,"description":{"type":"offer","sdp":""}}`, "candidate", "beside"},
		{"description null", sig + `"description":null}`, "description", "object"},
		{"description string", sig + `"description":"offer"}`, "description", "object"},
		{"description without type", sig + `"description":{"sdp":""}}`, "description.type", "missing"},
		{"description of unknown type", sig + `"description":{"type":"call","sdp":""}}`, "description.type", "offer"},
		{"offer without sdp", sig + `"description":{"type":"offer"}}`, "description.sdp", "missing"},
		{"sdp null", sig + `"description":{"type":"offer","sdp":null}}`, "description.sdp", "string"},
		{"sdp twice", sig + `"description":{"type":"offer","sdp":"","sdp":""}}`, "description.sdp", "twice"},
		{"rollback with bad sdp", sig + `"description":{"type":"rollback","sdp":1}}`, "description.sdp", "string"},
		{"candidate string", sig + `"candidate":"candidate:1"}`, "candidate", "object"},
		{"candidate without text", sig + `"candidate":{}}`, "candidate.candidate", "missing"},
		{"candidate number", sig + `"candidate":{"candidate":1}}`, "candidate.candidate", "string"},
		{"sdpMid number", sig + `"candidate":{"candidate":"","sdpMid":0}}`, "candidate.sdpMid", "string"},
		{"sdpMLineIndex string", sig + `"candidate":{"candidate":"","sdpMLineIndex":"0"}}`, "candidate.sdpMLineIndex", "whole number"},
		{"sdpMLineIndex below zero", sig + `"candidate":{"candidate":"","sdpMLineIndex":-1}}`, "candidate.sdpMLineIndex", "whole number"},
		{"usernameFragment array", sig + `"candidate":{"candidate":"","usernameFragment":[]}}`, "candidate.usernameFragment", "string"},
		{"call without to", `{"type":"call"}`, "to", "missing"},
		{"to a user too long", `{"type":"call","to":"` + long(513) + `"}`, "to", "long"},
		{"accept without call", `{"type":"accept"}`, "call", "missing"},
		{"decline without call", `{"type":"decline"}`, "call", "missing"},
		{"cancel a number", `{"type":"cancel","call":1}`, "call", "string"},
		{"hangup too long", `{"type":"hangup","call":"` + long(65) + `"}`, "call", "long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := Parse([]byte(tc.data))
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("got %v, %v, want a FieldError", m, err)
			}
			if fe.Field != tc.field || !strings.Contains(fe.Problem, tc.problem) {
				t.Errorf("got field %q, problem %q; want %q, %q", fe.Field, fe.Problem, tc.field, tc.problem)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for _, tc := range []struct {
		data string
		want ClientMessage
	}{
		{` { "type" : "bye" , "later" : [ { "a" : "}" } ] , "id" : "x" } `, &Bye{Request{"x"}}},
		{`{"type":"hello","ticket":"t","resume":{"session":"s","token":"t","received":7}}`, &Hello{Ticket: "t"}},
		{`{"type":"hello","ticket":"t","resume":null}`, &Hello{Ticket: "t"}},
		{`{"\u0074ype":"l\u0065ave","room":"a"}`, &Leave{Room: "a"}},
		{`{"type":"join","create":false}`, &Join{}},
		{`{"type":"join","room":"a-b","size":16,"create":true}`, &Join{Room: "a-b", Size: 16, Create: true}},
		{`{"type":"call","to":"https://id.example.org:\"x\\"}`, &Call{To: `https://id.example.org:"x\`}},
		{
			`{"type":"signal","room":"a","to":"b","description":{"type":"rollback"} }`,
			&Signal{Room: "a", To: "b", Description: json.RawMessage(`{"type":"rollback"}`)},
		},
		{
			`{"type":"signal","room":"a","to":"b","from":"me","candidate": {"candidate":"\"\\","sdpMid":null,"x":{}} }`,
			&Signal{Room: "a", To: "b", Candidate: json.RawMessage(`{"candidate":"\"\\","sdpMid":null,"x":{}}`)},
		},
	} {
		got, err := Parse([]byte(tc.data))
		if err != nil {
			t.Errorf("%s: %v", tc.data, err)
		} else if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %#v, want %#v", tc.data, got, tc.want)
		}
	}
}

func TestFieldErrorCarriesRef(t *testing.T) {
	_, err := Parse([]byte(`{"room":7,"id":"42","type":"join"}`))
	var fe *FieldError
	if !errors.As(err, &fe) || fe.Ref != "42" {
		t.Fatalf("got %#v, want ref 42", err)
	}
}

func TestSignalText(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    Signal
		want string
	}{
		{"sdp", Signal{Description: json.RawMessage(`{"type":"offer","sdp":"v=0\r\na=candidate:1"}`)}, "v=0\r\na=candidate:1"},
		{"sdp with an escape", Signal{Description: json.RawMessage(`{"type":"offer","sdp":"a=\u0063andidate:1"}`)}, "a=candidate:1"},
		{"sdp without candidates", Signal{Description: json.RawMessage(`{"type":"offer","sdp":"v=0\r\na=x"}`)}, ""},
		{"candidate", Signal{Candidate: json.RawMessage(`{"candidate":"candidate:1 1 udp"}`)}, "candidate:1 1 udp"},
		{"end", Signal{Candidate: json.RawMessage(`null`)}, ""},
		{"nothing", Signal{}, ""},
		{"not JSON", Signal{Description: json.RawMessage(`{"sdp":`)}, ""},
		{"half a string", Signal{Description: json.RawMessage(`{"sdp":"`)}, ""},
	} {
		if got := tc.m.Text(); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestParseServerPassesOverUnknownTypes(t *testing.T) {
	m, err := ParseServer([]byte(`{"type":"peer-away","seq":1}`))
	if m != nil || err != nil {
		t.Fatalf("got %v, %v, want nothing", m, err)
	}
	if _, err := ParseServer([]byte(`{"type":"joined","size":"2"}`)); err == nil {
		t.Fatal("a size that is a string was accepted")
	}
}

func TestCloseReasons(t *testing.T) {
	for _, code := range []int{CloseBye, CloseGoingAway, CloseTooBig, CloseBadMessage, CloseUnauthorized, CloseSlow,
		CloseHelloTimeout, CloseRateLimited, CloseDead} {
		if CloseReason(code) == "" {
			t.Errorf("no word for %d", code)
		}
	}
	if got := CloseReason(1006); got != "" {
		t.Errorf("1006 is %q", got)
	}
}

// FuzzParse asserts that Parse never panics, that what it accepts keeps the
// limits, and that it is the same after another trip over the wire.
func FuzzParse(f *testing.F) {
	for _, ex := range examples(f) {
		f.Add([]byte(ex.Message))
	}
	f.Add([]byte(`{"type":"signal","room":"a","to":"\ud800","candidate": { "candidate" : "\\\"" , "x":[[{}]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			var fe *FieldError
			if !errors.As(err, &fe) || m != nil {
				t.Fatalf("got %v beside %#v", m, err)
			}
			return
		}
		checkLimits(t, m)
		out, err := Encode(m)
		if err != nil {
			t.Fatalf("%#v does not encode: %v", m, err)
		}
		if len(out) > MaxMessage {
			return // escapes made it longer than what may be sent
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%s\nbecame %s\n%#v\nbecame %#v, %v", data, out, m, again, err)
		}
		if s, ok := m.(*Signal); ok {
			_ = s.Text()
			fwd := Forward{Room: s.Room, From: "f", Description: s.Description, Candidate: s.Candidate}
			out, err := Encode(&fwd)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseServer(out)
			if err != nil || !reflect.DeepEqual(got, &fwd) {
				t.Fatalf("%s\nwas forwarded as %s\n%#v, %v", data, out, got, err)
			}
		}
	})
}

func checkLimits(t *testing.T, m ClientMessage) {
	t.Helper()
	if n := len([]rune(m.RequestID())); n > MaxID {
		t.Errorf("id of %d", n)
	}
	switch m := m.(type) {
	case *Hello:
		if m.Ticket == "" || len([]rune(m.Ticket)) > MaxTicket || len([]rune(m.Name)) > MaxName {
			t.Errorf("hello %#v", m)
		}
	case *Join:
		if m.Room != "" && !ValidRoom(m.Room) || m.Size != 0 && (m.Size < MinRoomSize || m.Size > MaxRoomSize) {
			t.Errorf("join %#v", m)
		}
	case *Leave:
		if !ValidRoom(m.Room) {
			t.Errorf("leave %#v", m)
		}
	case *Signal:
		if !ValidRoom(m.Room) || m.To == "" || len([]rune(m.To)) > MaxSession || (m.Description == nil) == (m.Candidate == nil) {
			t.Errorf("signal %#v", m)
		}
	case *Call:
		if m.To == "" || len([]rune(m.To)) > MaxUser {
			t.Errorf("call %#v", m)
		}
	}
}

func BenchmarkParseSignal(b *testing.B) {
	data := []byte(`{"type":"signal","room":"standup","to":"b5nd3vhz6jyc2fga","description":{"type":"offer","sdp":"` +
		strings.Repeat(`a=rtcp-fb:96 goog-remb\r\n`, 36) + `"}}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		s := m.(*Signal)
		if _, err := Encode(&Forward{Room: s.Room, From: s.To, Description: s.Description}); err != nil {
			b.Fatal(err)
		}
	}
}
