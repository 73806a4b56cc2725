package auth

import (
	"log/slog"

	"github.com/golang-jwt/jwt/v5"
)

// maxClaimedBytes bounds what a log has of a claim that nobody has verified.
const maxClaimedBytes = 128

// Claimed is a token that was refused, in a log: the issuer, the subject and the
// key that it claims, and never the token itself. Anybody can claim anything.
type Claimed string

// LogValue reads the token only if it is logged.
func (c Claimed) LogValue() slog.Value {
	token := string(c)
	claims := claimSet{}
	if checkSpelling(token, maxForeignTokenBytes) != nil {
		return slog.StringValue("not readable")
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	if err != nil {
		return slog.StringValue("not readable")
	}
	iss, _ := claims.GetIssuer()
	sub, _ := claims.GetSubject()
	kid, _ := parsed.Header["kid"].(string)
	return slog.GroupValue(
		slog.String("iss", cutBytes(iss, maxClaimedBytes)), slog.String("sub", cutBytes(sub, maxClaimedBytes)), slog.String("kid", cutBytes(kid, maxClaimedBytes)),
	)
}
