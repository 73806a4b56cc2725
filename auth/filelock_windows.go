package auth

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockedByte stands for the whole file. It lies beyond the end, because a lock
// on Windows also keeps others from reading the bytes that it covers.
const lockedByte = 1 << 30

// noFollow is for systems where root runs commands in the directory of another user.
const noFollow = 0

// tryLockFile locks f, or reports that another process holds the lock. The lock ends with the process.
func tryLockFile(f *os.File) (busy bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
	return errors.Is(err, windows.ERROR_LOCK_VIOLATION), err
}

// ownLikeDir does nothing: on Windows the owner of a file does not decide who may read it.
func ownLikeDir(*os.File) error { return nil }

func unlockFile(f *os.File) error {
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
}

// syncDir does nothing: Windows cannot sync a directory.
func syncDir(string) error { return nil }
