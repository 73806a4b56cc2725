package quiclink

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// FuzzTerms holds that what is read of a description can be written and read again, and is within bounds.
func FuzzTerms(f *testing.F) {
	good := terms{ufrag: "abcd", pwd: strings.Repeat("p", 22), setup: active}.marshal()
	f.Add(good)
	f.Add(strings.ReplaceAll(good, "\r\n", "\n"))
	f.Add(strings.Replace(good, section, "m=audio 9 UDP/TLS/RTP/SAVPF 0", 1))
	f.Add(good + section + "\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		x, err := parseTerms(s)
		if err != nil {
			return
		}
		if len(x.ufrag) < 4 || len(x.ufrag) > 256 || len(x.pwd) < 22 || len(x.pwd) > 256 {
			t.Errorf("credentials of %d and %d bytes were taken", len(x.ufrag), len(x.pwd))
		}
		again, err := parseTerms(x.marshal())
		if err != nil || again != x {
			t.Errorf("%+v became %+v, %v", x, again, err)
		}
	})
}

// FuzzHeader holds that a name that is read is one that could be written, and that nothing behind it is touched.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x04namerest"))
	f.Add([]byte{0})
	f.Add([]byte{64})
	f.Add([]byte{2, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		name, err := readHeader(r)
		if err != nil {
			return
		}
		if name == "" || len(name) > link.MaxName || !utf8.ValidString(name) {
			t.Errorf("the name %q was taken", name)
		}
		header, err := appendHeader(nil, name)
		if err != nil || !bytes.HasPrefix(b, header) || r.Len() != len(b)-len(header) {
			t.Errorf("the name %q is written as %q, %v", name, header, err)
		}
	})
}

// FuzzPayload gives a Link whatever the other side may send.
func FuzzPayload(f *testing.F) {
	good, _ := json.Marshal(link.Description{Type: "offer", SDP: terms{ufrag: "abcd", pwd: strings.Repeat("p", 22), setup: either}.marshal(), ID: "x.1"})
	f.Add(good, []byte(`{"candidate":"candidate:1 1 udp 1 11.22.33.44 5 typ host","usernameFragment":"abcd"}`), []byte(`[null,{}]`))
	f.Add([]byte(`{"type":"answer","to":".1"}`), []byte(`null`), []byte(`[{"candidate":"x"}]`))
	f.Fuzz(func(t *testing.T, d, c, list []byte) {
		l, err := New(link.Config{Polite: true, RelayOnly: true, Send: func(wire.Payload) {}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []wire.Payload{{Description: d}, {Candidate: c}, {Candidates: list}, {Description: d}} {
			l.Receive(p)
		}
		worked := make(chan struct{})
		l.(*Link).inbox.put(func() { close(worked) })
		<-worked
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
