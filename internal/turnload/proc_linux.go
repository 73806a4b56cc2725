package turnload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHZ is the unit of /proc/stat, 1/100 s on every architecture that Go runs on.
const userHZ = 100

// unusedTime is the time in which processors had nothing to do, or belonged to another virtual machine, summed over
// all.
func unusedTime() (unused time.Duration, processors int, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (unused time.Duration, processors int, err error) {
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		// cpu0 user nice system idle iowait irq softirq steal guest guest_nice
		f := strings.Fields(lines.Text())
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		processors++
		for _, column := range []string{f[4], f[5], f[8]} {
			n, err := strconv.ParseInt(column, 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("/proc/stat: %w", err)
			}
			unused += time.Duration(n) * time.Second / userHZ
		}
	}
	if processors == 0 {
		return 0, 0, fmt.Errorf("/proc/stat names no processor")
	}
	return unused, processors, nil
}

// stopwatch measures the time that the machine's processors spend.
type stopwatch struct {
	begin  time.Time
	unused time.Duration
}

func startStopwatch() (stopwatch, error) {
	unused, _, err := unusedTime()
	return stopwatch{time.Now(), unused}, err
}

// busy returns the time that has passed, and the processor time that the machine spent in it.
func (s stopwatch) busy() (passed, busy time.Duration, err error) {
	unused, processors, err := unusedTime()
	passed = time.Since(s.begin)
	return passed, max(0, passed*time.Duration(processors)-(unused-s.unused)), err
}

// ResidentBytes is the memory of a process.
func ResidentBytes(pid int) (int64, error) {
	return kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// ProcessTime is the processor time that the living threads of a process have spent so far. It is exact, unlike
// /proc/PID/stat, which counts ticks: a server that runs for microseconds at a time falls between them.
func ProcessTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("there is no process %d, or the kernel keeps no schedstat", pid)
	}
	var sum time.Duration
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		took, err := parseSchedstat(b)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += took
	}
	return sum, nil
}

// parseSchedstat reads the first of three numbers: the nanoseconds on a processor.
func parseSchedstat(b []byte) (time.Duration, error) {
	first, _, _ := strings.Cut(string(b), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(n), err
}

// slabBytes is the memory of the kernel's small objects: sockets, files, routes.
func slabBytes() (int64, error) { return kilobytes("/proc/meminfo", "Slab:") }

// kilobytes finds a line like "VmRSS:   123 kB" and returns bytes.
func kilobytes(file, name string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no line %s", file, name)
}
