package turnserver

import "github.com/pion/stun/v3"

// Values of PASSWORD-ALGORITHM (RFC 8489 §14.12, §18.5): a number, and that no parameters follow.
const (
	algorithmMD5    = "\x00\x01\x00\x00"
	algorithmSHA256 = "\x00\x02\x00\x00"

	// offeredAlgorithms is the value of PASSWORD-ALGORITHMS in every challenge, the best first.
	offeredAlgorithms = algorithmSHA256 + algorithmMD5
)

// passwordAlgorithm is what a request says of how its key was made.
type passwordAlgorithm struct {
	chosen bool // the request has PASSWORD-ALGORITHM: the client knows RFC 8489
	sha256 bool // its key is SHA-256 of the credential, else MD5
}

// readPasswordAlgorithm reads PASSWORD-ALGORITHM and the PASSWORD-ALGORITHMS that comes with it. It reports false unless a client has
// copied the list that it was offered, and chosen from that: then somebody on the way has shortened the list, to have a weaker
// algorithm chosen (RFC 8489 §9.2.1, §9.2.4). A request with neither is an older client's.
func readPasswordAlgorithm(m *stun.Message) (p passwordAlgorithm, ok bool) {
	offered, haveOffered := m.Attributes.Get(stun.AttrPasswordAlgorithms)
	chosen, haveChosen := m.Attributes.Get(stun.AttrPasswordAlgorithm)
	if !haveOffered && !haveChosen {
		return p, true
	}
	p.chosen, p.sha256 = true, string(chosen.Value) == algorithmSHA256
	ok = haveOffered && string(offered.Value) == offeredAlgorithms && (p.sha256 || string(chosen.Value) == algorithmMD5)
	return p, ok
}

// integrityType is how the answer to a request is signed (RFC 8489 §9.2.4): in the new way if the client is known to know it.
func (p passwordAlgorithm) integrityType() stun.AttrType {
	if p.chosen {
		return stun.AttrMessageIntegritySHA256
	}
	return stun.AttrMessageIntegrity
}
