package auth

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// The byte that stands for the whole file lies beyond its end: a lock on
// Windows keeps others from reading what it covers, too.
const lockedByte = 1 << 30

// tryLockFile locks f, or reports that another process has it locked. The lock ends with the process.
func tryLockFile(f *os.File) (busy bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
	return errors.Is(err, windows.ERROR_LOCK_VIOLATION), err
}

// ownLikeDir has nothing to do: whose a file is does not say who may read it here.
func ownLikeDir(*os.File) error { return nil }

func unlockFile(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
}

// syncDir has nothing to do: directories cannot be synced here.
func syncDir(string) error { return nil }
