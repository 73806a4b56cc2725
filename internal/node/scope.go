package node

import (
	"example.org/turnpike/auth"
	"example.org/turnpike/signal"
)

// scope is what signaling tells relaying of sessions.
type scope struct {
	*signal.Server
	credentials *auth.Credentials
}

// UserOf implements turnserver.Scope. The user has the name of its credentials that belong to no session, so that these and those of
// all its sessions have the same budgets.
func (s scope) UserOf(session string) string {
	user := s.Server.UserOf(session)
	if user == "" {
		return ""
	}
	return s.credentials.RelayOnlyUsers(user)[0]
}
