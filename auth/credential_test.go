package auth

import (
	"crypto/md5"
	"testing"
	"time"
)

func longTermKey(username, realm, password string) [md5.Size]byte {
	return md5.Sum([]byte(username + ":" + realm + ":" + password))
}

func TestMintedCredentialsAreCandidates(t *testing.T) {
	c := NewCredentials("realm", testSecret("signaling"), []Secret{testSecret("one"), testSecret("two")}, at(epoch))
	rest, ok := c.MintREST("ann", time.Hour)
	if !ok {
		t.Fatal("no REST credential")
	}
	for name, tt := range map[string]struct {
		cred Credential
		want Grant
		n    int
	}{
		"session":    {c.MintSession("sess1", "turnpike:ann", time.Hour), Grant{Kind: GrantSession, Session: "sess1"}, 3},
		"relay only": {c.MintRelayOnly("turnpike:ann", time.Hour), Grant{Kind: GrantRelayOnly, User: c.MintRelayOnly("turnpike:ann", 0).Username[11:]}, 3},
		"rest":       {rest, Grant{Kind: GrantREST, User: "ann"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.Candidates([]byte(tt.cred.Username), nil)
			if !ok || len(got) != tt.n {
				t.Fatalf("%d candidates, ok %v; want %d", len(got), ok, tt.n)
			}
			tt.want.Username = tt.cred.Username
			tt.want.Expires = epoch.Add(time.Hour)
			key := longTermKey(tt.cred.Username, "realm", tt.cred.Password)
			matches := 0
			for _, candidate := range got {
				if candidate.Key == key {
					matches++
					if candidate.Grant != tt.want {
						t.Errorf("grant %+v\n want %+v", candidate.Grant, tt.want)
					}
				}
			}
			if matches != 1 {
				t.Errorf("%d candidates have the credential's key, want 1", matches)
			}
		})
	}
}
