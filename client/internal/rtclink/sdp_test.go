package rtclink

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func lines(text ...string) string { return strings.Join(text, "\r\n") + "\r\n" }

// browserOffer is what a browser with camera and microphone offers, shortened: the first section has the transport of all, and
// the others wait to be part of it.
var browserOffer = lines(
	"v=0", "o=- 46117314 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2", "a=msid-semantic: WMS",
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "c=IN IP4 0.0.0.0", "a=ice-ufrag:uFrg", "a=ice-pwd:aPasswordOfTwentyFourCh", "a=ice-options:trickle",
	"a=fingerprint:sha-256 AA:BB", "a=setup:actpass", "a=mid:0", "a=sendrecv", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10",
	"a=rtpmap:63 red/48000/2", "a=candidate:1 1 udp 2122260223 192.0.2.5 46154 typ host",
	"m=video 0 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=bundle-only", "a=mid:1", "a=sendrecv", "a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000",
	"m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=bundle-only", "a=mid:2", "a=sctp-port:5000", "a=max-message-size:262144",
)

// ours is a description of pion's, with its one section.
var ours = lines(
	"v=0", "o=- 1 2 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=fingerprint:sha-256 CC:DD", "a=group:BUNDLE 2",
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=setup:active", "a=mid:2", "a=sendrecv", "a=sctp-port:5000",
	"a=ice-ufrag:ours", "a=ice-pwd:ourPasswordOfTwentyFourC", "a=candidate:1 1 udp 1 192.0.2.9 9 typ host", "a=end-of-candidates",
)

func TestReduce(t *testing.T) {
	reduced, l, err := reduce(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(reduced); err != nil {
		t.Fatal(err)
	}
	if len(d.MediaDescriptions) != 1 || d.MediaDescriptions[0].MediaName.Media != "application" {
		t.Fatalf("pion would hear of\n%s", reduced)
	}
	for key, want := range map[string]string{
		"mid": "2", "ice-ufrag": "uFrg", "ice-pwd": "aPasswordOfTwentyFourCh", "fingerprint": "sha-256 AA:BB", "setup": "actpass",
		"sctp-port": "5000", "max-message-size": "262144", "candidate": "1 1 udp 2122260223 192.0.2.5 46154 typ host", "group": "BUNDLE 2",
	} {
		if got := attributeIn(reduced, key); got != want {
			t.Errorf("%s is %q, not %q", key, got, want)
		}
	}
	if mid, at := l.tag(); mid != "0" || at != 0 {
		t.Errorf("candidates go to section %q, %d", mid, at)
	}
}

func TestExpand(t *testing.T) {
	_, l, err := reduce(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	expanded, err := l.expand(ours)
	if err != nil {
		t.Fatal(err)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(expanded); err != nil {
		t.Fatal(err)
	}
	var sections []string
	for _, m := range d.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		ufrag, _ := m.Attribute("ice-ufrag")
		_, inactive := m.Attribute("inactive")
		sections = append(sections, strings.Join(append([]string{m.MediaName.Media, mid, ufrag}, m.MediaName.Formats...), " "))
		if inactive != (m.MediaName.Media != "application") || m.MediaName.Port.Value != 9 {
			t.Errorf("section %s is inactive: %v, and has the port %d", mid, inactive, m.MediaName.Port.Value)
		}
	}
	if want := []string{"audio 0 ours 111", "video 1 ours 96", "application 2 ours webrtc-datachannel"}; !slices.Equal(sections, want) {
		t.Errorf("the sections are %q, not %q", sections, want)
	}
	if group := attributeIn(expanded, "group"); group != "BUNDLE 0 1 2" {
		t.Errorf("the group is %q", group)
	}
	if strings.Contains(expanded, "candidate") {
		t.Errorf("candidates are left in\n%s", expanded)
	}
}

// TestRejected answers sections that are on another transport, or of no kind that we know, so that the browser sends nothing there.
func TestRejected(t *testing.T) {
	offer := strings.Replace(browserOffer, "BUNDLE 0 1 2", "BUNDLE 2", 1)
	offer = strings.ReplaceAll(offer, "m=application 0", "m=application 9") + lines("m=text 9 RTP/AVP 98", "c=IN IP4 0.0.0.0", "a=mid:3")
	offer = strings.ReplaceAll(offer, "a=mid:2\r\n", "a=mid:2\r\na=ice-ufrag:data\r\na=ice-pwd:dataPasswordOfTwentyFour\r\na=fingerprint:sha-256 EE:FF\r\na=setup:actpass\r\n")
	reduced, l, err := reduce(offer)
	if err != nil {
		t.Fatal(err)
	}
	if ufrag := attributeIn(reduced, "ice-ufrag"); ufrag != "data" {
		t.Errorf("the transport is that of another section: %q", ufrag)
	}
	expanded, err := l.expand(ours)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"m=audio 0 ", "m=video 0 ", "m=text 0 RTP/AVP 98", "m=application 9 ", "a=group:BUNDLE 2\r\n"} {
		if !strings.Contains(expanded, want) {
			t.Errorf("%q is missing in\n%s", want, expanded)
		}
	}
}

func TestReduceRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":      "",
		"no data":      lines("v=0", "o=- 1 2 IN IP4 0.0.0.0", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"),
		"rejected":     strings.Replace(ours, "m=application 9", "m=application 0", 1),
		"no password":  strings.Replace(ours, "a=ice-pwd", "a=x", 1),
		"no mid":       strings.Replace(ours, "a=mid:2\r\n", "", 1),
		"two of a mid": strings.Replace(browserOffer, "a=mid:1", "a=mid:0", 1),
		"too long":     ours + strings.Repeat("a=x\r\n", maxSDP/5),
		"crowded":      ours + strings.Repeat("m=audio 9 RTP/AVP 0\r\n", maxSections),
	} {
		if reduced, _, err := reduce(text); err == nil {
			t.Errorf("%s: pion would hear of\n%s", name, reduced)
		}
	}
}

