package acme

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// backoff is a minute after the first failure, and an hour from the seventh on. A directory allows few failures an hour.
func backoff(failures int) time.Duration {
	minutes := []time.Duration{1, 2, 5, 10, 20, 30, 60}
	return minutes[min(failures, len(minutes))-1] * time.Minute
}

// retryAfter is how Let's Encrypt says when a rate limit lets us in again.
var retryAfter = regexp.MustCompile(`retry after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`)

const (
	limitedWait  = time.Hour      // for a rate limit that does not say how long
	longestLimit = 24 * time.Hour // we ask again after that, whatever the directory says
)

// untilAllowed returns how long a directory that has set a rate limit wants to hear nothing, and whether it has said so;
// 0 for other errors.
func untilAllowed(err error, now time.Time) (wait time.Duration, said bool) {
	problem, ok := errors.AsType[acme.Problem](err)
	if !ok || problem.Type != acme.ProblemTypeRateLimited {
		return 0, false
	}
	if found := retryAfter.FindStringSubmatch(problem.Detail); found != nil {
		if at, err := time.Parse(time.DateTime, found[1]); err == nil && at.After(now) {
			return min(at.Sub(now).Round(time.Second)+time.Second, longestLimit), true
		}
	}
	return limitedWait, false
}

// explain says what the operator can do about an error.
func explain(err error, host string) error {
	problem, ok := errors.AsType[acme.Problem](err)
	if !ok {
		return err
	}
	hint := ""
	switch problem.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS, acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		hint = host + " must lead to this machine, and its firewall must let in TCP 443 or 80 from everywhere"
	case acme.ProblemTypeDNS:
		hint = "give " + host + " an address record (A or AAAA) that leads to this machine"
	case acme.ProblemTypeCAA:
		hint = "a CAA record of the name's zone allows other authorities only; add this one, or remove the record"
	case acme.ProblemTypeRejectedIdentifier:
		hint = "the directory gives no certificate for " + host + "; use another public_host, or another tls.acme_directory"
	case acme.ProblemTypeRateLimited:
		hint = "nothing is wrong here but that the directory was asked too often; wait"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		hint = "correct tls.acme_email, or remove it"
	default:
		return fmt.Errorf("the directory refuses: %w", problem)
	}
	return fmt.Errorf("the directory refuses: %w; %s", problem, hint)
}
