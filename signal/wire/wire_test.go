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

// TestExamplesRoundTrip holds that every example, decoded and encoded again, is the same JSON: the Go types know all of
// its fields.
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
				m, _, err = ParseServer(ex.Message)
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
		TypeOnline, TypeOffline, TypeCall, TypeRinging, TypeAccept, TypeDecline, TypeCancel, TypeHangup, TypeICEServers, TypeGoingAway,
		TypeAck, TypePong, TypeResume, TypeRefreshed, TypeRenamed, TypePeerRenamed, TypeSaid, TypeData, TypePeerAway, TypePeerBack,
		TypeHost, TypeLocked, TypeUnlocked, TypeKicked, TypeWaiting, TypeKnock, TypeKnockOver, TypeAdmitted, TypeRefused} {
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
		{"refresh without ticket", `{"type":"refresh"}`, "ticket", "missing"},
		{"refresh with no text", `{"type":"refresh","ticket":7}`, "ticket", "string"},
		{"hello without ticket", `{"type":"hello"}`, "ticket", "missing"},
		{"ticket object", `{"type":"hello","ticket":{}}`, "ticket", "string"},
		{"ticket too long", `{"type":"hello","ticket":"` + long(MaxTicket+1) + `"}`, "ticket", "long"},
		{"name null", `{"type":"hello","ticket":"t","name":null}`, "name", "string"},
		{"name too long", `{"type":"hello","ticket":"t","name":"` + strings.Repeat("é", 33) + `"}`, "name", "long"},
		{"rename to nothing", `{"type":"rename"}`, "name", "missing"},
		{"rename to an empty name", `{"type":"rename","name":""}`, "name", "long"},
		{"no transports", `{"type":"join","transports":[]}`, "transports", "list of 1 to 4"},
		{"transports null", `{"type":"join","transports":null}`, "transports", "list"},
		{"transports a string", `{"type":"join","transports":"quic"}`, "transports", "list"},
		{"five transports", `{"type":"join","transports":["a","b","c","d","e"]}`, "transports", "list of 1 to 4"},
		{"a transport that is no string", `{"type":"join","transports":[1]}`, "transports", "string"},
		{"a transport of capitals", `{"type":"join","transports":["QUIC"]}`, "transports", "lower-case"},
		{"a transport too long", `{"type":"join","transports":["` + long(17) + `"]}`, "transports", "long"},
		{"room number", `{"type":"join","room":7}`, "room", "string"},
		{"room null", `{"type":"join","room":null}`, "room", "string"},
		{"room upper case", `{"type":"join","room":"Standup"}`, "room", "lower-case"},
		{"room with outer hyphen", `{"type":"join","room":"-a"}`, "room", "lower-case"},
		{"room with a dot", `{"type":"join","room":"a.b"}`, "room", "lower-case"},
		{"room too long", `{"type":"join","room":"` + long(65) + `"}`, "room", "long"},
		{"create string", `{"type":"join","create":"true"}`, "create", "true or false"},
		{"create null", `{"type":"join","create":null}`, "create", "true or false"},
		{"waiting string", `{"type":"join","waiting":"yes"}`, "waiting", "true or false"},
		{"waiting null", `{"type":"join","waiting":null}`, "waiting", "true or false"},
		{"size string", `{"type":"join","size":"2"}`, "size", "whole number"},
		{"size fraction", `{"type":"join","size":2.5}`, "size", "whole number"},
		{"size too small", `{"type":"join","size":1}`, "size", "whole number"},
		{"size too big", `{"type":"join","size":17}`, "size", "whole number"},
		{"size huge", `{"type":"join","size":99999999999999999999}`, "size", "whole number"},
		{"after string", `{"type":"online","after":"Alice"}`, "after", "object"},
		{"after without name", `{"type":"online","after":{"user":"u"}}`, "after.name", "missing"},
		{"after without user", `{"type":"online","after":{"name":"n"}}`, "after.user", "missing"},
		{"after name too long", `{"type":"online","after":{"user":"u","name":"` + long(MaxShownName+1) + `"}}`, "after.name", "long"},
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
		{"candidates beside candidate", sig + `"candidate":null,"candidates":[null]}`, "candidates", "beside"},
		{"candidates beside description", sig + `"description":{"type":"offer","sdp":""},"candidates":[null]}`, "candidates", "beside"},
		{"candidates null", sig + `"candidates":null}`, "candidates", "list"},
		{"candidates object", sig + `"candidates":{}}`, "candidates", "list"},
		{"no candidates", sig + `"candidates":[]}`, "candidates", "list"},
		{"too many candidates", sig + `"candidates":[null` + strings.Repeat(",null", MaxCandidates) + `]}`, "candidates", "list"},
		{"a bad one among candidates", sig + `"candidates":[null,{"candidate":1}]}`, "candidates.candidate", "string"},
		{"received string", `{"type":"ack","received":"1"}`, "received", "whole number"},
		{"received below zero", `{"type":"ack","received":-1}`, "received", "whole number"},
		{"received fraction", `{"type":"ack","received":1.5}`, "received", "whole number"},
		{"received beyond JavaScript's", `{"type":"ack","received":9007199254740992}`, "received", "whole number"},
		{"received null", `{"type":"bye","received":null}`, "received", "whole number"},
		{"resume null", `{"type":"hello","ticket":"t","resume":null}`, "resume", "object"},
		{"resume without session", `{"type":"hello","resume":{"token":"t","received":1}}`, "resume.session", "missing"},
		{"resume without token", `{"type":"hello","resume":{"session":"s","received":1}}`, "resume.token", "missing"},
		{"resume without received", `{"type":"hello","resume":{"session":"s","token":"t"}}`, "resume.received", "whole number"},
		{"resume with fresh as a word", `{"type":"hello","resume":{"session":"s","token":"t","received":1,"fresh":"true"}}`, "resume.fresh", "true or false"},
		{"token too long", `{"type":"hello","resume":{"session":"s","received":1,"token":"` + long(MaxToken+1) + `"}}`, "resume.token", "long"},
		{"call without to", `{"type":"call"}`, "to", "missing"},
		{"to a user too long", `{"type":"call","to":"` + long(513) + `"}`, "to", "long"},
		{"call with too much", `{"type":"call","to":"u","data":"` + long(MaxCallData-1) + `"}`, "data", "longer"},
		{"decline for no reason", `{"type":"decline","call":"c","reason":""}`, "reason", "long"},
		{"decline with a long reason", `{"type":"decline","call":"c","reason":"` + long(MaxReason+1) + `"}`, "reason", "long"},
		{"join with media as a word", `{"type":"join","media":"no"}`, "media", "true or false"},
		{"say nothing", `{"type":"say","room":"a"}`, "data", "missing"},
		{"say nowhere", `{"type":"say","data":1}`, "room", "missing"},
		{"say too much", `{"type":"say","room":"a","data":"` + long(MaxData-1) + `"}`, "data", "longer"},
		{"say to nobody", `{"type":"say","room":"a","data":1,"to":[]}`, "to", "list"},
		{"say to a name", `{"type":"say","room":"a","data":1,"to":"b"}`, "to", "list"},
		{"say to null", `{"type":"say","room":"a","data":1,"to":null}`, "to", "list"},
		{"say to a number", `{"type":"say","room":"a","data":1,"to":["b",1]}`, "to", "string"},
		{"say to too many", `{"type":"say","room":"a","data":1,"to":["b"` + strings.Repeat(`,"b"`, MaxRoomSize-1) + `]}`, "to", "list"},
		{"say on no topic", `{"type":"say","room":"a","data":1,"topic":""}`, "topic", "long"},
		{"say on a long topic", `{"type":"say","room":"a","data":1,"topic":"` + long(MaxTopic+1) + `"}`, "topic", "long"},
		{"accept without call", `{"type":"accept"}`, "call", "missing"},
		{"decline without call", `{"type":"decline"}`, "call", "missing"},
		{"cancel a number", `{"type":"cancel","call":1}`, "call", "string"},
		{"lock without room", `{"type":"lock"}`, "room", "missing"},
		{"unlock a number", `{"type":"unlock","room":1}`, "room", "string"},
		{"kick without room", `{"type":"kick","session":"b"}`, "room", "missing"},
		{"kick without session", `{"type":"kick","room":"a"}`, "session", "missing"},
		{"kick null", `{"type":"kick","room":"a","session":null}`, "session", "string"},
		{"admit too long", `{"type":"admit","room":"a","session":"` + long(65) + `"}`, "session", "long"},
		{"refuse nobody", `{"type":"refuse","room":"a","session":""}`, "session", "long"},
		{"kick out of a room of no such name", `{"type":"kick","room":"__proto__","session":"b"}`, "room", "lower-case"},
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
		{` { "type" : "bye" , "later" : [ { "a" : "}" } ] , "id" : "x" } `, &Bye{Request{ID: "x"}}},
		{`{"type":"bye","received":9007199254740991}`, &Bye{Request{Received: 1<<53 - 1}}},
		{`{"type":"ack","received":0}`, &Ack{}},
		{`{"type":"hello","resume":{"session":"s","token":"t","received":7}}`, &Hello{Resume: &Resume{"s", "t", 7, false}}},
		{`{"type":"hello","ticket":"t","resume":{"session":"s","token":"t","received":0,"fresh":true}}`, &Hello{Ticket: "t", Resume: &Resume{"s", "t", 0, true}}},
		{`{"\u0074ype":"l\u0065ave","room":"a"}`, &Leave{Room: "a"}},
		{`{"type":"join","create":false}`, &Join{}},
		{`{"type":"join","room":"a-b","size":16,"create":true}`, &Join{Room: "a-b", Size: 16, Create: true}},
		{`{"type":"join","waiting":true}`, &Join{Waiting: true}},
		{`{"type":"join","media":false}`, &Join{Media: new(bool)}},
		{`{"type":"say","room":"a","data": {"a" : [1, null]} }`, &Say{Room: "a", Data: json.RawMessage(`{"a" : [1, null]}`)}},
		{`{"type":"say","room":"a","data":null,"to":["b","c"],"topic":"t"}`, &Say{Room: "a", To: []string{"b", "c"}, Topic: "t", Data: json.RawMessage(`null`)}},
		{`{"type":"call","to":"u","data": "<" }`, &Call{To: "u", Data: json.RawMessage(`"<"`)}},
		{`{"type":"decline","call":"c","reason":"no"}`, &Decline{Call: "c", Reason: "no"}},
		{`{"type":"lock","room":"a","id":"7"}`, &Lock{Request{ID: "7"}, "a"}},
		{`{"type":"k\u0069ck","room":"a","session":"__proto__"}`, &Kick{Room: "a", Session: "__proto__"}},
		{`{"type":"call","to":"https://id.example.org:\"x\\"}`, &Call{To: `https://id.example.org:"x\`}},
		{
			`{"type":"signal","room":"a","to":"b","description":{"type":"rollback"} }`,
			&Signal{Room: "a", To: "b", Payload: Payload{Description: json.RawMessage(`{"type":"rollback"}`)}},
		},
		{
			`{"type":"signal","room":"a","to":"b","from":"me","candidate": {"candidate":"\"\\","sdpMid":null,"x":{}} }`,
			&Signal{Room: "a", To: "b", Payload: Payload{Candidate: json.RawMessage(`{"candidate":"\"\\","sdpMid":null,"x":{}}`)}},
		},
		{
			`{"type":"signal","room":"a","to":"b","candidates":[ {"candidate":"x"} , null ]}`,
			&Signal{Room: "a", To: "b", Payload: Payload{Candidates: json.RawMessage(`[ {"candidate":"x"} , null ]`)}},
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

func TestPayloadTexts(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Payload
		want []string
	}{
		{"sdp", Payload{Description: json.RawMessage(`{"type":"offer","sdp":"v=0\r\na=candidate:1"}`)}, []string{"v=0\r\na=candidate:1"}},
		{"sdp with an escape", Payload{Description: json.RawMessage(`{"type":"offer","sdp":"a=\u0063andidate:1"}`)}, []string{"a=candidate:1"}},
		{"sdp without candidates", Payload{Description: json.RawMessage(`{"type":"offer","sdp":"v=0\r\na=x"}`)}, nil},
		{"candidate", Payload{Candidate: json.RawMessage(`{"candidate":"candidate:1 1 udp"}`)}, []string{"candidate:1 1 udp"}},
		{"end", Payload{Candidate: json.RawMessage(`null`)}, nil},
		{"candidates", Payload{Candidates: json.RawMessage(`[{"candidate":"candidate:1"},null,{"candidate":"x"},{"candidate":"candidate:2"}]`)}, []string{"candidate:1", "candidate:2"}},
		{"nothing", Payload{}, nil},
		{"not JSON", Payload{Description: json.RawMessage(`{"sdp":`)}, nil},
		{"half a string", Payload{Description: json.RawMessage(`{"sdp":"`)}, nil},
		{"no list", Payload{Candidates: json.RawMessage(`{"candidate":"candidate:1"}`)}, nil},
	} {
		if got := slices.Collect(tc.p.Texts()); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestMayHaveCandidates(t *testing.T) {
	const filler = `e:\r:ue\n`
	for before := range 24 {
		for after := range 24 {
			left, right := strings.Repeat(filler, 4)[:before], strings.Repeat(filler, 4)[:after]
			for word, want := range map[string]bool{candidateWord: true, `\u0063andidate:`: true, "": false, "candidate;": false, "andidate:": false} {
				if text := left + word + right; mayHaveCandidates([]byte(text)) != want {
					t.Errorf("%q: want %v", text, want)
				}
			}
		}
	}
}

func TestAppendSeq(t *testing.T) {
	m, err := Encode(&GoingAway{RetryAfter: 2})
	if err != nil {
		t.Fatal(err)
	}
	shared := bytes.Clone(m)
	numbered := AppendSeq(nil, m, 17)
	got, seq, err := ParseServer(numbered)
	if err != nil || seq != 17 || !reflect.DeepEqual(got, &GoingAway{RetryAfter: 2}) || !bytes.Equal(m, shared) {
		t.Errorf("%s is %v with %d, %v; %s was %s", numbered, got, seq, err, m, shared)
	}
}

func TestParseServerPassesOverUnknownTypes(t *testing.T) {
	m, seq, err := ParseServer([]byte(`{"type":"later","seq":1}`))
	if m != nil || seq != 1 || err != nil {
		t.Fatalf("got %v, %d, %v, want nothing but the number", m, seq, err)
	}
	if _, _, err := ParseServer([]byte(`{"type":"joined","size":"2"}`)); err == nil {
		t.Fatal("a size that is a string was accepted")
	}
}

func TestCloseReasons(t *testing.T) {
	for _, code := range []int{CloseBye, CloseGoingAway, CloseTooBig, CloseBadMessage, CloseUnauthorized, CloseSlow,
		CloseHelloTimeout, CloseRateLimited, CloseDead, CloseReplaced, CloseEnded, CloseExpired} {
		if CloseReason(code) == "" {
			t.Errorf("no word for %d", code)
		}
	}
	if got := CloseReason(1006); got != "" {
		t.Errorf("1006 is %q", got)
	}
}

// FuzzParse asserts that Parse never panics, that the messages it accepts keep the limits, and that they are the same
// after another trip over the wire.
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
			return // escapes made it longer than a message may be
		}
		again, err := Parse(out)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%s\nbecame %s\n%#v\nbecame %#v, %v", data, out, m, again, err)
		}
		if s, ok := m.(*Signal); ok {
			for range s.Texts() {
			}
			fwd := Forward{Room: s.Room, From: "f", Payload: s.Payload}
			out, err := Encode(&fwd)
			if err != nil {
				t.Fatal(err)
			}
			got, seq, err := ParseServer(AppendSeq(nil, out, 1))
			if seq != 1 {
				t.Fatalf("%s has the number %d", out, seq)
			}
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
	const most = 1<<53 - 1 // JavaScript counts no further
	if m.Acknowledged() > most {
		t.Errorf("received %d", m.Acknowledged())
	}
	switch m := m.(type) {
	case *Hello:
		if m.Ticket == "" && m.Resume == nil || len([]rune(m.Ticket)) > MaxTicket || len([]rune(m.Name)) > MaxName {
			t.Errorf("hello %#v", m)
		}
		if r := m.Resume; r != nil && (r.Session == "" || len([]rune(r.Session)) > MaxSession || r.Token == "" ||
			len([]rune(r.Token)) > MaxToken || r.Received > most) {
			t.Errorf("resume %#v", r)
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
		if !ValidRoom(m.Room) || m.To == "" || len([]rune(m.To)) > MaxSession || m.Payload.check() != nil {
			t.Errorf("signal %#v", m)
		}
	case *Say:
		if !ValidRoom(m.Room) || len(m.To) >= MaxRoomSize || len([]rune(m.Topic)) > MaxTopic || len(m.Data) == 0 || len(m.Data) > MaxData {
			t.Errorf("say %#v", m)
		}
	case *Decline:
		if len([]rune(m.Reason)) > MaxReason {
			t.Errorf("decline %#v", m)
		}
	case *Call:
		if m.To == "" || len([]rune(m.To)) > MaxUser || len(m.Data) > MaxCallData {
			t.Errorf("call %#v", m)
		}
	case *Lock:
		checkTarget(t, m, m.Room, "any")
	case *Unlock:
		checkTarget(t, m, m.Room, "any")
	case *Kick:
		checkTarget(t, m, m.Room, m.Session)
	case *Admit:
		checkTarget(t, m, m.Room, m.Session)
	case *Refuse:
		checkTarget(t, m, m.Room, m.Session)
	}
}

func checkTarget(t *testing.T, m ClientMessage, room, session string) {
	t.Helper()
	if !ValidRoom(room) || session == "" || len([]rune(session)) > MaxSession {
		t.Errorf("%s %#v", m.Type(), m)
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
		for text := range s.Texts() {
			b.Fatalf("%q has candidates", text)
		}
		if _, err := Encode(&Forward{Room: s.Room, From: s.To, Payload: s.Payload}); err != nil {
			b.Fatal(err)
		}
	}
}
