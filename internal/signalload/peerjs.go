package signalload

import "fmt"

// PeerJS is the protocol between clients of PeerJS 1.5 and their server.
type PeerJS struct{}

func (PeerJS) id(session int) string { return fmt.Sprintf("bench-%d", session) }

func (p PeerJS) request(session int) (target, subprotocol string) {
	return fmt.Sprintf("/peerjs?key=peerjs&id=%s&token=token%d&version=1.5.4", p.id(session), session), ""
}

func (PeerJS) greeting(int) (string, error) { return "", nil }

func (p PeerJS) greeted(session int, message []byte) (address string, ok bool) {
	typ, _ := stringField(message, "type")
	return p.id(session), typ == "OPEN"
}

func (PeerJS) entering(int) string { return "" }

func (PeerJS) entered([]byte) bool { return false }

func (p PeerJS) envelope(_ int, to string) (before, after string) {
	return `{"type":"OFFER","payload":{"sdp":{"type":"offer","sdp":"`, `"},"type":"data","connectionId":"dc_bench"},"dst":"` + to + `"}`
}

func (PeerJS) refusal(message []byte) *RefusedError {
	typ, _ := stringField(message, "type")
	switch typ {
	case "ERROR", "ID-TAKEN":
		detail, _ := stringField(message, "msg")
		return &RefusedError{Code: typ, Detail: detail}
	case "LEAVE", "EXPIRE":
		return &RefusedError{Code: typ, Detail: "the mate is not there"}
	}
	return nil
}

func (PeerJS) receipt([]byte, uint64) string { return "" }

func (PeerJS) farewell() string { return "" }
