package auth

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"
)

// TestUserhash compares with the value of RFC 8489, appendix B.1.
func TestUserhash(t *testing.T) {
	c := NewCredentials("example.org", testSecret("signaling"), nil, fixedClock(epoch))
	hash := c.Userhash("マトリックス")
	if got := hex.EncodeToString(hash[:]); got != "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704" {
		t.Errorf("got %s", got)
	}
}

// remembering returns Credentials that remember two usernames. An earlier process may have minted credentials for a minute.
func remembering(now *time.Time, shared ...Secret) *Credentials {
	c := NewCredentials("realm", testSecret("signaling"), shared, func() time.Time { return *now })
	c.RememberUsernames(2, time.Minute)
	return c
}

// found returns the indexes of the credentials whose usernames are found by their hashes.
func found(t *testing.T, c *Credentials, creds ...Credential) (found string) {
	t.Helper()
	for i, cred := range creds {
		hash := c.Userhash(cred.Username)
		name, ok := c.Username(hash[:])
		if ok && name != cred.Username {
			t.Errorf("the hash of %s is of %s", cred.Username, name)
		}
		if ok {
			found += fmt.Sprint(i)
		}
	}
	return found
}

func TestMintedUsernamesAreFound(t *testing.T) {
	now := epoch
	c := remembering(&now, testSecret("shared"))
	session, relayOnly := c.MintSession("sess1", "turnpike:ann", time.Hour), c.MintRelayOnly("turnpike:ann", time.Hour)
	rest, _ := c.MintREST("ann", time.Hour)
	if got := found(t, c, session, relayOnly, rest); got != "01" {
		t.Errorf("found %q, want those that signaling mints", got)
	}
	hash := c.Userhash(session.Username)
	hash[0] ^= 1
	for _, bad := range [][]byte{nil, hash[:], hash[:31], append(hash[:], 0)} {
		if name, ok := c.Username(bad); ok {
			t.Errorf("%x is of %s", bad, name)
		}
	}
	forgetful := testCredentials()
	if cred := forgetful.MintSession("sess1", "", time.Hour); found(t, forgetful, cred) != "" || forgetful.KnowsUsernames() {
		t.Error("usernames are remembered without being asked to")
	}
}

// TestRememberedUsernamesAreBounded holds that an expired username makes room, and that a full table remembers no more.
func TestRememberedUsernamesAreBounded(t *testing.T) {
	now := epoch
	c := remembering(&now)
	first, second := c.MintSession("1", "", time.Minute), c.MintSession("2", "", 2*time.Minute)
	again := c.MintSession("1", "", time.Minute) // the same username
	third := c.MintSession("3", "", time.Hour)
	if got := found(t, c, first, second, third, again); got != "013" {
		t.Errorf("found %q, want the first two", got)
	}
	now = now.Add(time.Minute)
	fourth, fifth := c.MintSession("4", "", time.Hour), c.MintSession("5", "", time.Minute)
	if got := found(t, c, first, second, fourth, fifth); got != "12" {
		t.Errorf("a minute later found %q, want the second and the fourth", got)
	}
	for i := range 1000 {
		now = now.Add(time.Minute)
		c.MintSession(fmt.Sprint(i), "", 90*time.Second)
	}
	if n := len(c.minted.byHash); n > 2 || n != len(c.minted.queue) {
		t.Errorf("%d usernames are kept and %d queued", n, len(c.minted.queue))
	}
	before := found(t, c, c.MintSession("old", "", -time.Second))
	if before != "" {
		t.Error("what has expired is remembered")
	}
}

func TestKnowsUsernames(t *testing.T) {
	now := epoch
	c := remembering(&now)
	if c.KnowsUsernames() {
		t.Error("known although an earlier process's credentials may be good")
	}
	now = now.Add(time.Minute)
	if !c.KnowsUsernames() {
		t.Error("not known although every valid credential was minted here")
	}
	for i := range 2 {
		c.MintSession(fmt.Sprint(i), "", time.Hour)
	}
	if !c.KnowsUsernames() {
		t.Error("not known although there was room")
	}
	c.MintSession("third", "", 10*time.Minute)
	c.MintSession("fourth", "", 5*time.Minute)
	now = now.Add(10*time.Minute - time.Second)
	if c.KnowsUsernames() {
		t.Error("known although there was no room for one that is good")
	}
	now = now.Add(time.Second)
	if !c.KnowsUsernames() {
		t.Error("not known although what was left out has expired")
	}
	shared := remembering(&now, testSecret("shared"))
	if now = now.Add(time.Hour); shared.KnowsUsernames() {
		t.Error("known although other apps mint")
	}
}

// TestUserhashAllocates holds that a stranger's hash costs no allocation.
func TestUserhashAllocates(t *testing.T) {
	now := epoch
	c := remembering(&now)
	cred := c.MintSession("sess1", "", time.Hour)
	if got := testing.AllocsPerRun(100, func() {
		hash := c.Userhash(cred.Username)
		if _, ok := c.Username(hash[:]); !ok {
			t.Error("not found")
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