// TestFound holds that a candidate does not tell the address behind it, in the form that browsers understand.
func TestFound(t *testing.T) {
	for address, want := range map[string]string{"203.0.113.7": "raddr 0.0.0.0 rport 9", "2001:db8::7": "raddr :: rport 9"} {
		for _, typ := range []webrtc.ICECandidateType{webrtc.ICECandidateTypeSrflx, webrtc.ICECandidateTypeRelay} {
			c := found(&webrtc.ICECandidate{
				Typ: typ, Address: address, Port: 4000, Protocol: webrtc.ICEProtocolUDP, Component: 1, Foundation: "1",
				RelatedAddress: "192.168.1.9", RelatedPort: 5000,
			}, "0", 0, "frag")
			if strings.Contains(c.Candidate, "192.168.1.9") || !strings.Contains(c.Candidate, want) || !strings.HasPrefix(c.Candidate, "candidate:1 1 udp ") {
				t.Errorf("%s: %s", typ, c.Candidate)
			}
		}
	}
}

// FuzzReduce holds that whatever the other side describes, pion hears of one section for data, and the answer has the same
// sections in the same order.
func FuzzReduce(f *testing.F) {
	f.Add(browserOffer)
	f.Add(ours)
	f.Add(strings.Replace(browserOffer, "BUNDLE 0 1 2", "BUNDLE 2 1", 1))
	f.Add("v=0\r\no=- 0 0 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP x\r\na=mid:a\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		reduced, l, err := reduce(text)
		if err != nil {
			return
		}
		var d sdp.SessionDescription
		if err := d.UnmarshalString(reduced); err != nil {
			t.Fatalf("what pion hears of cannot be parsed: %v\n%s", err, reduced)
		}
		if len(d.MediaDescriptions) != 1 || len(d.MediaDescriptions[0].Attributes) > maxCandidates {
			t.Fatalf("pion hears of\n%s", reduced)
		}
		if mid, _ := d.MediaDescriptions[0].Attribute("mid"); !slices.Contains(l.bundle, mid) {
			t.Fatalf("the section %q is not on the transport %q", mid, l.bundle)
		}
		var offered sdp.SessionDescription
		if err := offered.UnmarshalString(text); err != nil {
			t.Fatal(err)
		}
		expanded, err := l.expand(ours)
		if err != nil {
			t.Fatal(err)
		}
		var answer sdp.SessionDescription
		if err := answer.UnmarshalString(expanded); err != nil {
			t.Fatalf("our answer cannot be parsed: %v\n%s", err, expanded)
		}
		if len(answer.MediaDescriptions) != len(offered.MediaDescriptions) {
			t.Fatalf("%d sections answer %d", len(answer.MediaDescriptions), len(offered.MediaDescriptions))
		}
		for i, m := range answer.MediaDescriptions {
			if m.MediaName.Media != offered.MediaDescriptions[i].MediaName.Media {
				t.Fatalf("section %d is %s, not %s", i, m.MediaName.Media, offered.MediaDescriptions[i].MediaName.Media)
			}
		}
		if strings.Count(asAnswer(reduced, "active"), "a=setup:active") > strings.Count(reduced, "a=setup:active")+1 {
			t.Fatalf("more than the role changed in\n%s", reduced)
		}
	})
}
