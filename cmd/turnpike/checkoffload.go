package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// mostAllocations bounds what is read of a list of relays.
const mostAllocations = 64 << 20

// checkOffload asks the server on this machine whether the kernel forwards flows, and of which relays. That it does not is no failure. What
// does not answer there is no server of ours that can be asked.
func (c *checker) checkOffload(ctx context.Context) {
	if c.inside == "" {
		return
	}
	status, err := askOffload(ctx, c.inside)
	if err != nil {
		return
	}
	c.step(ctx, "offload", c.inside, func(_ context.Context, r *result) error {
		r.Detail = status.sentence()
		return nil
	})
}

// relaysStatus is what GET /allocations answers, as far as it matters here.
type relaysStatus struct {
	Offload     *offloadJSON
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
