package httpapi

import (
	"container/list"
	"errors"
	"io"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"example.org/turnpike/auth"
)

const (
	slotTTL    = 10 * time.Minute // of a slot that its maker does not renew
	slotMaxAge = 24 * time.Hour   // of one that it does
	slotRests  = time.Minute      // before a number is given out again: somebody may still type the former code
)

var (
	errNoSuchCode   = errors.New("there is no such code")
	errCodeUsed     = errors.New("as many have come as may")
	errNotMaker     = errors.New("another user has made the code")
	errCodesFull    = errors.New("no number is free")
	errUserCodes    = errors.New("the user has as many codes as it may")
	errAddressCodes = errors.New("the address has as many codes as it may")
)

// slots are what the numbers of codes stand for. They are in memory alone. Nothing here knows the words of a code.
//
//	free ──make──▶ live ──take, renew──▶ live ──burn, or ten minutes──▶ rests ──a minute──▶ free
type slots struct {
	each, perAddress int
	now              func() time.Time
	rand             io.Reader

	mu        sync.Mutex
	used      []uint64 // guarded by mu, as all below: a bit for each number from 1, of those that live or rest
	numbers   int
	live      map[int]*slot
	oldest    list.List // of *slot: those that live, the one that was made or renewed first in front
	resting   list.List // of restingNumber, the first to be free in front
	users     map[string]int
	addresses map[netip.Prefix]int
}

// slot admits guests to a room.
type slot struct {
	number  int
	room    string
	maker   auth.Ticket
	address netip.Addr
	left    int // how many may still come
	came    int
	expires time.Time
	until   time.Time // when it can be renewed no more
	age     *list.Element
}

// seats are those of the room: for the maker, for those who came, and for those who may come.
func (s *slot) seats() int { return min(auth.MaxSeats, 1+s.came+s.left) }

type restingNumber struct {
	number int
	until  time.Time
}

func newSlots(numbers, each, perAddress int, rand io.Reader, now func() time.Time) *slots {
	return &slots{
		numbers: numbers, each: each, perAddress: perAddress, rand: rand, now: now,
		live: map[int]*slot{}, users: map[string]int{}, addresses: map[netip.Prefix]int{},
	}
}

// make makes a slot that admits so many. It lives no longer than most.
func (s *slots) make(maker auth.Ticket, address netip.Addr, receivers int, most time.Duration) (slot, error) {
	id := auth.NewCodeRoomID(s.rand)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(now)
	user := maker.User.String()
	if s.users[user] >= s.each {
		return slot{}, errUserCodes
	}
	ranges := auth.AddressRanges(address)
	for _, r := range ranges {
		if s.addresses[r.Prefix] >= s.perAddress*r.Share {
			return slot{}, errAddressCodes
		}
	}
	number := s.lowestFree()
	if number == 0 {
		return slot{}, errCodesFull
	}
	made := &slot{number: number, room: auth.CodeRoom(number, id), maker: maker, address: address, left: receivers, until: now.Add(min(most, slotMaxAge))}
	made.expires = earlier(now.Add(slotTTL), made.until)
	s.setUsed(number, true)
	s.live[number] = made
	made.age = s.oldest.PushBack(made)
	s.users[user]++
	for _, r := range ranges {
		s.addresses[r.Prefix]++
	}
	return *made, nil
}

// find returns a slot that lives.
func (s *slots) find(number int) (slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.look(number)
	if err != nil {
		return slot{}, err
	}
	return *found, nil
}

// take counts one who comes.
func (s *slots) take(number int) (slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.look(number)
	if err != nil {
		return slot{}, err
	}
	if found.left == 0 {
		return slot{}, errCodeUsed
	}
	found.left--
	found.came++
	return *found, nil
}

// renew has the ten minutes of a slot begin anew. Unless receivers is negative, it is how many more may come from now on.
func (s *slots) renew(number int, maker auth.Ticket, receivers int) (slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.own(number, maker)
	if err != nil {
		return slot{}, err
	}
	if receivers >= 0 {
		found.left = receivers
	}
	found.maker = maker
	found.expires = earlier(s.now().Add(slotTTL), found.until)
	s.oldest.MoveToBack(found.age)
	return *found, nil
}

// burn ends a slot.
func (s *slots) burn(number int, maker auth.Ticket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.own(number, maker)
	if err == nil {
		s.end(found, s.now())
	}
	return err
}

// look finds a slot that lives. mu is held.
func (s *slots) look(number int) (*slot, error) {
	s.sweep(s.now())
	if found := s.live[number]; found != nil && s.now().Before(found.expires) {
		return found, nil
	}
	return nil, errNoSuchCode
}

// own finds a slot of a user. mu is held.
func (s *slots) own(number int, maker auth.Ticket) (*slot, error) {
	found, err := s.look(number)
	if err == nil && found.maker.User != maker.User {
		return nil, errNotMaker
	}
	return found, err
}

// sweep ends what has run out, and frees what has rested. Each slot costs this once. mu is held.
func (s *slots) sweep(now time.Time) {
	for e := s.oldest.Front(); e != nil && !now.Before(e.Value.(*slot).expires); e = s.oldest.Front() {
		s.end(e.Value.(*slot), e.Value.(*slot).expires)
	}
	for e := s.resting.Front(); e != nil && !now.Before(e.Value.(restingNumber).until); e = s.resting.Front() {
		s.setUsed(e.Value.(restingNumber).number, false)
		s.resting.Remove(e)
	}
}

// end has a slot's number rest from a time on. mu is held.
func (s *slots) end(old *slot, from time.Time) {
	delete(s.live, old.number)
	s.oldest.Remove(old.age)
	s.resting.PushBack(restingNumber{old.number, from.Add(slotRests)})
	countDown(s.users, old.maker.User.String())
	for _, r := range auth.AddressRanges(old.address) {
		countDown(s.addresses, r.Prefix)
	}
}

// lowestFree returns the lowest number that neither lives nor rests; 0: there is none. mu is held.
func (s *slots) lowestFree() int {
	for i, word := range s.used {
		if free := bits.TrailingZeros64(^word); free < 64 {
			return s.within(64*i + free + 1)
		}
	}
	return s.within(64*len(s.used) + 1)
}

func (s *slots) within(number int) int {
	if number > s.numbers {
		return 0
	}
	return number
}

func (s *slots) setUsed(number int, used bool) {
	at, bit := (number-1)/64, uint64(1)<<((number-1)%64)
	if at == len(s.used) {
		s.used = append(s.used, 0)
	}
	if used {
		s.used[at] |= bit
	} else {
		s.used[at] &^= bit
	}
}

func countDown[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
