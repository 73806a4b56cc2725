package wire

import "github.com/pion/stun/v3"

// Values of PASSWORD-ALGORITHM (RFC 8489 §14.12, §18.5): a number, and no parameters.
const (
	AlgorithmMD5    = "\x00\x01\x00\x00"
	AlgorithmSHA256 = "\x00\x02\x00\x00"

	// OfferedAlgorithms is the value of PASSWORD-ALGORITHMS in every challenge, the best first.
	OfferedAlgorithms = AlgorithmSHA256 + AlgorithmMD5
)

// PasswordAlgorithm says how the key of a request was made.
type PasswordAlgorithm struct {
	chosen bool // the request has PASSWORD-ALGORITHM: the client knows RFC 8489
	SHA256 bool // the key is SHA-256 of the credential, else MD5
}

// ReadPasswordAlgorithm reads PASSWORD-ALGORITHM and the PASSWORD-ALGORITHMS that comes with it. A client must copy the
// list that it was offered, and choose from it. If it did not, ReadPasswordAlgorithm reports false: somebody on the way
// may have shortened the list, so that the client chooses a weaker algorithm (RFC 8489 §9.2.1, §9.2.4). A request with
// neither attribute comes from an older client.
func ReadPasswordAlgorithm(m *stun.Message) (p PasswordAlgorithm, ok bool) {
	offered, haveOffered := m.Attributes.Get(stun.AttrPasswordAlgorithms)
	chosen, haveChosen := m.Attributes.Get(stun.AttrPasswordAlgorithm)
	if !haveOffered && !haveChosen {
		return p, true
	}
	p.chosen, p.SHA256 = true, string(chosen.Value) == AlgorithmSHA256
	ok = haveOffered && string(offered.Value) == OfferedAlgorithms && (p.SHA256 || string(chosen.Value) == AlgorithmMD5)
	return p, ok
}

// IntegrityType is the attribute that signs the answer (RFC 8489 §9.2.4): the new one if the request shows that its
// client knows it.
func (p PasswordAlgorithm) IntegrityType() stun.AttrType {
	if p.chosen {
		return stun.AttrMessageIntegritySHA256
	}
	return stun.AttrMessageIntegrity
}
