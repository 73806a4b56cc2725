package node

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestBallastTakesNoMemory: whatever was in its place before, no page of the ballast is in memory.
func TestBallastTakesNoMemory(t *testing.T) {
	before := bytes.Repeat([]byte{1}, 2*ballastBytes)
	runtime.KeepAlive(before)
	runtime.GC() // its pages are free, and dirty
	ballast := newBallast()
	defer runtime.KeepAlive(ballast)
	pages := make([]byte, len(ballast)/unix.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&ballast[0])), uintptr(len(ballast)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	resident := 0
	for _, p := range pages {
		resident += int(p & 1)
	}
	if resident > len(pages)/100 {
		t.Errorf("%d of %d pages are in memory", resident, len(pages))
	}
}
