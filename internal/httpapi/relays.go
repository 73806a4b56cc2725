package httpapi

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"example.org/turnpike/auth"
)

type relayAnswer struct {
	Offloaded bool `json:"offloaded"` // the server's kernel forwards the relay's traffic
}

// getRelay tells the owner of a TURN credential about a relay that was made with it.
func (a *API) getRelay(r *http.Request) (any, *apiError) {
	first, rest, _ := r.BasicAuth()
	login := first + ":" + rest // cut at the first colon, but a TURN username has one
	last := strings.LastIndexByte(login, ':')
	username, password := login[:last], login[last+1:]
	if apiErr := a.mayTry(r); apiErr != nil {
		return nil, apiErr
	}
	grant, err := a.cfg.Credentials.Verify(username, password)
	if errors.Is(err, auth.ErrExpired) { // we have signed it: nobody is guessing
		return nil, &apiError{Status: http.StatusUnauthorized, Code: "expired", Message: "This TURN credential has expired."}
	}
	if err != nil && username == "" {
		return nil, unauthorized("Send a TURN credential as \"Authorization: Basic\".")
	}
	if err != nil {
		return nil, a.failed(r, "Send a TURN credential as \"Authorization: Basic\".")
	}
	relayed, err := netip.ParseAddrPort(r.PathValue("relayed"))
	if err != nil {
		return nil, badRequest("", "The path must end in a relayed address, like 203.0.113.9:50000.")
	}
	offloads, found := a.cfg.Offloads(relayed, &grant)
	if !found {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "You have no relay at this address."}
	}
	return relayAnswer{offloads}, nil
}
