package client

import (
	"strings"
	"testing"

	"example.org/turnpike/signal/wire"
)

// TestKickedAtOnce: a Join that learns of its room when that was left already says why.
func TestKickedAtOnce(t *testing.T) {
	inACrowd(t, func(c *crowd) {
		s := (*Session)(c.handler)
		e := s.enter("club")
		c.Message(&wire.Joined{Room: "club", Size: 4})
		c.Message(&wire.Left{Room: "club", Reason: wire.ReasonKicked})
		if _, err := s.result("club", e); CodeOf(err) != CodeLeft || !strings.Contains(err.Error(), wire.ReasonKicked) {
			t.Errorf("the Join says %v", err)
		}
		e = s.enter("club")
		c.Message(&wire.Waiting{Room: "club"})
		c.Message(&wire.Left{Room: "club", Reason: wire.ReasonRefused})
		if _, err := s.result("club", e); CodeOf(err) != wire.ReasonRefused {
			t.Errorf("a Join that was refused says %v", err)
		}
		if len(s.entries) != 0 {
			t.Errorf("%d entries are left", len(s.entries))
		}
	})
}
