package auth

import (
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	resumeAudience = "turnpike-resume"

	// ResumeTTL is the life of a resume token. A session gets a new one before its end.
	ResumeTTL = time.Hour

	// MaxResumeToken is the greatest length of a resume token, in bytes. The session of any ticket has room for 16 rooms.
	MaxResumeToken = 16 << 10
)

// Resume holds what a session needs to go on over another connection, or in another server process that has the same
// secret.
type Resume struct {
	Session    string
	Epoch      string    // identifies the server process that signed
	Generation uint64    // grows with each welcome of the session, from 1
	Number     uint64    // grows with each token of the session, from 1; 0 in tokens of earlier versions
	Ticket     Ticket    // that admitted the user; without Expires, since a session outlives its ticket; Issued is in microseconds; Chosen: the user may choose another name
	Until      time.Time // when the session must end, in whole seconds; zero: never
	Name       string    // that the session has now
	Base       string    // Name without the number that tells it apart from others; empty: there is none
	Named      time.Time // when the user got Name, in microseconds; zero: it does not say
	Chosen     bool      // the user chose Name
	In         []ResumeRoom
}

// ResumeRoom is a room that the session is in, with all that is needed to make the room again.
type ResumeRoom struct {
	ID      string `json:"id"`
	Size    int    `json:"size"`
	Host    bool   `json:"host,omitempty"` // the session is its host
	Locked  bool   `json:"locked,omitempty"`
	Waiting bool   `json:"waiting,omitempty"` // it has a waiting room
	Call    bool   `json:"call,omitempty"`    // a call made it, so it has no host
	NoMedia bool   `json:"nomedia,omitempty"` // the session takes no part in WebRTC there
	// Transports are those that the session has there beside WebRTC.
	Transports []string `json:"transports,omitempty"`

	// See RoomState. They are 0 in tokens of earlier versions, and for the room of a call.
	Made uint64 `json:"made,omitempty"`
	Term uint64 `json:"term,omitempty"`
}

type resumeClaims struct {
	jwt.RegisteredClaims
	TicketID   string       `json:"tid"`
	UserIssuer string       `json:"uis"`
	Epoch      string       `json:"epo"`
	Generation uint64       `json:"gen"`
	Number     uint64       `json:"num,omitempty"`
	Session    string       `json:"ses"`
	Name       string       `json:"name,omitempty"`
	Base       string       `json:"base,omitempty"`
	Named      int64        `json:"nat,omitempty"` // in microseconds; 0: it does not say
	Chosen     bool         `json:"cho,omitempty"`
	MayChoose  bool         `json:"may,omitempty"`
	Rooms      []string     `json:"rooms,omitempty"`
	Role       Role         `json:"role"`
	Invite     string       `json:"inv,omitempty"`
	WalkIn     bool         `json:"walk,omitempty"`
	Seats      int          `json:"seats,omitempty"`
	Issued     int64        `json:"tia,omitempty"` // the ticket's, in microseconds; 0: it does not say
	Until      int64        `json:"end,omitempty"` // in seconds; 0: never
	In         []ResumeRoom `json:"in,omitempty"`
}

// ResumeTokens signs and verifies resume tokens: JWTs like tickets, with a key and an audience of their own.
type ResumeTokens struct{ signer signer }

// NewResumeTokens returns ResumeTokens that sign with a key derived from key. It panics if key is zero.
func NewResumeTokens(key Secret, now func() time.Time, rand io.Reader) *ResumeTokens {
	t := &ResumeTokens{newSigner(resumeAudience, key, now, rand)}
	t.signer.maxBytes = MaxResumeToken
	return t
}

// Issue signs a token that lives for ResumeTTL.
func (t *ResumeTokens) Issue(r Resume) (string, error) {
	registered, err := t.signer.registered(ResumeTTL)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return "", fmt.Errorf("issue resume token: %w", err)
	}
	registered.ID = "" // session and generation make the token unique
	registered.Subject = r.Ticket.User.Subject
	token, err := t.signer.sign(resumeClaims{
		RegisteredClaims: registered, TicketID: r.Ticket.ID, UserIssuer: r.Ticket.User.Issuer, Epoch: r.Epoch, Generation: r.Generation, Number: r.Number,
		Session: r.Session, Name: r.Name, Base: r.Base, Named: microsOf(r.Named), Chosen: r.Chosen, MayChoose: r.Ticket.Chosen, Rooms: r.Ticket.Rooms, Role: r.Ticket.Role,
		Invite: r.Ticket.Invite, WalkIn: r.Ticket.WalkIn, Seats: r.Ticket.Seats, Issued: microsOf(r.Ticket.Issued), Until: secondsOf(r.Until), In: r.In,
	})
	if err != nil {
		return "", fmt.Errorf("issue resume token: %w", err)
	}
	return token, nil
}

// Verify returns what Issue put into token. Its errors wrap ErrUnauthorized, or are ErrExpired; what they say is for the
// log only.
func (t *ResumeTokens) Verify(token string) (Resume, error) {
	var c resumeClaims
	if err := t.signer.verify(token, &c); err != nil {
		return Resume{}, err
	}
	r := Resume{
		Session: c.Session, Epoch: c.Epoch, Generation: c.Generation, Number: c.Number, Name: c.Name, Base: c.Base, Chosen: c.Chosen, In: c.In,
		Ticket: Ticket{
			ID: c.TicketID, User: User{Issuer: c.UserIssuer, Subject: c.Subject}, Name: c.Name, Chosen: c.MayChoose, Rooms: c.Rooms, Role: c.Role, Invite: c.Invite, WalkIn: c.WalkIn, Seats: c.Seats,
		},
	}
	if c.Until > 0 {
		r.Until = time.Unix(min(c.Until, maxExpiry), 0).UTC()
	}
	if c.Issued > 0 {
		r.Ticket.Issued = time.UnixMicro(c.Issued).UTC()
	}
	if c.Named > 0 {
		r.Named = time.UnixMicro(c.Named).UTC()
	}
	if err := r.check(); err != nil {
		return Resume{}, refuse("resume token: %w", err)
	}
	return r, nil
}

func secondsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// check holds the conditions of both Issue and Verify.
func (r Resume) check() error {
	switch {
	case r.Session == "" || r.Epoch == "":
		return errors.New("no session or epoch")
	case r.Ticket.User.Issuer == "" || r.Ticket.User.Subject == "":
		return errors.New("no user")
	case !r.Ticket.Role.valid():
		return fmt.Errorf("unknown role %q", r.Ticket.Role)
	}
	for _, text := range append([]string{r.Session, r.Epoch, r.Name, r.Base, r.Ticket.ID, r.Ticket.User.Issuer, r.Ticket.User.Subject, r.Ticket.Invite}, r.Ticket.Rooms...) {
		if !utf8.ValidString(text) {
			return errNotUTF8
		}
	}
	for _, room := range r.In {
		if room.ID == "" || room.Size < 1 {
			return fmt.Errorf("room %q of size %d", room.ID, room.Size)
		}
	}
	return nil
}
