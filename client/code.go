package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// Errors of the server about codes, beside its others.
const (
	CodeNoSuchCode   = "no-such-code"   // the slot has run out, was burnt, or never was
	CodeUsed         = "code-used"      // as many have come as may
	CodeTooManyCodes = "too-many-codes" // the user, the address or the server has as many codes as it may
)

// Code is a slot of the server's, and a ticket for the slot's room and for nothing else. Somebody without an account comes in by the
// slot's number. Who that is, only the two sides can find out, by words that they have told each other and that the server never gets.
type Code struct {
	Slot    int
	Room    string
	Name    string // of this side
	Ticket  string
	Expires time.Time // when nobody comes any more, unless Renew is called

	server *signaling.Server
	maker  bool

	mu      sync.Mutex
	newest  string    // ticket; guarded by mu, as the next
	renewed time.Time // when it came
}

// codeAnswer is what the server says of a code.
type codeAnswer struct {
	Slot    int       `json:"slot"`
	Room    string    `json:"room"`
	Ticket  string    `json:"ticket"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
}

// NewCode makes a code for so many receivers, 1 to 15, who may come within ten minutes. It signs in as c says, for a ticket, and needs no
// session. Use one with [Config.GetTicket] set to [Code.GetTicket], or with [Config.Ticket], and join the room with Create set.
func NewCode(ctx context.Context, c Config, receivers int) (*Code, error) {
	server, err := signaling.NewServer(c.URL, c.TLS, c.Insecure)
	if err != nil {
		return nil, publicError(err)
	}
	ticket, err := tickets{c, server}.get(ctx, false)
	if err != nil {
		return nil, publicError(err)
	}
	made := &Code{server: server, maker: true}
	return made.begin(func(answer *codeAnswer) error {
		return server.Request(ctx, http.MethodPost, "codes", ticket, receiversOf(receivers), answer)
	})
}

// TakeCode comes in by the number of a code that somebody else has made. Of c it needs the server and the name: this side comes as a guest.
// It counts as one of the code's receivers. Join the room with Create set.
func TakeCode(ctx context.Context, c Config, slot int) (*Code, error) {
	server, err := signaling.NewServer(c.URL, c.TLS, c.Insecure)
	if err != nil {
		return nil, publicError(err)
	}
	taken := &Code{server: server}
	return taken.begin(func(answer *codeAnswer) error {
		return withName(c.Name, func(name string) error {
			body := struct {
				Name string `json:"name"`
			}{name}
			return server.Request(ctx, http.MethodPost, "codes/"+strconv.Itoa(slot), "", body, answer)
		})
	})
}

// begin fills in what the server says.
func (c *Code) begin(ask func(*codeAnswer) error) (*Code, error) {
	var answer codeAnswer
	if err := ask(&answer); err != nil {
		return nil, codeError(err)
	}
	if answer.Slot < 1 || answer.Room == "" || answer.Ticket == "" {
		return nil, &Error{Code: CodeNotTurnpike, Message: "The server answers, but gives no code.", Hint: "Is the address right?"}
	}
	c.Slot, c.Room, c.Name, c.Ticket, c.Expires = answer.Slot, answer.Room, answer.Name, answer.Ticket, answer.Expires
	c.newest, c.renewed = answer.Ticket, time.Now()
	return c, nil
}

type receiversRequest struct {
	Receivers *int `json:"receivers,omitempty"`
}

func receiversOf(n int) receiversRequest {
	if n < 0 {
		return receiversRequest{}
	}
	return receiversRequest{&n}
}

// Renew has the ten minutes begin anew, and lets so many more come, 0 to 15: 0 lets nobody in any more, and below 0 as many may come as
// might before. Only the side that made the code can do so, and for a day at most. A server that was restarted has forgotten the code:
// then the error is [CodeNoSuchCode], and those who are in the room go on.
func (c *Code) Renew(ctx context.Context, receivers int) error {
	_, err := c.renew(ctx, receivers)
	return err
}

func (c *Code) renew(ctx context.Context, receivers int) (ticket string, err error) {
	var answer codeAnswer
	if err := c.server.Request(ctx, http.MethodPatch, c.path(), c.ticket(), receiversOf(receivers), &answer); err != nil {
		return "", codeError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer.Ticket != "" {
		c.newest, c.renewed = answer.Ticket, time.Now()
	}
	return c.newest, nil
}

// Burn ends the code: nobody comes by it any more. Only the side that made it can do so.
func (c *Code) Burn(ctx context.Context) error {
	var answer struct{}
	err := c.server.Request(ctx, http.MethodDelete, c.path(), c.ticket(), struct{}{}, &answer)
	return codeError(err)
}

// GetTicket is for [Config.GetTicket]. The side that made the code gets a fresh ticket, so that its session comes back also when the first
// ticket has expired: each time it renews the code, for as many receivers as before.
func (c *Code) GetTicket(ctx context.Context) (string, error) {
	const fresh = 30 * time.Second
	c.mu.Lock()
	ticket, renewed := c.newest, c.renewed
	c.mu.Unlock()
	if !c.maker || time.Since(renewed) < fresh {
		return ticket, nil
	}
	renewedTicket, err := c.renew(ctx, -1)
	if e := (*Error)(nil); err != nil && asPublic(err, &e) && !e.Retryable {
		return ticket, nil // The code is over. The ticket may be good for a while.
	}
	return renewedTicket, err
}

func (c *Code) path() string { return "codes/" + strconv.Itoa(c.Slot) }

func (c *Code) ticket() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// String leaves the ticket out.
func (c *Code) String() string {
	return fmt.Sprintf("{Slot:%d Room:%s Name:%s Ticket:%s}", c.Slot, c.Room, c.Name, redacted(c.Ticket))
}

// GoString is String.
func (c *Code) GoString() string { return c.String() }

// LogValue is String, for package slog.
func (c *Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// codeError adds what a server that is too old needs, or one that has no place.
func codeError(err error) error {
	e, ok := errors.AsType[*signaling.Error](err)
	if !ok {
		return err
	}
	out := *(*Error)(e)
	switch out.Code {
	case "not-found":
		out.Hint = "The server is of a version that has no codes yet: update it."
	case string(wire.CodeForbidden):
		out.Hint = "" // its message says all
	}
	return &out
}
