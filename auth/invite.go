package auth

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const inviteAudience = "turnpike-invite"

// Invite is exchanged for a ticket that opens one room.
type Invite struct {
	ID      string // Unique to the invite.
	Room    string
	Role    Role
	Uses    int       // How many tickets it may be exchanged for, as a Ledger counts them; 0: any number.
	Made    time.Time // UTC, whole seconds; zero: a ledger of an earlier version does not say.
	Expires time.Time // UTC, whole seconds.
}

// check holds the conditions of both Issue and Verify.
func (inv Invite) check() error {
	if inv.ID == "" {
		return errors.New("no ID")
	}
	if inv.Room == "" {
		return errors.New("no room")
	}
	if !inv.Role.valid() {
		return fmt.Errorf("unknown role %q", inv.Role)
	}
	if inv.Uses < 0 {
		return fmt.Errorf("%d uses", inv.Uses)
	}
	if !utf8.ValidString(inv.Room) {
		return errNotUTF8
	}
	return nil
}

type inviteClaims struct {
	jwt.RegisteredClaims
	Room string `json:"room"`
	Role Role   `json:"role"`
	Uses int    `json:"uses,omitempty"`
}

// Invites signs and verifies invites. They are JWTs like tickets, with a key and
// an audience of their own: neither passes for the other.
type Invites struct{ signer signer }

// NewInvites returns Invites that sign with a key derived from key. It panics if
// key is zero.
func NewInvites(key Secret, now func() time.Time, rand io.Reader) *Invites {
	return &Invites{newSigner(inviteAudience, key, now, rand)}
}

// Issue signs an invite that lives for ttl, in whole seconds. It fills in ID, Made
// and Expires, and the role guest if there is none. It returns the invite as Verify
// will.
func (i *Invites) Issue(inv Invite, ttl time.Duration) (token string, issued Invite, err error) {
	registered, err := i.signer.registered(ttl)
	if err != nil {
		return "", Invite{}, fmt.Errorf("issue invite: %w", err)
	}
	if inv.Role == "" {
		inv.Role = RoleGuest
	}
	inv.ID, inv.Made, inv.Expires = registered.ID, registered.NotBefore.UTC(), registered.ExpiresAt.UTC()
	if err := inv.check(); err != nil {
		return "", Invite{}, fmt.Errorf("issue invite: %w", err)
	}
	if token, err = i.Sign(inv); err != nil {
		return "", Invite{}, err
	}
	return token, inv, nil
}

// Sign signs an invite that Issue has made before, so that its link can be shown
// again: the token is the same, unless the secret is another now.
func (i *Invites) Sign(inv Invite) (token string, err error) {
	registered := jwt.RegisteredClaims{
		Issuer: Issuer, Audience: jwt.ClaimStrings{inviteAudience}, ID: inv.ID, ExpiresAt: jwt.NewNumericDate(inv.Expires),
		IssuedAt: jwt.NewNumericDate(inv.Made), NotBefore: jwt.NewNumericDate(inv.Made),
	}
	token, err = i.signer.sign(inviteClaims{registered, inv.Room, inv.Role, inv.Uses})
	if err != nil {
		return "", fmt.Errorf("sign invite: %w", err)
	}
	return token, nil
}

// Verify returns the invite that Issue put into token. Its errors wrap
// ErrUnauthorized, or are ErrExpired; what they say is for the log only.
func (i *Invites) Verify(token string) (Invite, error) {
	var c inviteClaims
	if err := i.signer.verify(token, &c); err != nil {
		return Invite{}, err
	}
	inv := Invite{ID: c.ID, Room: c.Room, Role: c.Role, Uses: c.Uses, Made: c.NotBefore.UTC(), Expires: c.ExpiresAt.UTC()}
	if err := inv.check(); err != nil {
		return Invite{}, refuse("invite: %w", err)
	}
	return inv, nil
}

// InviteLink is the link that opens a room with an invite. base is the URL of the pages, without a path. The invite
// stands in the fragment, which browsers send to no server and no log sees.
func InviteLink(base, room, token string) string {
	return base + "/r/" + room + "#invite=" + token
}

// InviteToken takes the invite out of such a link. What is no link it returns as it is, without space around it.
func InviteToken(link string) string {
	if _, fragment, ok := strings.Cut(link, "#"); ok {
		if values, err := url.ParseQuery(fragment); err == nil {
			return values.Get("invite")
		}
	}
	return strings.TrimSpace(link)
}
