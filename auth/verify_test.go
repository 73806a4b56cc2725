package auth

import (
	"testing"
	"time"
)

// TestVerify: a credential is good as it was minted and until it expires, whoever minted it, and nothing else is.
func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	one, two := NewSecret([]byte("one shared secret")), NewSecret([]byte("the other one"))
	signaling := NewSecret([]byte("signaling's secret"))
	c := NewCredentials("realm", signaling, []Secret{one, two}, func() time.Time { return now })
	other := NewCredentials("realm", NewSecret([]byte("another server's")), []Secret{two}, func() time.Time { return now })
	rest, _ := c.MintREST("alice", time.Hour)
	second, _ := other.MintREST("s.alice", time.Hour)
	for _, row := range []struct {
		cred Credential
		want GrantKind
	}{
		{c.MintSession("S1", "alice", time.Hour), GrantSession}, {c.MintRelayOnly("alice", time.Hour), GrantRelayOnly},
		{rest, GrantREST}, {second, GrantREST},
	} {
		g, ok := c.Verify(row.cred.Username, row.cred.Password)
		if !ok || g.Kind != row.want || g.Username != row.cred.Username || row.want == GrantSession && g.Session != "S1" {
			t.Errorf("%v: %+v, %v", row.want, g, ok)
		}
		for _, password := range []string{"", row.cred.Password[1:], row.cred.Password + "x", rest.Password + second.Password} {
			if _, ok := c.Verify(row.cred.Username, password); ok {
				t.Errorf("%v: a wrong password is accepted", row.want)
			}
		}
		if _, ok := c.Verify("1"+row.cred.Username, row.cred.Password); ok {
			t.Errorf("%v: another username is accepted", row.want)
		}
	}
	forged := other.MintSession("S1", "alice", time.Hour)
	if _, ok := c.Verify(forged.Username, forged.Password); ok {
		t.Error("another server's session is accepted")
	}
	for _, name := range []string{"", "x", "x:s.S1"} {
		if _, ok := c.Verify(name, Password(one, name)); ok {
			t.Errorf("%q is accepted", name)
		}
	}
	now = now.Add(time.Hour)
	if _, ok := c.Verify(rest.Username, rest.Password); ok {
		t.Error("an expired one is accepted")
	}
}
