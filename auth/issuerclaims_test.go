package auth

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzClaims signs arbitrary claims, as an app that was taken over may. Each
// ticket that they make must keep every bound.
func FuzzClaims(f *testing.F) {
	for _, c := range []jwt.MapClaims{appClaims(), appWithout("rooms"), appWith("exp", "x"), appWith("rooms", []any{nil})} {
		f.Add(jsonOf(c))
	}
	f.Add(`{"iss":"https://app.example","iss":"x"}`)
	f.Add(`{"exp":1e400,"iss":"\ud800"}`)
	v := testVerifier(f, appConfig("HS256"))
	f.Fuzz(func(t *testing.T, claims string) {
		tk, err := v.Verify(rawToken("HS256", `{"alg":"HS256","typ":"JWT"}`, claims))
		if err != nil {
			if !errors.Is(err, ErrUnauthorized) || !reflect.DeepEqual(tk, Ticket{}) {
				t.Errorf("%+v, %v", tk, err)
			}
			return
		}
		if tk.User.Issuer != "app" || tk.User.Subject == "" || len(tk.User.Subject) > maxSubjectBytes || !tk.Role.valid() ||
			len(tk.Rooms) > maxClaimList || len(strings.Join(tk.Rooms, "")) > maxRoomsBytes || tk.Expires.Before(epoch.Add(-time.Minute)) || len(tk.Name) > maxRawNameBytes {
			t.Errorf("%q is %+v", claims, tk)
		}
		for _, pattern := range tk.Rooms {
			if checkPattern(pattern) != nil {
				t.Errorf("%q opens %q", claims, pattern)
			}
		}
	})
}
