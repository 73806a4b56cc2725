package probe

import (
	"context"
	"slices"

	"example.org/turnpike/auth"
	"example.org/turnpike/signal/wire"
)

// unnamed tries the URLs that the server has and that signaling did not name. It returns what worked.
func (r *run) unnamed(ctx context.Context, servers []wire.ICEServer, cred auth.Credential) (found []reached) {
	if cred.Username == "" {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for _, raw := range r.web.about(asking).URLs {
		if !slices.ContainsFunc(servers, func(s wire.ICEServer) bool { return slices.Contains(s.URLs, raw) }) {
			found = append(found, r.ice(ctx, raw, cred)...)
		}
	}
	return found
}
