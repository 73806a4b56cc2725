package signal

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"example.org/turnpike/auth"
)

// askedName is the name that a session comes with.
type askedName struct {
	shown, canonical string
	chosen           bool   // the user chose it
	kept             bool   // it is kept for a user who need not be online: nobody else gets it
	space            string // where a name that the user did not choose must be nobody else's: Server.nameSpace

	// Of a session that comes back from another process.
	former string    // the name with the number that it had there; empty: the session is new
	since  time.Time // when the user got it
}

// nameOf returns the name of a new session: the ticket's, or the one that the user said in hello. The error is a
// sentence about a name that the user chose; a name of the issuer's is made fit.
func (srv *Server) nameOf(ticket *auth.Ticket, said string) (asked askedName, err error) {
	name, chosen := ticket.Name, ticket.Chosen
	if said != "" && said != name && mayChooseName(ticket) {
		name, chosen = said, true
	}
	if !chosen {
		return srv.vouchedName(name, ticket.User), nil
	}
	return srv.chosenName(name, ticket.User)
}

// mayChooseName reports whether the user of a ticket chooses its name. The maker of the ticket vouches for the names of all
// others, and a machine's is its own.
func mayChooseName(ticket *auth.Ticket) bool {
	if ticket.User.Issuer == auth.MachineIssuer {
		return false
	}
	return ticket.Name == "" || ticket.Chosen || ticket.Role == auth.RoleGuest
}

// chosenName checks a name that its user chose. The error is a sentence about it.
func (srv *Server) chosenName(name string, user auth.User) (asked askedName, err error) {
	asked.chosen, asked.space = true, srv.nameSpace(user.Issuer)
	asked.shown, asked.canonical, err = auth.CleanName(name)
	asked.kept = srv.keepsName(asked.canonical, user)
	return asked, err
}

// keepsName reports whether a name is kept from a user. The caller need not hold mu.
func (srv *Server) keepsName(canonical string, user auth.User) bool {
	return srv.cfg.KeepsName != nil && srv.cfg.KeepsName(canonical, user)
}

// vouchedName makes a name fit that its user cannot change.
func (srv *Server) vouchedName(name string, user auth.User) askedName {
	shown := cmp.Or(auth.FitName(name), user.PlaceholderName())
	canonical := auth.CanonicalName(shown)
	return askedName{shown: shown, canonical: canonical, space: srv.nameSpace(user.Issuer), kept: srv.keepsName(canonical, user)}
}

// restoredName returns the name of a session that comes back from another process. Its user may have chosen it, but is
// not asked for another: nobody loses a session because its name was taken meanwhile.
func (srv *Server) restoredName(token *auth.Resume) askedName {
	asked := srv.vouchedName(cmp.Or(token.Base, token.Name), token.Ticket.User)
	asked.former, asked.since, asked.chosen = auth.FitName(token.Name), token.Named, token.Chosen
	if srv.keepsName(auth.CanonicalName(asked.former), token.Ticket.User) { // since then
		asked.former = auth.NumberName(asked.shown, 2)
	}
	return asked
}

// freeName returns the name that u, nil for a user who is not online yet, gets: the one that it asks for, or if somebody
// else has it, the same with a number. It reports false if the user can choose another. The caller holds mu.
func (srv *Server) freeName(u *user, asked askedName) (name, canonical string, ok bool) {
	isFree := func(canonical string) bool {
		return !slices.ContainsFunc(srv.names[canonical], func(holder *user) bool {
			return holder != u && (asked.chosen || holder.chose || holder.space == asked.space)
		})
	}
	if asked.former != "" {
		if canonical = auth.CanonicalName(asked.former); isFree(canonical) {
			return asked.former, canonical, true
		}
	}
	if !asked.kept && isFree(asked.canonical) {
		return asked.shown, asked.canonical, true
	}
	if asked.chosen && asked.former == "" {
		return "", "", false
	}
	for n := range numbers {
		name = auth.NumberName(asked.shown, n)
		if canonical = auth.CanonicalName(name); isFree(canonical) {
			break
		}
	}
	return name, canonical, true
}

// numbers yields 2 to 9, then a few numbers at random of each greater length. So it takes few tries to find a number
// that is free, however many users have one name.
func numbers(yield func(int) bool) {
	for n := 2; n <= 9; n++ {
		if !yield(n) {
			return
		}
	}
	for least := 10; ; least = min(10*least, 1e8) {
		for range 3 {
			if !yield(least + rand.IntN(9*least)) {
				return
			}
		}
	}
}
