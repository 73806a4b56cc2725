package signal

import (
	"fmt"
	"testing"
	"time"
)

func TestExpiringIsBounded(t *testing.T) {
	var e expiring[int]
	now := time.Now()
	for i := range maxExpiring + 1 {
		e.keep(fmt.Sprint(i), i, now.Add(time.Duration(i)))
	}
	if _, ok := e.values["0"]; ok || len(e.values) != maxExpiring || len(e.order) != maxExpiring {
		t.Errorf("%d values, %d in order, first kept: %v", len(e.values), len(e.order), ok)
	}
	if !e.expire(now.Add(maxExpiring), 10) || len(e.order) != maxExpiring-10 {
		t.Errorf("%d in order after ten have expired", len(e.order))
	}
	e.expire(now.Add(maxExpiring), maxExpiring)
	if len(e.values) != 0 || len(e.order) != 0 {
		t.Errorf("%d values, %d in order after all expired", len(e.values), len(e.order))
	}
}

// TestExpiringKeepsTheTime holds that an entry that is kept again expires at its first time.
func TestExpiringKeepsTheTime(t *testing.T) {
	var e expiring[int]
	now := time.Now()
	e.keep("x", 1, now.Add(1))
	e.keep("x", 2, now.Add(3))
	if len(e.order) != 1 || e.values["x"] != 2 {
		t.Errorf("kept %v, in the order %v", e.values, e.order)
	}
	if e.expire(now.Add(1), 2); e.has("x") {
		t.Error("it has not expired")
	}
}
