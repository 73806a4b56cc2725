package node

import "golang.org/x/sys/unix"

// discard gives the pages of b back to the system. They are zeros when they are next used.
func discard(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) } // a failure costs memory, and nothing else
