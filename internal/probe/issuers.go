package probe

import (
	"context"
	"errors"
	"fmt"

	"example.org/turnpike/auth"
)

// ownIssuers reads the pages of keys that the configuration names, from this machine as the server does.
func (r *run) ownIssuers(ctx context.Context) {
	for i := range r.Own.Auth.Issuers {
		is := &r.Own.Auth.Issuers[i]
		if is.JWKSURL == "" {
			continue
		}
		r.step(ctx, "issuer "+is.Name, is.JWKSURL, func(ctx context.Context, f *Finding) error {
			verifying, err := auth.ReadJWKS(ctx, is.JWKSURL)
			if err == nil && verifying == 0 {
				err = errors.New("the page has no key that can verify a ticket")
			}
			if err != nil {
				return fmt.Errorf("%w; until its keys can be read, the server admits no new user of %s: see that this machine reaches the page, and that auth.issuers[%d].jwks_url is right", err, is.Name, i)
			}
			f.Detail = fmt.Sprintf("keys that can verify: %d", verifying)
			return nil
		})
	}
}
