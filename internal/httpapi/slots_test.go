package httpapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	randv2 "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"example.org/turnpike/auth"
)

// slotsTest are slots with a clock of their own.
type slotsTest struct {
	*slots
	t    *testing.T
	time time.Time
}

func newSlotsTest(t *testing.T, numbers, each, perAddress int) *slotsTest {
	test := &slotsTest{t: t, time: time.Unix(1_800_000_000, 0)}
	test.slots = newSlots(numbers, each, perAddress, rand.Reader, func() time.Time { return test.time })
	return test
}

func (test *slotsTest) mustMake(user string) slot {
	test.t.Helper()
	made, err := test.make(ticketOf(user, auth.RoleMember), netip.MustParseAddr("203.0.113.5"), 1, slotMaxAge)
	if err != nil {
		test.t.Fatal(err)
	}
	return made
}

// TestNumbersComeAgain: the lowest free number is given, and none that ended within the last minute.
func TestNumbersComeAgain(t *testing.T) {
	test := newSlotsTest(t, 1000, 1000, 1000)
	for want := 1; want <= 70; want++ { // more than a word of bits
		if got := test.mustMake("ada").number; got != want {
			t.Fatalf("the number is %d, want %d", got, want)
		}
	}
	for _, burnt := range []int{66, 5, 9} {
		if err := test.burn(burnt, ticketOf("ada", auth.RoleMember)); err != nil {
			t.Fatal(err)
		}
		test.time = test.time.Add(time.Second)
	}
	test.time = test.time.Add(slotRests - 4*time.Second) // a second before the first is free
	if got := test.mustMake("ada").number; got != 71 {
		t.Errorf("the number is %d, want 71: the others rest", got)
	}
	test.time = test.time.Add(time.Second)
	if got := test.mustMake("ada").number; got != 66 {
		t.Errorf("the number is %d, want 66", got)
	}
	test.time = test.time.Add(2 * time.Second)
	for _, want := range []int{5, 9, 72} {
		if got := test.mustMake("ada").number; got != want {
			t.Errorf("the number is %d, want %d", got, want)
		}
	}
}

func TestRoomsCannotBeGuessed(t *testing.T) {
	test := newSlotsTest(t, 10, 10, 10)
	a, b := test.mustMake("ada"), test.mustMake("ada")
	if !auth.IsCodeRoom(a.room) || len(a.room) < len("code-1-")+16 || a.room[len("code-1-"):] == b.room[len("code-2-"):] {
		t.Errorf("the rooms are %q and %q", a.room, b.room)
	}
}

func TestSlotsRunOut(t *testing.T) {
	test := newSlotsTest(t, 10, 10, 10)
	made := test.mustMake("ada")
	test.time = made.expires.Add(-time.Nanosecond)
	if _, err := test.find(made.number); err != nil {
		t.Errorf("just before its time is over: %v", err)
	}
	test.time = made.expires
	for what, err := range map[string]error{
		"find": second(test.find(made.number)), "take": second(test.take(made.number)),
		"renew": second(test.renew(made.number, made.maker, 1)), "burn": test.burn(made.number, made.maker),
	} {
		if !errors.Is(err, errNoSuchCode) {
			t.Errorf("%s, once its time is over: %v", what, err)
		}
	}
	if made.expires != made.until.Add(slotTTL-slotMaxAge) {
		t.Errorf("it runs out at %v and ends for good at %v", made.expires, made.until)
	}
}

func second(_ slot, err error) error { return err }

// TestRenewedSlots live on, in any order, but not for ever.
func TestRenewedSlots(t *testing.T) {
	test := newSlotsTest(t, 10, 10, 10)
	a, b := test.mustMake("ada"), test.mustMake("ada")
	test.time = test.time.Add(slotTTL - time.Second)
	if _, err := test.renew(a.number, a.maker, -1); err != nil {
		t.Fatal(err)
	}
	test.time = test.time.Add(time.Second)
	if _, err := test.find(b.number); !errors.Is(err, errNoSuchCode) {
		t.Errorf("the one that nobody renewed: %v", err)
	}
	for test.time.Add(slotTTL).Before(a.until) {
		renewed, err := test.renew(a.number, a.maker, -1)
		if err != nil || renewed.expires != test.time.Add(slotTTL) || renewed.left != 1 {
			t.Fatalf("at %v: %+v, %v", test.time, renewed, err)
		}
		test.time = test.time.Add(slotTTL - time.Second)
	}
	last, err := test.renew(a.number, a.maker, -1)
	if err != nil || last.expires != a.until {
		t.Errorf("the last time it runs out at %v, want %v: %v", last.expires, a.until, err)
	}
	test.time = a.until
	if _, err := test.renew(a.number, a.maker, -1); !errors.Is(err, errNoSuchCode) {
		t.Errorf("after a day: %v", err)
	}
}

