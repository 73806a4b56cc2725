package turnload

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const stat = "cpu  10 0 10 300 4 0 3 2 0 0\ncpu0 5 0 5 100 1 0 1 2 0 0\ncpu1 5 0 5 200 3 0 2 0 0 0\nintr 1 2\n"
	unused, processors, err := parseStat([]byte(stat))
	if want := 3060 * time.Millisecond; err != nil || unused != want || processors != 2 {
		t.Errorf("%v of %d processors, %v; want %v of 2", unused, processors, err, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3 4 5 6 7 8", "cpu0 a b c d e f g h"} {
		if _, _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestProcessTime(t *testing.T) {
	if took, err := parseSchedstat([]byte("364911 87193 3\n")); err != nil || took != 364_911 {
		t.Errorf("%v, %v; want 364.911µs", took, err)
	}
	if _, err := parseSchedstat([]byte("\n")); err == nil {
		t.Error("nothing was read as a time")
	}
	if took, err := ProcessTime(os.Getpid()); err != nil || took <= 0 || took > time.Hour {
		t.Errorf("this process took %v, %v", took, err)
	}
	if _, err := ProcessTime(-1); err == nil {
		t.Error("no process takes time")
	}
}

func TestMemory(t *testing.T) {
	if n, err := ResidentBytes(os.Getpid()); err != nil || n < 1<<20 || n > 1<<40 {
		t.Errorf("this process has %d bytes, %v", n, err)
	}
	if n, err := slabBytes(); err != nil || n < 1<<20 {
		t.Errorf("the kernel has %d bytes, %v", n, err)
	}
	if _, err := ResidentBytes(-1); err == nil {
		t.Error("no process has memory")
	}
}

// TestStopwatch: while this process works, the machine is busy.
func TestStopwatch(t *testing.T) {
	s, err := startStopwatch()
	if err != nil {
		t.Fatal(err)
	}
	for {
		passed, busy, err := s.busy()
		if err != nil || passed > 10*time.Second {
			t.Fatalf("after %v of work the machine was busy for %v, %v", passed, busy, err)
		}
		if busy > passed/4 && passed > 100*time.Millisecond {
			return
		}
	}
}
