// Package spake2 is SPAKE2 (RFC 9382) on P-256 with SHA-256, HKDF and HMAC: two sides find out over any connection whether they know
// the same few words. Each run is one guess for a side that does not, and nothing that was said can be tried offline.
//
//	Start(A, password) ── Share ─────────▶ pA ─┐     ┌─ pB ◀───── Share ── Start(B, password)
//	Finish(pB) ── Confirmation ──────────▶ cA ─┼─────┼─ cB ◀── Confirmation ── Finish(pA)
//	Confirms(cB)                               └─────┘                           Confirms(cA)
//
// Both sides must confirm. Its key is not used: the additional data names the connection, and the two confirmations prove that both
// sides see the same one.
package spake2

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"filippo.io/bigmod"
	"filippo.io/nistec"
)

const (
	// ShareSize is the length of pA and pB: points of P-256, not compressed.
	ShareSize = 65
	// ConfirmationSize is the length of cA and cB.
	ConfirmationSize = sha256.Size

	scalarSize = 32
	// wideSize is so much longer than a scalar that what is left of its division by the order is uniform.
	wideSize = 48
	keySize  = 16
)

// Points and numbers of RFC 9382 §6 and of P-256.
const (
	pointM = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f"
	pointN = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49"
	order  = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
)

var (
	// ErrShare says that the other side's share is no point that it could have drawn.
	ErrShare = errors.New("the other side's share is no point of P-256 that a side could have drawn")
	errSpent = errors.New("this side's share was used already")
)

// Role is one of the two sides, which differ in what blinds their shares.
type Role int

// The two sides.
const (
	A Role = iota + 1
	B
)

// Identities name the two sides in what they confirm.
type Identities struct{ A, B string }

// Password is what both sides must know, as a number below the order of P-256. It prints as [redacted].
type Password struct {
	// w is behind a function, because fmt prints unexported fields of somebody's struct without asking our methods.
	w func() [scalarSize]byte
}

// NewPassword derives the number from a secret: 48 bytes of HKDF, as a big-endian integer modulo the order. info tells uses apart.
func NewPassword(secret []byte, info string) (Password, error) {
	wide, err := hkdf.Key(sha256.New, secret, nil, info, wideSize)
	if err != nil {
		return Password{}, fmt.Errorf("derive a password: %w", err)
	}
	limit, err := bigmod.NewModulus(append([]byte{1}, make([]byte, wideSize)...))
	if err != nil {
		return Password{}, err
	}
	x, err := bigmod.NewNat().SetBytes(wide, limit)
	if err != nil {
		return Password{}, err
	}
	n, err := bigmod.NewModulus(decode(order))
	if err != nil {
		return Password{}, err
	}
	return passwordOf([scalarSize]byte(bigmod.NewNat().Mod(x, n).Bytes(n))), nil
}

func passwordOf(w [scalarSize]byte) Password { return Password{func() [scalarSize]byte { return w }} }

// Exchange is one side of one run. It prints as [redacted].
type Exchange struct {
	role       Role
	identities Identities
	additional []byte
	share      []byte
	spent      bool
	secrets    func() *secrets
}

type secrets struct {
	w, ephemeral [scalarSize]byte
}

// Start begins a run. additional is data that both sides must see alike: what tells this connection from all others.
func Start(role Role, password Password, identities Identities, additional []byte) (*Exchange, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader) // Its private half is uniform between 1 and the order.
	if err != nil {
		return nil, fmt.Errorf("draw a number: %w", err)
	}
	return start(role, password, identities, additional, [scalarSize]byte(key.Bytes()))
}

func start(role Role, password Password, identities Identities, additional []byte, ephemeral [scalarSize]byte) (*Exchange, error) {
	if role != A && role != B || password.w == nil {
		return nil, errors.New("a run of SPAKE2 needs a role and a password")
	}
	s := &secrets{password.w(), ephemeral}
	e := &Exchange{role: role, identities: identities, additional: slices.Clone(additional), secrets: func() *secrets { return s }}
	drawn, err := nistec.NewP256Point().ScalarBaseMult(s.ephemeral[:])
	if err != nil {
		return nil, err
	}
	blind, err := e.blind(role)
	if err != nil {
		return nil, err
	}
	e.share = drawn.Add(drawn, blind).Bytes()
	return e, nil
}

