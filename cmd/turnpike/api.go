package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
	"turnpike/signal/wire"
)

// maxRequestBody is far above any real ticket request; an invite is under a kilobyte.
const maxRequestBody = 32 << 10

// api answers the HTTP API. It is not changed once it serves, but for ready.
type api struct {
	guests    string
	ticketTTL time.Duration
	credTTL   time.Duration

	visitors  *visitors
	tickets   *auth.Tickets
	verify    func(token string) (auth.Ticket, error) // of every ticket, whoever made it
	invites   *auth.Invites
	use       func(auth.Invite) error // takes one of its uses
	creds     *auth.Credentials
	apiKeys   []auth.Secret
	nameTaken func(canonical string) bool
	ice       *iceServers
	offloads  func(relayed netip.AddrPort, who *auth.Grant) (offloads, found bool)
	failures  *limiter
	log       *slog.Logger

	ready atomic.Bool // false while starting and draining
}

// register adds the API's paths to mux.
func (a *api) register(mux *http.ServeMux) {
	mux.Handle("/api/v1/tickets", a.endpoint(http.MethodPost, a.postTicket))
	mux.Handle("/api/v1/ice-servers", a.endpoint(http.MethodGet, a.getICEServers))
	mux.Handle("/api/v1/relays/{relayed}", a.endpoint(http.MethodGet, a.getRelay))
	mux.Handle("/api/v1/turn-credentials", a.endpoint(http.MethodGet, a.getTURNCredentials))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "There is no such API path."})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready.Load() {
			writeText(w, http.StatusServiceUnavailable, "not ready: starting or draining\n")
			return
		}
		writeText(w, http.StatusOK, "ready\n")
	})
}