// TestSeats: the room has a place for the maker, and for each who came or may come.
func TestSeats(t *testing.T) {
	test := newSlotsTest(t, 10, 10, 10)
	made := test.mustMake("ada")
	if got := made.seats(); got != 2 {
		t.Errorf("%d seats, want 2", got)
	}
	taken, err := test.take(made.number)
	if err != nil || taken.left != 0 || taken.seats() != 2 {
		t.Errorf("taken: %d left, %d seats: %v", taken.left, taken.seats(), err)
	}
	if _, err := test.take(made.number); !errors.Is(err, errCodeUsed) {
		t.Errorf("taken again: %v", err)
	}
	again, err := test.renew(made.number, made.maker, 1) // the first may still be in the room
	if err != nil || again.seats() != 3 {
		t.Errorf("%d seats, want 3: %v", again.seats(), err)
	}
	nobody, err := test.renew(made.number, made.maker, 0)
	if err != nil || nobody.seats() != 2 || nobody.left != 0 {
		t.Errorf("%d seats, %d left: %v", nobody.seats(), nobody.left, err)
	}
	for range 40 {
		if _, err := test.renew(made.number, made.maker, 1); err != nil {
			t.Fatal(err)
		}
		if taken, err = test.take(made.number); err != nil || taken.seats() > auth.MaxSeats {
			t.Fatalf("%d seats: %v", taken.seats(), err)
		}
	}
}

func TestBoundsOfSlots(t *testing.T) {
	test := newSlotsTest(t, 6, 2, 3)
	member := func(user string) auth.Ticket { return ticketOf(user, auth.RoleMember) }
	add := func(user, address string) error {
		return second(test.make(member(user), netip.MustParseAddr(address), 1, slotMaxAge))
	}
	const here, there = "203.0.113.5", "203.0.113.6"
	for i, try := range []struct {
		user, address string
		want          error
	}{
		{"ada", here, nil}, {"ada", here, nil}, {"ada", there, errUserCodes},
		{"bob", here, nil}, {"cy", here, errAddressCodes},
		{"cy", there, nil}, {"cy", there, nil}, {"dan", there, nil}, {"eve", "203.0.113.7", errCodesFull},
	} {
		if err := add(try.user, try.address); !errors.Is(err, try.want) {
			t.Fatalf("%d: %s from %s: %v, want %v", i, try.user, try.address, err, try.want)
		}
	}
	if err := test.burn(1, member("ada")); err != nil {
		t.Fatal(err)
	}
	if err := add("ada", here); !errors.Is(err, errCodesFull) {
		t.Errorf("a number that rests was given out: %v", err)
	}
	test.time = test.time.Add(slotRests)
	if err := add("ada", here); err != nil {
		t.Errorf("the bounds did not notice that a code was burnt: %v", err)
	}
	test.time = test.time.Add(slotTTL + slotRests)
	for _, user := range []string{"ada", "ada", "bob"} {
		if err := add(user, here); err != nil {
			t.Errorf("the bounds did not notice that all codes ran out: %v", err)
		}
	}
}

// TestBoundsOfNetworks: a customer with many IPv6 networks has a bound, too.
func TestBoundsOfNetworks(t *testing.T) {
	test := newSlotsTest(t, 1000, 1000, 2)
	made := 0
	for i := range 100 {
		address := netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%x::1", i))
		for range 3 {
			if _, err := test.make(ticketOf("ada", auth.RoleMember), address, 1, slotMaxAge); err == nil {
				made++
			} else if !errors.Is(err, errAddressCodes) {
				t.Fatal(err)
			}
		}
	}
	if made != 2*4 {
		t.Errorf("a /56 has %d codes, want 8", made)
	}
}

// TestSlotsKeepCount does random things, and compares with a plain model.
func TestSlotsKeepCount(t *testing.T) {
	test := newSlotsTest(t, 100, 8, math.MaxInt)
	random := randv2.New(randv2.NewPCG(1, 2))
	model := map[int]slot{}
	users := []string{"ada", "bob", "cy"}
	for range 20_000 {
		test.time = test.time.Add(time.Duration(random.IntN(40)) * time.Second)
		for number, s := range model {
			if !test.time.Before(s.expires) {
				delete(model, number)
			}
		}
		user, number := users[random.IntN(len(users))], 1+random.IntN(30)
		maker := ticketOf(user, auth.RoleMember)
		has := 0
		for _, s := range model {
			if s.maker.User == maker.User {
				has++
			}
		}
		known, lives := model[number]
		switch random.IntN(3) {
		case 0:
			made, err := test.make(maker, netip.MustParseAddr("203.0.113.5"), 1, slotMaxAge)
			if _, twice := model[made.number]; (err == nil) != (has < 8) || twice {
				t.Fatalf("%s, who has %d, makes number %d: %v", user, has, made.number, err)
			}
			if err == nil {
				model[made.number] = made
			}
		case 1:
			renewed, err := test.renew(number, maker, -1)
			if (err == nil) != (lives && known.maker.User == maker.User) {
				t.Fatalf("%s renews number %d of %v: %v", user, number, known.maker.User, err)
			}
			if err == nil {
				model[number] = renewed
			}
		case 2:
			if err := test.burn(number, maker); (err == nil) != (lives && known.maker.User == maker.User) {
				t.Fatalf("%s burns number %d of %v: %v", user, number, known.maker.User, err)
			} else if err == nil {
				delete(model, number)
			}
		}
	}
	test.time = test.time.Add(slotMaxAge + slotRests)
	_, _ = test.find(1)
	if len(test.live)+test.oldest.Len()+test.resting.Len()+len(test.users)+len(test.addresses) != 0 {
		t.Errorf("left in the end: %d live, %d with an age, %d rest, users %v, addresses %v", len(test.live), test.oldest.Len(), test.resting.Len(), test.users, test.addresses)
	}
}
