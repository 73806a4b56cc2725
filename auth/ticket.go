package auth

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is the issuer of our own users, and of every token that we sign.
const Issuer = "turnpike"

const ticketAudience = "turnpike"

// User is the user that a ticket admits. Two Users are the same user if both
// fields are equal.
type User struct {
	Issuer  string // For our own users the constant Issuer; never contains a colon.
	Subject string // Unique within the issuer, and opaque.
}

// String is the user's form on the wire, opaque to clients.
func (u User) String() string { return u.Issuer + ":" + u.Subject }

// IsUser reports whether s is the wire form of a User.
func IsUser(s string) bool {
	issuer, subject, ok := strings.Cut(s, ":")
	return ok && issuer != "" && subject != "" && len(issuer) <= maxIssuerName && !strings.ContainsFunc(issuer, notInNames) &&
		utf8.ValidString(subject) && !HasControl(subject)
}

// HasControl reports whether s has control characters, which would break lines of
// logs and lists.
func HasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// Ticket admits a user.
type Ticket struct {
	ID      string // Unique to the ticket.
	User    User
	Name    string   // Only shown; empty if the user has yet to choose one.
	Chosen  bool     // The user chose Name, so that it must be nobody else's. The issuer vouches for any other.
	Rooms   []string // The rooms it opens, in path.Match syntax; "*" opens all, none opens none.
	Role    Role
	Invite  string    // The ID of the invite that it was made from; empty: none.
	WalkIn  bool      // Nobody vouches for the user: it was let in without an invite.
	Seats   int       // In the room of a code, which is all that the ticket opens; 0: it is no ticket of a code.
	Issued  time.Time // UTC; zero: it does not say.
	Expires time.Time // UTC, whole seconds.
}

// Role decides what a user may do besides entering rooms.
type Role string

const (
	RoleGuest     Role = "guest"
	RoleMember    Role = "member"
	RoleModerator Role = "moderator"
	RoleAdmin     Role = "admin"
)

func (r Role) valid() bool {
	switch r {
	case RoleGuest, RoleMember, RoleModerator, RoleAdmin:
		return true
	}
	return false
}

// AllowsRoom reports whether the ticket opens room. The room of a code is opened by
// tickets of that code alone, and these open no other.
func (t Ticket) AllowsRoom(room string) bool {
	if IsCodeRoom(room) != (t.Seats > 0) {
		return false
	}
	for _, pattern := range t.Rooms {
		if pattern == "*" {
			return true
		}
		if ok, err := path.Match(pattern, room); ok && err == nil {
			return true
		}
	}
	return false
}

