package turnserver

import (
	"slices"
	"testing"
)

// TestSpare: loops have spare processors from the first busy sweep on, until they have been calm for a while. They keep
// none while there are none.
func TestSpare(t *testing.T) {
	var sp spareProcessors
	var asked []bool
	look := func(waits uint32) {
		sp.update(waits, func(spare bool) {
			if sp.granted.Load() {
				t.Errorf("asked for %v while loops keep their Ps", spare)
			}
			asked = append(asked, spare)
		})
	}
	look(busyWaits - 1)
	if len(asked) > 0 {
		t.Error("asked without need")
	}
	look(busyWaits)
	for range calmFor - 1 {
		look(0)
	}
	look(busyWaits) // calm has to begin again
	for range calmFor - 1 {
		look(0)
	}
	if want := []bool{true}; !slices.Equal(asked, want) || !sp.granted.Load() {
		t.Errorf("asked %v, want %v", asked, want)
	}
	look(0)
	look(0)
	if want := []bool{true, false}; !slices.Equal(asked, want) || sp.granted.Load() {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

// TestSpareInUse: a server counts how busy its loops are.
func TestSpareInUse(t *testing.T) {
	if !loops || portable {
		t.Skip("there are no loops on this path")
	}
	asked := make(chan bool, 1)
	s := startServer(t, func(cfg *Config) {
		cfg.SpareProcessors = func(spare bool) {
			select {
			case asked <- spare:
			default:
			}
		}
	})
	s.spare.granted.Store(false)
	c := dial(t, s, "udp")
	for !s.spare.granted.Load() {
		c.barrier()
	}
	if !<-asked {
		t.Error("the first call gives processors back")
	}
}
