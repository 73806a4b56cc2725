package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// mostAllocations bounds the bytes read of a list of relays.
const mostAllocations = 64 << 20

// Offload asks a server on this machine whether the kernel forwards flows, and of how many relays. url is where the
// server lists its relays. A kernel that forwards none is no failure. If no server of ours answers there, ok is false.
func Offload(ctx context.Context, timeout time.Duration, url string) (f Finding, ok bool) {
	status, err := askOffload(ctx, url)
	if err != nil {
		return Finding{}, false
	}
	return step(ctx, timeout, "offload", url, func(_ context.Context, f *Finding) error {
		f.Detail = status.sentence()
		return nil
	}), true
}

// relaysStatus is the part of the answer to GET /allocations that matters here.
type relaysStatus struct {
	Offload *struct {
		On     bool
		Reason string
		Flows  int
	}
	Allocations []struct{ Offloaded []json.RawMessage }
}

func (s *relaysStatus) sentence() string {
	if !s.Offload.On && s.Offload.Reason == "" {
		return "flows go through the process, as turn.offload has it"
	}
	if !s.Offload.On {
		return "flows go through the process: " + s.Offload.Reason
	}
	relays := 0
	for _, a := range s.Allocations {
		if len(a.Offloaded) > 0 {
			relays++
		}
	}
	return fmt.Sprintf("the kernel forwards %d flows, of %d of %d relays", s.Offload.Flows, relays, len(s.Allocations))
}

func askOffload(ctx context.Context, url string) (*relaysStatus, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var s relaysStatus
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostAllocations)).Decode(&s); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || s.Offload == nil {
		return nil, errors.New("not a list of relays")
	}
	return &s, nil
}
