package httpapi

import (
	"net/http"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

type roomsAnswer struct {
	Rooms []Room `json:"rooms"`
	Next  string `json:"next,omitempty"` // the value of "after" that asks for more
}

// getRooms lists the rooms and who is in them.
func (a *API) getRooms(r *http.Request) (any, *apiError) {
	rooms, next := page(a.cfg.People.Rooms(), func(room Room) string { return room.Room }, r.URL.Query().Get("after"))
	return roomsAnswer{rooms, next}, nil
}

// getRoom tells of one room.
func (a *API) getRoom(r *http.Request) (any, *apiError) {
	if room, found := a.cfg.People.Room(r.PathValue("room")); found {
		return room, nil
	}
	return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "There is no such room: nobody is in it."}
}

// deleteRoomUser takes a user out of a room. What was issued before does not open the room to the user any more, also
// if the room is not there now.
func (a *API) deleteRoomUser(r *http.Request) (any, *apiError) {
	room := r.PathValue("room")
	if !wire.ValidRoom(room) {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "No room can have this name."}
	}
	return a.kick(auth.Kick{User: r.PathValue("user"), Room: room})
}
