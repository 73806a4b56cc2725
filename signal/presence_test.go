package signal

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// says formats users whose ids and names are the same, as expect prints them.
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

// TestPresenceInBatches holds that members are told of all changes within presenceDelay at once, and of no user that
// came and went.
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
		brief = h.member("brief") // back within the delay
		old.leaveForGood()
		ann.expect("online", "users", says("bob", "gast"))
		ann.expect("offline", "users", says("old"))
		if took := time.Since(start); took != presenceDelay {
			t.Errorf("told after %v, want %v", took, presenceDelay)
		}
		time.Sleep(10 * presenceDelay)
		ann.expectNothing()
		// brief was welcomed in the middle, and gets the later changes.
		brief.expect("offline", "users", says("old"))
		brief.expectNothing()
	})
}

// TestPresenceAfterWelcome holds that a welcome and the messages after it add up, though much happens within one batch.
func TestPresenceAfterWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, nil)
		there := h.member("there")
		synctest.Wait()
		time.Sleep(2 * presenceDelay)

		there.leaveForGood() // new does not know it, and is told when it is back
		fresh := h.member("fresh")
		there = h.member("there")
		gone := h.member("gone") // later knows it, and is told that it has gone
		later := h.dial()
		later.send(msg{"type": "hello", "ticket": testTicket("later", "later", auth.RoleMember)})
		later.expect("welcome", "online", says("fresh", "gone", "there"))
		gone.leaveForGood()
		fresh.expect("online", "users", says("there", "later"))
		later.expect("offline", "users", says("gone"))
		there.expect("online", "users", says("later"))
	})
}

// TestRenamedInBatch holds that only the last of several names is told, to all sessions but the user's own.
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
		for _, name := range []string{"two", "three", "four", "three"} {
			one.expect("renamed", "name", name)
		}
		one.expectNothing()
	})
}

// TestPresencePauses: while many members are told of somebody, others have their turn again and again. That ends when the server
// stops.
func TestPresencePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newMemoryHarness(t, unlimited)
		const members = 3200
		h.crowd("crowd", members)
		tell := func() time.Duration {
			h.srv.mu.Lock()
			h.srv.notePresence(h.srv.users["turnpike:crowd 00000"], true)
			h.srv.presence.timer.Stop() // this test tells them
			h.srv.mu.Unlock()
			began := time.Now()
			h.srv.tellPresence(nil)
			return time.Since(began)
		}
		if took := tell(); took < members/presenceAtOnce*presencePause || took > presenceDelay {
			t.Errorf("took %v", took)
		}
		time.AfterFunc(5*presencePause/2, func() { _ = h.srv.Shutdown(t.Context()) })
		if took := tell(); took != 5*presencePause/2 {
			t.Errorf("took %v, though the server stopped meanwhile", took)
		}
	})
}
