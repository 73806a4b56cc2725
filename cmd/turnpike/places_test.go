package main

import (
	"fmt"
	"testing"
)

// TestPlaces: one user cannot take the places of all others, all of them together have so many, and a place that was given back is free.
func TestPlaces(t *testing.T) {
	var p places
	taken := 0
	for user := range 2 * maxPipes / maxPipesOfOne {
		name := fmt.Sprint("user-", user)
		before := taken
		for range maxPipes {
			if p.take(name) == "" {
				taken++
			}
		}
		if user == 0 && taken != maxPipesOfOne {
			t.Errorf("one user has taken %d places", taken)
		}
		if user == 1 && taken == before {
			t.Error("another user has got none")
		}
	}
	if taken != maxPipes {
		t.Errorf("%d places were taken", taken)
	}
	p.free("user-0")
	if why := p.take("another"); why != "" {
		t.Error(why)
	}
	for user, n := range p.by {
		for range n {
			p.free(user)
		}
	}
	if p.taken != 0 || len(p.by) != 0 {
		t.Errorf("%d places, and %d users, are left", p.taken, len(p.by))
	}
}
