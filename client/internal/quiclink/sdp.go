package quiclink

import (
	"errors"
	"strings"
)

// Values of a=setup (RFC 4145). The active side is QUIC's client.
const (
	active  = "active"
	passive = "passive"
	either  = "actpass"
)

const (
	// section is the only one of a description. pion/sdp refuses it, since UDP/QUIC is not registered.
	section = "m=application 9 UDP/QUIC turnpike-peer"
	// maxSDP is more than a description needs.
	maxSDP = 4 << 10
)

// terms are what a description says.
type terms struct {
	ufrag, pwd  string
	fingerprint fingerprint
	setup       string
}

// marshal writes a minimal SDP.
func (t terms) marshal() string {
	return strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
		section, "c=IN IP4 0.0.0.0", "a=mid:0",
		"a=ice-ufrag:" + t.ufrag, "a=ice-pwd:" + t.pwd, "a=ice-options:trickle",
		"a=fingerprint:sha-256 " + t.fingerprint.String(), "a=setup:" + t.setup, "",
	}, "\r\n")
}

// parseTerms reads the other side's SDP. An attribute before the section is for it too; of two, the last counts. Lines that
// it does not know it passes over.
func parseTerms(s string) (t terms, err error) {
	if len(s) > maxSDP || !strings.HasPrefix(s, "v=0") {
		return t, errors.New("the description is not SDP, or too long")
	}
	sections := 0
	attributes := map[string]string{}
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == section:
			sections++
		case strings.HasPrefix(line, "m="):
			return t, errors.New("the description has another section than that of turnpike-peer over UDP/QUIC")
		case strings.HasPrefix(line, "a="):
			key, value, _ := strings.Cut(line[2:], ":")
			attributes[key] = value
		}
	}
	if sections != 1 {
		return t, errors.New("the description must have one section")
	}
	t.ufrag, t.pwd, t.setup = attributes["ice-ufrag"], attributes["ice-pwd"], attributes["setup"]
	if !iceWord(t.ufrag, 4) || !iceWord(t.pwd, 22) {
		return t, errors.New("the description has no valid ICE credentials")
	}
	if t.setup != active && t.setup != passive && t.setup != either {
		return t, errors.New("the description says nothing valid of setup")
	}
	hash, value, _ := strings.Cut(attributes["fingerprint"], " ")
	if !strings.EqualFold(hash, "sha-256") {
		return t, errors.New("the description has no sha-256 fingerprint")
	}
	t.fingerprint, err = parseFingerprint(value)
	return t, err
}

// iceWord tells whether s is made of ice-char, and of a length that RFC 8839 §5.4 allows.
func iceWord(s string, least int) bool {
	if len(s) < least || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}
