package acme

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// TestUntilAllowed: a rate limit is waited for as long as the directory says, an hour if it does not, a day at most.
func TestUntilAllowed(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for detail, want := range map[string]time.Duration{
		"too many certificates, retry after 2026-03-04 08:06:07 UTC: see": 3*time.Hour + time.Second,
		"too many certificates, retry after 2026-03-09 08:06:07 UTC: see": 24 * time.Hour,
		"too many certificates, retry after 2026-03-01 08:06:07 UTC: see": time.Hour,
		"too many certificates": time.Hour,
	} {
		err := fmt.Errorf("order: %w", acme.Problem{Type: acme.ProblemTypeRateLimited, Detail: detail})
		got, said := untilAllowed(err, now)
		if got != want || said != (want != time.Hour) {
			t.Errorf("%s: %v, %v, want %v", detail, got, said, want)
		}
	}
	if got, _ := untilAllowed(errors.New("no route"), now); got != 0 {
		t.Errorf("an error of the network waits %v", got)
	}
}

// TestExplain: each refusal that an operator can do something about says what.
func TestExplain(t *testing.T) {
	for problem, want := range map[string]string{
		acme.ProblemTypeConnection:         "let in TCP 443 or 80",
		acme.ProblemTypeDNS:                "give turn.example.org an address record",
		acme.ProblemTypeCAA:                "CAA record",
		acme.ProblemTypeRejectedIdentifier: "another public_host",
		acme.ProblemTypeInvalidContact:     "correct tls.acme_email",
		acme.ProblemTypeServerInternal:     "the directory refuses: HTTP",
	} {
		err := fmt.Errorf("many words: %w", acme.Problem{Type: problem, Detail: "why"})
		if got := explain(err, "turn.example.org").Error(); !strings.Contains(got, want) || !strings.Contains(got, "why") || strings.Contains(got, "many words") {
			t.Errorf("%s: %s", problem, got)
		}
	}
	plain := errors.New("dial tcp: no route to host")
	if got := explain(plain, "x"); got != plain {
		t.Errorf("%v", got)
	}
}

// TestBackoff: the first failure is tried again soon, and none waits longer than an hour.
func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Minute, 3: 5 * time.Minute, 7: time.Hour, 1000: time.Hour} {
		if got := backoff(failures); got != want {
			t.Errorf("%d: %v, want %v", failures, got, want)
		}
	}
}