// apiError is what a client sees of a failure: a stable code and a sentence.
type apiError struct {
	Status     int    `json:"-"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Field      string `json:"field,omitempty"`
	retryAfter time.Duration
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func badRequest(field, message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: "bad-request", Message: message, Field: field}
}

const codeUnauthorized = "unauthorized"

func unauthorized(message string) *apiError {
	return &apiError{Status: http.StatusUnauthorized, Code: codeUnauthorized, Message: message}
}

// endpoint does what every API path needs around handle: origins and CORS, the method, and the answer as JSON.
func (a *api) endpoint(method string, handle func(*http.Request) (any, *apiError)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Origin")
		if !a.visitors.allowsOrigin(r) {
			writeError(w, &apiError{Status: http.StatusForbidden, Code: "forbidden", Message: "Pages of this origin may not use this server; its operator can add it to http.allowed_origins."})
			return
		}
		if a.visitors.foreignOrigin(r) {
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "Retry-After")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", method)
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		if r.Method != method {
			h.Set("Allow", method)
			writeError(w, &apiError{Status: http.StatusMethodNotAllowed, Code: "method-not-allowed", Message: "This path takes " + method + " only."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
		answer, apiErr := a.limited(r, handle)
		if apiErr != nil {
			writeError(w, apiErr)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}

// limited refuses an address that has failed to authenticate too often, and counts its failures: those that may have been
// guesses. Whoever has no invite, or one of ours that is too old, is no reason to keep others of the same address out.
func (a *api) limited(r *http.Request, handle func(*http.Request) (any, *apiError)) (any, *apiError) {
	addr := a.visitors.clientAddr(r)
	if wait := a.failures.wait(addr); wait > 0 {
		return nil, &apiError{Status: http.StatusTooManyRequests, Code: "rate-limited", Message: "Too many refused attempts from this address; try again later.", retryAfter: wait}
	}
	answer, apiErr := handle(r)
	if apiErr != nil && apiErr.Code == codeUnauthorized {
		a.failures.failed(addr)
	}
	return answer, apiErr
}

type ticketRequest struct {
	Name   string `json:"name"`
	Invite string `json:"invite"`
}

type ticketAnswer struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
	Name    string    `json:"name"`
	Role    auth.Role `json:"role"`
	Rooms   []string  `json:"rooms"`
}

// postTicket exchanges an invite, or being a guest that is welcome, for a ticket.
func (a *api) postTicket(r *http.Request) (any, *apiError) {
	var req ticketRequest
	if apiErr := readJSON(r, &req); apiErr != nil {
		return nil, apiErr
	}
	ticket, invite, apiErr := a.admit(r, req.Invite)
	if apiErr != nil {
		return nil, apiErr
	}
	shown, canonical, err := auth.CleanName(req.Name)
	if err != nil {
		return nil, badRequest("name", sentence(err))
	}
	if a.nameTaken(canonical) {
		return nil, &apiError{Status: http.StatusConflict, Code: "name-taken", Message: "Somebody who is online has this name; choose another.", Field: "name"}
	}
	if apiErr := a.useInvite(invite); apiErr != nil { // last of all, so that a bad name costs no use
		return nil, apiErr
	}
	ticket.Name = shown
	token, issued, err := a.tickets.Issue(ticket, a.ticketTTL)
	if err != nil {
		a.log.Error("issue a ticket", "err", err)
		return nil, &apiError{Status: http.StatusInternalServerError, Code: "internal", Message: "The server could not make a ticket."}
	}
	return ticketAnswer{token, issued.Expires, issued.Name, issued.Role, issued.Rooms}, nil
}

// admit decides what the visitor may do: by the invite, which it returns, else by where the request comes from.
func (a *api) admit(r *http.Request, invite string) (auth.Ticket, auth.Invite, *apiError) {
	if invite != "" {
		inv, err := a.invites.Verify(invite)
		switch {
		case errors.Is(err, auth.ErrExpired):
			return auth.Ticket{}, auth.Invite{}, &apiError{Status: http.StatusUnauthorized, Code: "expired", Message: "This invite has expired; ask for a new link."}
		case err != nil:
			a.refused(r, "invite", err)
			return auth.Ticket{}, auth.Invite{}, unauthorized("This invite is not valid.")
		}
		return auth.Ticket{Rooms: []string{inv.Room}, Role: inv.Role, Invite: inv.ID}, inv, nil
	}
	switch {
	case a.guests == config.GuestsAlways:
		return auth.Ticket{Rooms: []string{"*"}, Role: auth.RoleGuest}, auth.Invite{}, nil
	case a.guests == config.GuestsLoopback && a.visitors.local(r):
		return auth.Ticket{Rooms: []string{"*"}, Role: auth.RoleMember}, auth.Invite{}, nil
	}
	return auth.Ticket{}, auth.Invite{}, &apiError{Status: http.StatusUnauthorized, Code: "invite-required", Message: "You need an invite link to get in here."}
}

// useInvite takes a use of the invite that somebody came by, if they did.
func (a *api) useInvite(inv auth.Invite) *apiError {
	if inv.ID == "" {
		return nil
	}
	switch err := a.use(inv); {
	case errors.Is(err, auth.ErrInviteUsed):
		return &apiError{Status: http.StatusForbidden, Code: "invite-used", Message: "This invite has been used; ask for a new link."}
	case errors.Is(err, auth.ErrInviteRevoked):
		return &apiError{Status: http.StatusForbidden, Code: "invite-revoked", Message: "This invite was taken back; ask for a new link."}
	case err != nil:
		a.log.Error("use an invite", "invite", inv.ID, "err", err)
		return &apiError{Status: http.StatusInternalServerError, Code: "internal", Message: "The server could not make a ticket."}
	}
	return nil
}

type iceAnswer struct {
	ICEServers []wire.ICEServer `json:"iceServers"`
	Expires    time.Time        `json:"expires"`
}

// getICEServers gives the bearer of a ticket a credential that belongs to no session.
func (a *api) getICEServers(r *http.Request) (any, *apiError) {
	token := bearer(r)
	if token == "" {
		return nil, unauthorized("Send a ticket as \"Authorization: Bearer TICKET\".")
	}
	ticket, err := a.verify(token)
	if errors.Is(err, auth.ErrExpired) {
		return nil, &apiError{Status: http.StatusUnauthorized, Code: "expired", Message: "This ticket has expired."}
	}
	if err != nil {
		a.refused(r, "ticket", err)
		return nil, unauthorized("This ticket is not valid.")
	}
	cred := a.creds.MintRelayOnly(ticket.User.String(), a.credTTL)
	return iceAnswer{a.ice.list(r.Host, cred), cred.Expires}, nil
}

type relayAnswer struct {
	Offloaded bool `json:"offloaded"` // the server's kernel forwards what it carries
}

// getRelay tells the owner of a TURN credential about a relay that was made with one of theirs.
func (a *api) getRelay(r *http.Request) (any, *apiError) {
	first, rest, _ := r.BasicAuth()
	login := first + ":" + rest // cut at the first colon, but a TURN username has one
	last := strings.LastIndexByte(login, ':')
	username, password := login[:last], login[last+1:]
	grant, ok := a.creds.Verify(username, password)
	if !ok {
		return nil, unauthorized("Send a TURN credential as \"Authorization: Basic\".")
	}
	relayed, err := netip.ParseAddrPort(r.PathValue("relayed"))
	if err != nil {
		return nil, badRequest("", "The path has to end in a relayed address, like 203.0.113.9:50000.")
	}
	offloads, found := a.offloads(relayed, &grant)
	if !found {
		return nil, &apiError{Status: http.StatusNotFound, Code: "not-found", Message: "You have no relay at this address."}
	}
	return relayAnswer{offloads}, nil
}

// bearer returns the token of the Authorization header, empty if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// refused logs why, which the client is not told.
func (a *api) refused(r *http.Request, what string, err error) {
	a.log.Info("refused", "what", what, "client", a.visitors.clientAddr(r), "err", err)
}

// readJSON reads one JSON object. Asking for its content type keeps out forms of other sites, which browsers send
// without a preflight.
func readJSON(r *http.Request, into any) *apiError {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &apiError{Status: http.StatusUnsupportedMediaType, Code: "bad-request", Message: "Send Content-Type: application/json."}
	}
	d := json.NewDecoder(r.Body)
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &apiError{Status: http.StatusRequestEntityTooLarge, Code: "bad-request", Message: "The body is longer than " + strconv.FormatInt(tooBig.Limit, 10) + " bytes."}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badRequest(wrong.Field, "This has to be a "+wrong.Type.String()+".")
	}
	if err != nil {
		return badRequest("", "The body is not one JSON object.")
	}
	return nil
}

func writeError(w http.ResponseWriter, e *apiError) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, e.Status, map[string]*apiError{"error": e})
}

// writeJSON answers with v. A failed write is the client's going away, which nobody needs to hear of.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// sentence makes one of an error that is fit to be shown.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
