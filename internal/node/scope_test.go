package node

import (
	"encoding/json"
	"net/http"
	"testing"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// TestBudgetsAreOfUsers: whichever of a user's credentials its relays are made with, they are charged to the same user.
func TestBudgetsAreOfUsers(t *testing.T) {
	s := start(t)
	scope := s.node.turnConfig(auth.NewSecret([]byte("of nonces"))).Scope
	ticket := ticketFrom(t, s, "Ann", "")
	first, second, other := signInWith(t, s, ticket), signInWith(t, s, ticket), signIn(t, s, "Bea")
	user := scope.UserOf(first.welcome.Session)
	if user == "" || scope.UserOf(second.welcome.Session) != user {
		t.Errorf("two sessions of one user are charged to %q and %q", user, scope.UserOf(second.welcome.Session))
	}
	if got := scope.UserOf(other.welcome.Session); got == user {
		t.Error("two users are charged as one")
	}
	req, _ := http.NewRequest(http.MethodGet, s.row("web")+"/api/v1/ice-servers", nil)
	req.Header.Set("Authorization", "Bearer "+ticket)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ ICEServers []wire.ICEServer }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.ICEServers) == 0 {
		t.Fatalf("%d, %v, %+v", resp.StatusCode, err, list)
	}
	relays := list.ICEServers[len(list.ICEServers)-1]
	if grant, err := s.node.credentials.Verify(relays.Username, relays.Credential); err != nil || grant.User != user {
		t.Errorf("a credential without a session is charged to %q, %v, want %q", grant.User, err, user)
	}
	if got := scope.UserOf("nobody's"); got != "" {
		t.Errorf("a session that is not there is charged to %q", got)
	}
}
