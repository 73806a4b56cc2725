package wire

import (
	"bytes"
	"math"
)

// description is an RTCSessionDescriptionInit, its fields raw.
type description struct{ typ, sdp []byte }

func (d *description) slot(name []byte) *[]byte {
	switch string(name) {
	case "type":
		return &d.typ
	case "sdp":
		return &d.sdp
	}
	return nil
}

// candidate is an RTCIceCandidateInit, its fields raw.
type candidate struct{ candidate, sdpMid, sdpMLineIndex, usernameFragment []byte }

func (c *candidate) slot(name []byte) *[]byte {
	switch string(name) {
	case "candidate":
		return &c.candidate
	case "sdpMid":
		return &c.sdpMid
	case "sdpMLineIndex":
		return &c.sdpMLineIndex
	case "usernameFragment":
		return &c.usernameFragment
	}
	return nil
}

// walk fills d from an object.
func (d *description) walk(raw []byte) *FieldError {
	w := walker{data: raw}
	for w.next() {
		w.keep(d.slot(w.name))
	}
	return w.err
}

// walk fills c from an object.
func (c *candidate) walk(raw []byte) *FieldError {
	w := walker{data: raw}
	for w.next() {
		w.keep(c.slot(w.name))
	}
	return w.err
}

func checkDescription(raw []byte) *FieldError {
	var d description
	if err := d.walk(raw); err != nil {
		return err.within("description")
	}
	typ, err := word("description.type", d.typ, MaxID)
	if err != nil {
		return err
	}
	switch string(typ) {
	case "offer", "answer", "pranswer":
		return checkString("description.sdp", d.sdp)
	case "rollback": // takes no SDP, but browsers send an empty one
		if d.sdp == nil {
			return nil
		}
		return checkString("description.sdp", d.sdp)
	}
	return &FieldError{Field: "description.type", Problem: "must be offer, answer, pranswer or rollback"}
}

func checkCandidate(raw []byte) *FieldError {
	if isNull(raw) {
		return nil
	}
	var c candidate
	if err := c.walk(raw); err != nil {
		return err.within("candidate")
	}
	if err := checkString("candidate.candidate", c.candidate); err != nil {
		return err
	}
	if c.sdpMid != nil && !isNull(c.sdpMid) {
		if err := checkString("candidate.sdpMid", c.sdpMid); err != nil {
			return err
		}
	}
	if c.usernameFragment != nil && !isNull(c.usernameFragment) {
		if err := checkString("candidate.usernameFragment", c.usernameFragment); err != nil {
			return err
		}
	}
	if c.sdpMLineIndex != nil && !isNull(c.sdpMLineIndex) {
		_, err := integer("candidate.sdpMLineIndex", c.sdpMLineIndex, 0, math.MaxUint16)
		return err
	}
	return nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }

// Text is the text in which a signal's candidates stand: the SDP of its
// description or the attribute of its candidate. Empty if there is none in it.
func (m *Signal) Text() string {
	var raw []byte
	if m.Description != nil {
		var d description
		if d.walk(m.Description) == nil {
			raw = d.sdp
		}
	} else {
		var c candidate
		if c.walk(m.Candidate) == nil {
			raw = c.candidate
		}
	}
	// Only \u could hide the word; no other escape stands for a letter.
	if checkString("", raw) != nil || !bytes.Contains(raw, []byte("candidate:")) && !bytes.Contains(raw, []byte(`\u`)) {
		return ""
	}
	return unquote(raw)
}
