package turnserver

import (
	"crypto/rand"
	"sync"
	"time"

	"turnpike/auth"
)

// reservationTime is how long a reserved port waits for its Allocate (RFC 8656 §7.2).
const reservationTime = 30 * time.Second

// A client that reserves in good faith has a few ports waiting at a time: the RTCP ports of a call.
const (
	maxReservations        = 1024
	maxReservationsOfOwner = 16
)

// reservationToken names a reserved port (RFC 8656 §18.10). It is random, so that nobody guesses it, and only its owner
// can use it.
type reservationToken [8]byte

// reservation is a port that the server keeps for an Allocate to come. Its socket is bound, so that no other program
// gets the port.
type reservation struct {
	// Static after construction.
	port    relayPort
	grant   auth.Grant // of the Allocate that made it
	holder  holder     // likewise
	expires clock
}

// reservations are the reserved ports of the whole server: the Allocate may come over another transport (RFC 8656
// §7.2).
type reservations struct {
	mu           sync.Mutex
	byToken      map[reservationToken]*reservation
	countByOwner map[holder]int
}

func newReservations() reservations {
	return reservations{byToken: make(map[reservationToken]*reservation), countByOwner: make(map[holder]int)}
}

// keep keeps a port, or reports false if there are too many already.
func (s *reservations) keep(r *reservation) (token reservationToken, ok bool) {
	_, _ = rand.Read(token[:]) // never fails
	who := r.holder
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byToken) >= maxReservations || s.countByOwner[who] >= maxReservationsOfOwner || s.byToken[token] != nil {
		return token, false
	}
	s.byToken[token] = r
	s.countByOwner[who]++
	return token, true
}

// claim hands a port over to its owner, once and in time.
func (s *reservations) claim(token reservationToken, g *auth.Grant, now clock) (*reservation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byToken[token]
	if r == nil || ownerOf(&r.grant) != ownerOf(g) || now >= r.expires {
		return nil, false
	}
	s.remove(token)
	return r, true
}

// endMatching gives back the ports that match.
func (s *reservations) endMatching(match func(*reservation) bool) {
	var ended []*reservation
	s.mu.Lock()
	for token, r := range s.byToken {
		if match(r) {
			s.remove(token)
			ended = append(ended, r)
		}
	}
	s.mu.Unlock()
	for _, r := range ended {
		r.port.close()
	}
}

// remove forgets a port. The caller holds mu.
func (s *reservations) remove(token reservationToken) {
	who := s.byToken[token].holder
	delete(s.byToken, token)
	if s.countByOwner[who]--; s.countByOwner[who] == 0 {
		delete(s.countByOwner, who)
	}
}
