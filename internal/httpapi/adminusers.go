package httpapi

import (
	"net/http"

	"example.org/turnpike/auth"
)

type usersAnswer struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty"` // the value of "after" that asks for more
}

type kickAnswer struct {
	Sessions int `json:"sessions"` // how many ended, or left the room
}

// getUsers lists who is online.
func (a *API) getUsers(r *http.Request) (any, *apiError) {
	users, next := page(a.cfg.People.Users(), func(u User) string { return u.User }, r.URL.Query().Get("after"))
	return usersAnswer{users, next}, nil
}

// deleteUser ends all sessions and relays of a user. What was issued before does not admit the user any more.
func (a *API) deleteUser(r *http.Request) (any, *apiError) {
	return a.kick(auth.Kick{User: r.PathValue("user")})
}

func (a *API) kick(who auth.Kick) (any, *apiError) {
	if !auth.IsUser(who.User) {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found",
			Message: "This is no user. A user is an issuer's name, a colon and the subject, like app:u1; / and ? in it must be written as %2F and %3F."}
	}
	sessions, err := a.cfg.People.Kick(who)
	if err != nil {
		return nil, a.internalError("throw a user out", err)
	}
	return kickAnswer{sessions}, nil
}
