package signal

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"turnpike/auth"
	"turnpike/signal/wire"
)

// says makes users as expect shows them, whose ids and names are the same.
func says(names ...string) string {
	text := "["
	for i, name := range names {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("map[name:%s user:turnpike:%s]", name, name)
	}
	return text + "]"
}

func (c *client) leaveForGood() {
	c.t.Helper()
	c.send(msg{"type": "bye"})
	c.expectClose(wire.CloseBye)
}

// TestPresenceInBatches holds that what happens within presenceDelay is told
// at once, and that who came and went is not told of.
func TestPresenceInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		ann, old, brief := h.member("ann"), h.member("old"), h.member("brief")
		ann.expect("online", "users", says("old", "brief"))
		old.expect("online", "users", says("brief"))
		synctest.Wait()

		start := time.Now()
		brief.leaveForGood()
		h.member("bob")
		h.guest("gast")
		h.guest("moment").leaveForGood()
		brief = h.member("brief") // back before anybody missed it
		old.leaveForGood()
		ann.expect("online", "users", says("bob", "gast"))
		ann.expect("offline", "users", says("old"))
		if took := time.Since(start); took != presenceDelay {
			t.Errorf("told after %v, want %v", took, presenceDelay)
		}
		time.Sleep(10 * presenceDelay)
		ann.expectNothing()
		// brief was welcomed in the middle, and is told what came after.
		brief.expect("offline", "users", says("old"))
		brief.expectNothing()
	})
}

// TestPresenceAfterWelcome holds that a welcome and what follows it make a whole,
// though much happens within one batch.
func TestPresenceAfterWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		there := h.member("there")
		synctest.Wait()
		time.Sleep(2 * presenceDelay)

		there.leaveForGood() // unknown to new, which is told when it is back
		fresh := h.member("fresh")
		there = h.member("there")
		gone := h.member("gone") // known to later, which is told that it is not there any more
		later := h.dial()
		later.send(msg{"type": "hello", "ticket": testTicket("later", "later", auth.RoleMember)})
		later.expect("welcome", "online", says("fresh", "gone", "there"))
		gone.leaveForGood()
		fresh.expect("online", "users", says("there", "later"))
		later.expect("offline", "users", says("gone"))
		there.expect("online", "users", says("later"))
	})
}

// TestRenamedInBatch holds that the last of several names is told, to all but
// the user's own sessions, and that a name that came and went is not.
func TestRenamedInBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		ann := h.member("ann")
		one := h.welcome(testTicket("u", "one", auth.RoleMember))
		ann.expect("online")
		h.welcome(testTicket("u", "two", auth.RoleMember))
		h.welcome(testTicket("u", "three", auth.RoleMember))
		ann.expect("online", "users", "[map[name:three user:turnpike:u]]")
		h.welcome(testTicket("u", "four", auth.RoleMember))
		h.welcome(testTicket("u", "three", auth.RoleMember))
		time.Sleep(2 * presenceDelay)
		ann.expectNothing()
		one.expectNothing()
	})
}
