package wire

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"math/bits"
	"strconv"
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

// checkCandidate checks a candidate that is the value of a field.
func checkCandidate(field string, raw []byte) *FieldError {
	if isNull(raw) {
		return nil
	}
	var c candidate
	err := c.walk(raw)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return err.within(field)
	}
	return nil
}

func (c *candidate) check() *FieldError {
	if err := checkString("candidate", c.candidate); err != nil {
		return err
	}
	if c.sdpMid != nil && !isNull(c.sdpMid) {
		if err := checkString("sdpMid", c.sdpMid); err != nil {
			return err
		}
	}
	if c.usernameFragment != nil && !isNull(c.usernameFragment) {
		if err := checkString("usernameFragment", c.usernameFragment); err != nil {
			return err
		}
	}
	if c.sdpMLineIndex != nil && !isNull(c.sdpMLineIndex) {
		_, err := integer("sdpMLineIndex", c.sdpMLineIndex, 0, math.MaxUint16)
		return err
	}
	return nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }

// check returns an error unless there is exactly one payload, and it is well formed.
func (p *Payload) check() *FieldError {
	switch {
	case p.Candidate != nil && p.Description != nil:
		return &FieldError{Field: "candidate", Problem: "must not stand beside description"}
	case p.Candidates != nil && (p.Description != nil || p.Candidate != nil):
		return &FieldError{Field: "candidates", Problem: "must not stand beside description or candidate"}
	case p.Description != nil:
		return checkDescription(p.Description)
	case p.Candidate != nil:
		return checkCandidate("candidate", p.Candidate)
	case p.Candidates != nil:
		return checkCandidates(p.Candidates)
	}
	return &FieldError{Field: "description", Problem: "or candidate is missing"}
}

func checkCandidates(raw []byte) *FieldError {
	n := 0
	l := lister{data: raw}
	for l.next() {
		if n++; n > MaxCandidates {
			break
		}
		if err := checkCandidate("candidates", l.value); err != nil {
			return err
		}
	}
	if l.err || n == 0 || n > MaxCandidates {
		return &FieldError{Field: "candidates", Problem: "must be a list of 1 to " + strconv.Itoa(MaxCandidates)}
	}
	return nil
}

// Texts yields the texts that contain candidates: the SDP of a description, the attribute of a candidate.
func (p *Payload) Texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		switch {
		case p.Description != nil:
			var d description
			if d.walk(p.Description) == nil {
				yieldText(d.sdp, yield)
			}
		case p.Candidate != nil:
			yieldCandidate(p.Candidate, yield)
		default:
			for l := (lister{data: p.Candidates}); l.next(); {
				if !yieldCandidate(l.value, yield) {
					return
				}
			}
		}
	}
}

func yieldCandidate(raw []byte, yield func(string) bool) bool {
	var c candidate
	return isNull(raw) || c.walk(raw) != nil || yieldText(c.candidate, yield)
}

// yieldText passes over texts without candidates.
func yieldText(raw []byte, yield func(string) bool) bool {
	if checkString("", raw) != nil || !mayHaveCandidates(raw) {
		return true
	}
	return yield(unquote(raw))
}

const candidateWord = "candidate:"

// mayHaveCandidates reports whether the word is in a string, or a \u, the only escape that could hide a letter of it.
// That is done for every message: so it looks, eight bytes at a time, for the word's last two bytes and for \u.
func mayHaveCandidates(raw []byte) bool {
	i := 0
	for ; i+9 <= len(raw); i += 8 {
		w, next := binary.LittleEndian.Uint64(raw[i:]), binary.LittleEndian.Uint64(raw[i+1:])
		found := zeroBytes(w^ones*'e'|next^ones*':') | zeroBytes(w^ones*'\\'|next^ones*'u')
		for ; found != 0; found &= found - 1 {
			at := i + bits.TrailingZeros64(found)/8
			if raw[at] == '\\' || bytes.HasSuffix(raw[:at+2], []byte(candidateWord)) {
				return true
			}
		}
	}
	rest := raw[max(0, i-len(candidateWord)):]
	return bytes.Contains(rest, []byte(candidateWord)) || bytes.Contains(rest, []byte(`\u`))
}
