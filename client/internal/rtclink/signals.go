package rtclink

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// Bounds of what the other side signals.
const (
	maxCandidates    = 100 // of one description
	maxCandidateText = 1024
	maxWaiting       = 1024 // payloads that are not handled yet
)

// candidate is an RTCIceCandidateInit.
type candidate struct {
	Candidate        string `json:"candidate"`
	SDPMid           string `json:"sdpMid"`
	SDPMLineIndex    int    `json:"sdpMLineIndex"`
	UsernameFragment string `json:"usernameFragment,omitempty"`
}

// theirCandidate is what counts of a candidate that the other side has found: the section does not matter in a bundle.
type theirCandidate struct{ Candidate, UsernameFragment string }

// parsePayload returns the description of a payload, or else its candidates, without those that end the list.
func parsePayload(p wire.Payload) (*link.Description, []theirCandidate, error) {
	if p.Description != nil {
		var d link.Description
		if err := json.Unmarshal(p.Description, &d); err != nil {
			return nil, nil, fmt.Errorf("parse a description: %w", err)
		}
		if d.Type != "offer" && d.Type != "answer" {
			return nil, nil, fmt.Errorf("a description is neither an offer nor an answer, but %q", d.Type)
		}
		return &d, nil, nil
	}
	list := []json.RawMessage{p.Candidate}
	if p.Candidates != nil {
		if err := json.Unmarshal(p.Candidates, &list); err != nil {
			return nil, nil, fmt.Errorf("parse candidates: %w", err)
		}
	}
	var found []theirCandidate
	for _, raw := range list {
		var c theirCandidate
		if len(raw) == 0 {
			continue
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, nil, fmt.Errorf("parse a candidate: %w", err)
		}
		if c.Candidate != "" && len(c.Candidate) <= maxCandidateText && len(found) < wire.MaxCandidates {
			found = append(found, c)
		}
	}
	return nil, found, nil
}

// payloadOf encodes what cannot fail.
func payloadOf(d link.Description) wire.Payload {
	raw, _ := json.Marshal(d)
	return wire.Payload{Description: raw}
}

// found returns a candidate as the other side must hear of it: without the address behind a mapped or relayed one, which nobody
// needs, and which relays only are there to hide. RFC 8839 §5.1 says what takes its place; Firefox refuses to miss it.
func found(c *webrtc.ICECandidate, mid string, index int, ufrag string) candidate {
	if c.RelatedAddress != "" {
		c.RelatedAddress, c.RelatedPort = "0.0.0.0", 9
		if strings.Contains(c.Address, ":") {
			c.RelatedAddress = "::"
		}
	}
	return candidate{Candidate: c.ToJSON().Candidate, SDPMid: mid, SDPMLineIndex: index, UsernameFragment: ufrag}
}