// blind returns the point that a role adds to what it has drawn: w*M or w*N.
func (e *Exchange) blind(role Role) (*nistec.P256Point, error) {
	text := pointM
	if role == B {
		text = pointN
	}
	point, err := nistec.NewP256Point().SetBytes(decode(text))
	if err != nil {
		return nil, err
	}
	return point.ScalarMult(point, e.secrets().w[:])
}

// Share is what the other side must get.
func (e *Exchange) Share() []byte { return slices.Clone(e.share) }

// Finish takes the other side's share. It works once: a share answers one other share. Its error is [ErrShare] for bytes that no
// honest side sends.
func (e *Exchange) Finish(theirs []byte) (*Confirmer, error) {
	if e.spent {
		return nil, errSpent
	}
	e.spent = true
	k, err := e.common(theirs)
	if err != nil {
		return nil, err
	}
	pA, pB := e.share, theirs
	if e.role == B {
		pA, pB = theirs, e.share
	}
	w := e.secrets().w
	keys, err := keysOf(transcript([]byte(e.identities.A), []byte(e.identities.B), pA, pB, k, w[:]), e.additional)
	if err != nil {
		return nil, err
	}
	own, expected := keys.cA, keys.cB
	if e.role == B {
		own, expected = expected, own
	}
	*e.secrets() = secrets{}
	return &Confirmer{own: own, expected: func() []byte { return expected }}, nil
}

// common returns K, the point that both sides have in common if their passwords are the same. P-256 has the cofactor 1.
func (e *Exchange) common(theirs []byte) ([]byte, error) {
	// No other length: a compressed point would be another transcript, and one byte is the point at infinity.
	if len(theirs) != ShareSize {
		return nil, ErrShare
	}
	share, err := nistec.NewP256Point().SetBytes(theirs)
	if err != nil {
		return nil, ErrShare
	}
	blind, err := e.blind(A + B - e.role)
	if err != nil {
		return nil, err
	}
	k := share.Add(share, blind.Negate(blind))
	if k, err = k.ScalarMult(k, e.secrets().ephemeral[:]); err != nil {
		return nil, err
	}
	if k.IsInfinity() == 1 {
		return nil, ErrShare
	}
	return k.Bytes(), nil
}

// transcript is TT: each part after its length in eight bytes, the smallest first.
func transcript(parts ...[]byte) (all []byte) {
	for _, part := range parts {
		all = binary.LittleEndian.AppendUint64(all, uint64(len(part)))
		all = append(all, part...)
	}
	return all
}

// keys are those of RFC 9382 §4.
type keys struct {
	ke, ka, kcA, kcB []byte
	cA, cB           []byte
}

func keysOf(transcript, additional []byte) (k keys, err error) {
	sum := sha256.Sum256(transcript)
	k.ke, k.ka = sum[:keySize], sum[keySize:]
	kc, err := hkdf.Key(sha256.New, k.ka, nil, "ConfirmationKeys"+string(additional), 2*keySize)
	if err != nil {
		return keys{}, fmt.Errorf("derive the keys of the confirmations: %w", err)
	}
	k.kcA, k.kcB = kc[:keySize], kc[keySize:]
	k.cA, k.cB = mac(k.kcA, transcript), mac(k.kcB, transcript)
	return k, nil
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// Confirmer has the confirmations of a run.
type Confirmer struct {
	own      []byte
	expected func() []byte
}

// Confirmation proves to the other side that this side knows the password.
func (c *Confirmer) Confirmation() []byte { return slices.Clone(c.own) }

// Confirms reports whether the other side has proved the same. It takes as long for each guess.
func (c *Confirmer) Confirms(theirs []byte) bool { return hmac.Equal(theirs, c.expected()) }

// decode reads a constant.
func decode(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic("spake2: a constant is no hexadecimal number: " + err.Error())
	}
	return b
}
