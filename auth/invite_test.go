package auth

import (
	"testing"
	"time"
)

func testInvites(now time.Time) *Invites {
	return NewInvites(testSecret("a"), at(now), testRand("invites"))
}

func TestInviteRoundTrip(t *testing.T) {
	invites := testInvites(epoch)
	for _, inv := range []Invite{{Room: "standup"}, {Room: "k7m-2pq-x9r", Role: RoleMember, Uses: 1}} {
		token, issued, err := invites.Issue(inv, 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if issued.ID == "" || issued.Role == "" || issued.Room != inv.Room || !issued.Expires.Equal(epoch.Add(24*time.Hour)) {
			t.Errorf("not filled in: %+v", issued)
		}
		got, err := invites.Verify(token)
		if err != nil || got != issued {
			t.Errorf("verified %+v, error %v\n  issued %+v", got, err, issued)
		}
	}
}
