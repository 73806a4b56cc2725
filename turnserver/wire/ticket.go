package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// A mobility ticket (RFC 8016 §3.1) is a serial number, encrypted, with a MAC of it, in base64. Coturn's client takes
// it for a string, so it is text, and of at most 32 bytes. A ticket tells its holder nothing, and nobody else can make
// one. The server looks up the allocation that it is for. The encryption is deterministic, with the MAC for its nonce,
// as in SIV (RFC 5297).
const (
	serialSize    = 8
	ticketMACSize = 16
	TicketSize    = (serialSize + ticketMACSize) * 4 / 3
)

// Ticket is a mobility ticket.
type Ticket [TicketSize]byte

// TicketKey seals tickets. Each process has its own, as it has its own allocations.
type TicketKey [sha256.Size]byte

// NewTicketKey makes a key at random.
func NewTicketKey() (k TicketKey) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// Seal makes the ticket with a serial number.
func (k *TicketKey) Seal(serial uint64) (t Ticket) {
	var raw [serialSize + ticketMACSize]byte
	binary.BigEndian.PutUint64(raw[:], serial)
	mac := k.sum("mac", raw[:serialSize])
	copy(raw[serialSize:], mac[:])
	k.encrypt(&raw)
	base64.RawURLEncoding.Encode(t[:], raw[:])
	return t
}

// Open returns the serial number of a ticket, or reports false if this process has made no such ticket.
func (k *TicketKey) Open(b []byte) (serial uint64, ok bool) {
	var raw [serialSize + ticketMACSize]byte
	if len(b) != TicketSize {
		return 0, false
	}
	if n, err := base64.RawURLEncoding.Decode(raw[:], b); n != len(raw) || err != nil {
		return 0, false
	}
	k.encrypt(&raw)
	mac := k.sum("mac", raw[:serialSize])
	return binary.BigEndian.Uint64(raw[:]), hmac.Equal(raw[serialSize:], mac[:ticketMACSize])
}

// encrypt encrypts the serial number before a MAC, or decrypts it.
func (k *TicketKey) encrypt(raw *[serialSize + ticketMACSize]byte) {
	mask := k.sum("serial", raw[serialSize:])
	for i := range serialSize {
		raw[i] ^= mask[i]
	}
}

func (k *TicketKey) sum(purpose string, data []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(purpose))
	mac.Write(data)
	mac.Sum(sum[:0])
	return sum
}