// check holds the conditions of both Issue and Verify.
func (t Ticket) check() error {
	if t.ID == "" {
		return errors.New("no ID")
	}
	if t.Seats == 0 && t.User.Issuer != Issuer { // The maker of a code may be of any issuer.
		return fmt.Errorf("issuer %q is not ours", t.User.Issuer)
	}
	if err := t.checkSeats(); err != nil {
		return err
	}
	if t.User.Subject == "" {
		return errors.New("no subject")
	}
	if !t.Role.valid() {
		return fmt.Errorf("unknown role %q", t.Role)
	}
	if !utf8.ValidString(t.User.Subject) || !utf8.ValidString(t.Name) || !utf8.ValidString(t.Invite) {
		return errNotUTF8
	}
	for _, pattern := range t.Rooms {
		if !utf8.ValidString(pattern) {
			return errNotUTF8
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("room pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// checkSeats holds that the ticket of a code opens one room, with so many seats.
func (t Ticket) checkSeats() error {
	switch {
	case t.Seats == 0:
		return nil
	case t.Seats < 2 || t.Seats > MaxSeats:
		return fmt.Errorf("%d seats", t.Seats)
	case len(t.Rooms) != 1 || !IsCodeRoom(t.Rooms[0]):
		return fmt.Errorf("%d seats in %q", t.Seats, t.Rooms)
	case t.User.Issuer != Issuer && (strings.Contains(t.User.Issuer, ":") || !IsUser(t.User.String())):
		return fmt.Errorf("%q is no user", t.User)
	}
	return nil
}

type ticketClaims struct {
	jwt.RegisteredClaims
	Name       string   `json:"name,omitempty"`
	Chosen     bool     `json:"chosen,omitempty"`
	Rooms      []string `json:"rooms,omitempty"`
	Role       Role     `json:"role"`
	Invite     string   `json:"inv,omitempty"`
	WalkIn     bool     `json:"walk,omitempty"`
	Seats      int      `json:"seats,omitempty"`
	UserIssuer string   `json:"uis,omitempty"` // The user's issuer, if that is another.
	Micros     int      `json:"mic,omitempty"` // Of iat, which has whole seconds: it tells a ticket from a kick just before.
}

// Tickets signs and verifies tickets: JWTs by HS256, with 30 s of leeway for
// clocks that differ.
type Tickets struct{ signer signer }

// NewTickets returns Tickets that sign with a key derived from key. It panics if
// key is zero.
func NewTickets(key Secret, now func() time.Time, rand io.Reader) *Tickets {
	return &Tickets{newSigner(ticketAudience, key, now, rand)}
}

// Issue signs a ticket that lives for ttl, in whole seconds. It fills in ID,
// Expires and the issuer, and if there is none, a Subject and the role guest. It
// returns the ticket as Verify will.
func (t *Tickets) Issue(tk Ticket, ttl time.Duration) (token string, issued Ticket, err error) {
	registered, err := t.signer.registered(ttl)
	if err != nil {
		return "", Ticket{}, fmt.Errorf("issue ticket: %w", err)
	}
	if tk.User.Issuer == "" {
		tk.User.Issuer = Issuer
	}
	if tk.User.Subject == "" {
		tk.User.Subject = NewID(t.signer.rand, idChars)
	}
	if tk.Role == "" {
		tk.Role = RoleGuest
	}
	tk.ID, tk.Expires, tk.Issued = registered.ID, registered.ExpiresAt.UTC(), t.signer.now().UTC().Truncate(time.Microsecond)
	if err := tk.check(); err != nil {
		return "", Ticket{}, fmt.Errorf("issue ticket: %w", err)
	}
	registered.Subject = tk.User.Subject
	registered.IssuedAt = jwt.NewNumericDate(tk.Issued)
	claims := ticketClaims{registered, tk.Name, tk.Chosen, tk.Rooms, tk.Role, tk.Invite, tk.WalkIn, tk.Seats, "", tk.Issued.Nanosecond() / 1000}
	if tk.User.Issuer != Issuer {
		claims.UserIssuer = tk.User.Issuer
	}
	token, err = t.signer.sign(claims)
	if err != nil {
		return "", Ticket{}, fmt.Errorf("issue ticket: %w", err)
	}
	return token, tk, nil
}

// Verify returns the ticket that Issue put into token. Its errors wrap
// ErrUnauthorized, or are ErrExpired; what they say is for the log only.
func (t *Tickets) Verify(token string) (Ticket, error) {
	var c ticketClaims
	if err := t.signer.verify(token, &c); err != nil {
		return Ticket{}, err
	}
	tk := Ticket{
		ID:      c.ID,
		User:    User{Issuer: cmp.Or(c.UserIssuer, c.Issuer), Subject: c.Subject},
		Name:    c.Name,
		Chosen:  c.Chosen,
		Rooms:   c.Rooms,
		Role:    c.Role,
		Invite:  c.Invite,
		WalkIn:  c.WalkIn,
		Seats:   c.Seats,
		Expires: c.ExpiresAt.UTC(),
	}
	if c.IssuedAt != nil && c.Micros >= 0 && c.Micros < 1e6 {
		tk.Issued = c.IssuedAt.UTC().Truncate(time.Second).Add(time.Duration(c.Micros) * time.Microsecond)
	}
	if err := tk.check(); err != nil {
		return Ticket{}, refuse("ticket: %w", err)
	}
	return tk, nil
}
