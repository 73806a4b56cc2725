package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"example.org/turnpike/auth"
)

// A code is a number and two words. The number is a slot here, and the words never come here: they are of the two people who
// tell each other, whose programs prove them to each other.

// maxReceivers is how many may come by one code.
const maxReceivers = auth.MaxSeats - 1

type codeRequest struct {
	Receivers *int `json:"receivers"` // so many may come, or still may; absent: one, or as many as before
}

type codeTake struct {
	Name string `json:"name"`
}

// codeAnswer is what its maker and those who come learn of a code.
type codeAnswer struct {
	Slot    int       `json:"slot"`
	Room    string    `json:"room"`
	Ticket  string    `json:"ticket"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"` // of the slot
}

// postCode makes a slot.
func (a *API) postCode(r *http.Request) (any, *apiError) {
	maker, apiErr := a.codeMaker(r)
	if apiErr != nil {
		return nil, apiErr
	}
	receivers, apiErr := readReceivers(r, 1, 1)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayMakeCode(maker); apiErr != nil {
		return nil, apiErr
	}
	made, err := a.slots.make(maker, a.client(r), receivers, a.longestCode(maker))
	if err != nil {
		return nil, a.noCode(r, err)
	}
	answer, apiErr := a.answerCode(maker, made, slotTTL)
	if apiErr != nil {
		_ = a.slots.burn(made.number, maker)
		return nil, apiErr
	}
	a.log.Info("code made", "slot", made.number, "user", maker.User, "room", made.room, "receivers", receivers, "client", a.client(r))
	return answer, nil
}

// takeCode admits somebody to the room of a slot, as a guest.
func (a *API) takeCode(r *http.Request) (any, *apiError) {
	if wait := a.tries.take(a.client(r)); wait > 0 {
		a.logWait(r, "too many codes tried", "limits.code_tries_per_minute_per_address")
		return nil, tooMany("Too many codes were tried from your address; try again later.", wait)
	}
	var req codeTake
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	found, apiErr := a.slotToTake(r)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	shown, canonical, err := auth.CleanName(req.Name)
	if err != nil {
		return nil, badRequest("name", sentence(err))
	}
	if a.cfg.NameTaken(canonical) {
		return nil, nameTaken()
	}
	taken, err := a.slots.take(found.number) // last of all, so that a bad name costs nobody a place
	if err != nil {
		return nil, a.noCode(r, err)
	}
	a.log.Info("code taken", "slot", taken.number, "room", taken.room, "left", taken.left, "client", a.client(r))
	return a.answerCode(auth.Ticket{Name: shown, Chosen: true, Role: auth.RoleGuest}, taken, a.cfg.TicketTTL)
}

// slotToTake finds the slot that somebody may take.
func (a *API) slotToTake(r *http.Request) (slot, *apiError) {
	if apiErr := a.takesSessions(); apiErr != nil {
		return slot{}, apiErr
	}
	found, err := a.slots.find(slotNumber(r))
	switch {
	case err != nil:
		return slot{}, a.noCode(r, err)
	case a.cfg.Refuses != nil && a.cfg.Refuses(found.maker) != nil: // the maker was thrown out, and is not there any more
		_ = a.slots.burn(found.number, found.maker)
		return slot{}, a.noCode(r, errNoSuchCode)
	case found.left == 0:
		return slot{}, a.noCode(r, errCodeUsed)
	}
	return found, nil
}

// patchCode has the ten minutes of a slot begin anew, and may say how many more may come.
func (a *API) patchCode(r *http.Request) (any, *apiError) {
	maker, apiErr := a.codeMaker(r)
	if apiErr != nil {
		return nil, apiErr
	}
	receivers, apiErr := readReceivers(r, 0, -1)
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr := a.mayHave(r); apiErr != nil {
		return nil, apiErr
	}
	renewed, err := a.slots.renew(slotNumber(r), maker, receivers)
	if err != nil {
		return nil, a.noCode(r, err)
	}
	return a.answerCode(maker, renewed, slotTTL)
}

// deleteCode burns a code.
func (a *API) deleteCode(r *http.Request) (any, *apiError) {
	maker, apiErr := a.codeMaker(r)
	if apiErr != nil {
		return nil, apiErr
	}
	if err := a.slots.burn(slotNumber(r), maker); err != nil {
		return nil, a.noCode(r, err)
	}
	a.log.Info("code burnt by its maker", "slot", slotNumber(r), "user", maker.User)
	return struct{}{}, nil
}

