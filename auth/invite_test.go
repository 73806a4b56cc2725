package auth

import (
	"testing"
	"time"
)

func testInvites(now time.Time) *Invites {
	return NewInvites(testSecret("a"), fixedClock(now), testRand("invites"))
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

func TestInviteToken(t *testing.T) {
	for in, want := range map[string]string{
		InviteLink("https://turn.example.org", "standup", "a.b-c_d.e"): "a.b-c_d.e",
		"a.b.c\n": "a.b.c",
		"":        "",
	} {
		if got := InviteToken(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
