package auth

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestClaimed(t *testing.T) {
	token := appSign(t, "HS256", appClaims(), "kid", "k1")
	for name, tt := range map[string]struct {
		token string
		want  string
	}{
		"a token": {token, `claims.iss=https://app.example claims.sub=ann claims.kid=k1`},
		"forged":  {token[:len(token)-4] + "AAAA", `claims.iss=https://app.example claims.sub=ann claims.kid=k1`},
		"bare":    {rawToken("HS256", `{"alg":"HS256"}`, `{"sub":7}`), `claims.iss="" claims.sub=7 claims.kid=""`},
		"long":    {appSign(t, "HS256", appWith("iss", strings.Repeat("i", 1000))), "claims.iss=" + strings.Repeat("i", maxClaimedBytes) + " "},
		"lines":   {appSign(t, "HS256", appWith("iss", "a"), "kid", "b\nc"), `claims.kid="b\nc"`},
		"garbage": {"x", `claims="not readable"`},
		"huge":    {strings.Repeat("a", maxForeignTokenBytes+1), `claims="not readable"`},
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("ticket refused", "claims", Claimed(tt.token))
		if !strings.Contains(log.String(), tt.want) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s: %s", name, log.String())
		}
		if strings.Contains(log.String(), tt.token) && len(tt.token) > 1 {
			t.Errorf("%s: the log has the token: %s", name, log.String())
		}
	}
}