// codeMaker returns the ticket of a request about a code of the user's own.
func (a *API) codeMaker(r *http.Request) (auth.Ticket, *apiError) {
	ticket, apiErr := a.bearerTicket(r)
	if apiErr != nil {
		return auth.Ticket{}, apiErr
	}
	if wait := a.coders.take(bucketShare[string]{ticket.User.String(), 1}); wait > 0 {
		a.logWait(r, "too many requests about codes", "limits.code_requests_per_minute_per_user")
		return auth.Ticket{}, tooMany("You ask too often about codes; try again later.", wait)
	}
	return ticket, nil
}

// mayMakeCode says why a user may not make a code.
func (a *API) mayMakeCode(maker auth.Ticket) *apiError {
	switch {
	case a.cfg.Codes == 0:
		return forbidden("", "Users of this server make no codes.")
	case maker.Seats > 0:
		return onlyForRoom()
	case maker.Role == auth.RoleGuest && a.cfg.Guests != GuestsAlways:
		return forbidden("", "Guests of this server make no codes; a member can.")
	}
	return a.takesSessions()
}

func onlyForRoom() *apiError {
	return forbidden("", "This ticket is for the room of a code, and for nothing else.")
}

// takesSessions refuses what would only lead to a sign-in that a server refuses that is about to stop. Slots are in memory, so no other server has them.
func (a *API) takesSessions() *apiError {
	if s := a.cfg.ICEServers; s != nil && s.draining() {
		return &apiError{Status: http.StatusServiceUnavailable, Code: "internal", Message: "This server is about to stop, and takes no new codes; try again soon.", retryAfter: drainRetry}
	}
	return nil
}

// longestCode is how long a code can be renewed: no longer than a session of its maker may last.
func (a *API) longestCode(maker auth.Ticket) time.Duration {
	if most := a.cfg.MaxSession[maker.User.Issuer]; most > 0 {
		return most
	}
	return slotMaxAge
}

// answerCode gives a ticket for the room of a slot, and for nothing else. It lives as long as it may, or as the slot.
func (a *API) answerCode(who auth.Ticket, s slot, ttl time.Duration) (any, *apiError) {
	who.Rooms, who.Seats = []string{s.room}, s.seats()
	ttl = max(time.Second, min(ttl, s.expires.Sub(a.cfg.Now())))
	token, issued, err := a.cfg.Tickets.Issue(who, ttl)
	if err != nil {
		return nil, a.internalError("issue the ticket of a code", err)
	}
	if a.cfg.Refuses != nil && a.cfg.Refuses(who) != nil { // thrown out while the body came: the ticket is of after that
		return nil, unauthorized("This ticket is not valid.")
	}
	return codeAnswer{s.number, s.room, token, issued.Name, s.expires.UTC().Truncate(time.Second)}, nil
}

// slotNumber reads the number in a request's path; 0, which no slot has, if there is none.
func slotNumber(r *http.Request) int {
	number, err := strconv.Atoi(r.PathValue("slot"))
	if err != nil || strconv.Itoa(number) != r.PathValue("slot") {
		return 0
	}
	return number
}

func readReceivers(r *http.Request, least, absent int) (int, *apiError) {
	var req codeRequest
	if apiErr := readJSON(r, &req); apiErr != nil {
		return 0, apiErr
	}
	if req.Receivers == nil {
		return absent, nil
	}
	if n := *req.Receivers; n >= least && n <= maxReceivers {
		return n, nil
	}
	return 0, badRequest("receivers", "This must be a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(maxReceivers)+".")
}

// noCode answers an error of slots.
func (a *API) noCode(r *http.Request, err error) *apiError {
	switch {
	case errors.Is(err, errNoSuchCode):
		return &apiError{Status: http.StatusNotFound, Code: "no-such-code", Message: "There is no code with this number: it may have run out, or be used up. Ask for a new one."}
	case errors.Is(err, errCodeUsed):
		return &apiError{Status: http.StatusForbidden, Code: "code-used", Message: "As many have come by this code as may. Ask for a new one."}
	case errors.Is(err, errNotMaker):
		return forbidden("", "Another user has made this code.")
	case errors.Is(err, errUserCodes):
		return tooManyCodes("You have as many codes as you may; burn one, or wait until one runs out.")
	case errors.Is(err, errAddressCodes):
		a.logWait(r, "too many codes at a time", "limits.codes_per_address")
		return tooManyCodes("Your address has as many codes as it may; wait until one runs out.")
	case errors.Is(err, errCodesFull):
		if a.waits.allows(a.cfg.Now()) {
			a.log.Warn("no number is free for another code", "limit", "limits.codes")
		}
		return &apiError{Status: http.StatusServiceUnavailable, Code: "too-many-codes", Message: "This server has as many codes as it may; try again later.", retryAfter: time.Minute}
	}
	return a.internalError("find a code", err)
}

func tooManyCodes(message string) *apiError {
	return &apiError{Status: http.StatusForbidden, Code: "too-many-codes", Message: message}
}
