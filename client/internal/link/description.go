package link

import "strings"

// Description is an RTCSessionDescriptionInit with the names by which signal/PROTOCOL.md tells those that come too late.
type Description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
	ID   string `json:"id,omitempty"`
	To   string `json:"to,omitempty"`
}

// ConnectionOf returns the part of a description's ID that names the sender's connection.
func ConnectionOf(id string) string { return id[:max(0, strings.LastIndexByte(id, '.'))] }
