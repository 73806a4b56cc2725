package signal

import (
	"strings"

	"example.org/turnpike/auth"
)

// Presence says whom the members of an issuer see online and may call. Guests, and sessions that came by a code, see nobody but their room mates.
type Presence string

// The values are those of presence in [[auth.issuers]].
const (
	PresenceAll    Presence = "all"    // everybody
	PresenceIssuer Presence = "issuer" // the users of the same issuer
	PresenceNobody Presence = "nobody" // their room mates alone
)

// presenceOf returns what an issuer's members see.
func (srv *Server) presenceOf(issuer string) Presence {
	if p, set := srv.cfg.Presence[issuer]; set {
		return p
	}
	return PresenceAll
}

// sight returns what the user of a ticket sees.
func (srv *Server) sight(t *auth.Ticket) Presence {
	if t.Role == auth.RoleGuest || t.Seats > 0 {
		return PresenceNobody
	}
	return srv.presenceOf(t.User.Issuer)
}

// sees reports whether a session sees a user online. The caller holds mu.
func (s *session) sees(u *user) bool {
	return s.sight == PresenceAll || s.sight == PresenceIssuer && s.user.issuer == u.issuer
}

// lists returns the directories that a user is in: that of all, and that of its issuer, if its members see each other
// alone. The caller holds mu.
func (srv *Server) lists(u *user) []*directory {
	if own := srv.circles[u.issuer]; own != nil {
		return []*directory{&srv.online, &own.online}
	}
	return []*directory{&srv.online}
}

// listFor returns the directory of those whom a session sees; nil: nobody. The caller holds mu.
func (srv *Server) listFor(s *session) *directory {
	switch s.sight {
	case PresenceAll:
		return &srv.online
	case PresenceIssuer:
		return &srv.circles[s.user.issuer].online
	}
	return nil
}

// circle is the users of an issuer whose members see each other alone. Guarded by Server.mu.
type circle struct {
	online  directory
	members members
}

// members are sessions that are told of others, in no order. Guarded by Server.mu.
type members []*session

func (m *members) add(s *session) {
	s.memberAt = len(*m)
	*m = append(*m, s)
}

func (m *members) remove(s *session) {
	list, end := *m, len(*m)-1
	last := list[end]
	list[s.memberAt], last.memberAt = last, s.memberAt
	list[end] = nil
	*m = list[:end]
}

// membersLike returns the list in which a session belongs; nil: it sees nobody. The caller holds mu.
func (srv *Server) membersLike(s *session) *members {
	switch s.sight {
	case PresenceAll:
		return &srv.members
	case PresenceIssuer:
		return &srv.circles[s.user.issuer].members
	}
	return nil
}

// countMembers returns how many sessions are told of others. The caller holds mu.
func (srv *Server) countMembers() int {
	n := len(srv.members)
	for _, c := range srv.circles {
		n += len(c.members)
	}
	return n
}

// nameSpace is where the names that an issuer gives must differ: among its own users, if these do not see others, and
// else among all such users.
func (srv *Server) nameSpace(issuer string) string {
	if srv.presenceOf(issuer) == PresenceAll {
		return ""
	}
	return issuer
}

// issuerOf returns the issuer of a user's wire form.
func issuerOf(user string) string {
	issuer, _, _ := strings.Cut(user, ":")
	return issuer
}

// onlyOf returns the changes of an issuer's users, as a batch of its own.
func (b *presenceBatch) onlyOf(issuer string) *presenceBatch {
	own := &presenceBatch{began: b.began, byUser: make(map[string]*change)}
	for id, c := range b.byUser {
		if issuerOf(id) == issuer {
			copied := *c
			own.byUser[id] = &copied
		}
	}
	own.settle()
	return own
}
