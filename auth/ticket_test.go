package auth

import (
	"reflect"
	"testing"
	"time"
)

func TestTicketRoundTrip(t *testing.T) {
	now := epoch.Add(123 * time.Millisecond)
	tickets := NewTickets(testSecret("a"), at(now), testRand("a"))
	for name, tk := range map[string]Ticket{
		"full": {
			User: User{Subject: "ann"}, Name: "Ann ☂", Role: RoleMember,
			Rooms: []string{"standup", "team-*"},
		},
		"empty": {},
	} {
		t.Run(name, func(t *testing.T) {
			token, issued, err := tickets.Issue(tk, 10*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if want := epoch.Add(10 * time.Minute); !issued.Expires.Equal(want) {
				t.Errorf("expires %v, want %v", issued.Expires, want)
			}
			if issued.ID == "" || issued.User.Subject == "" || issued.User.Issuer != Issuer || issued.Role == "" {
				t.Errorf("not filled in: %+v", issued)
			}
			got, err := tickets.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, issued) {
				t.Errorf("verified %+v\n  issued %+v", got, issued)
			}
		})
	}
}
