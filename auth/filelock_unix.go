//go:build unix

package auth

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// noFollow makes an opening fail where the name is a symbolic link. The directory belongs to the server's user, who could
// lead a command of root's to any file of the system by one.
const noFollow = unix.O_NOFOLLOW

// tryLockFile locks f, or reports that another process holds the lock. The lock ends with the process.
func tryLockFile(f *os.File) (busy bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR), err
}

func unlockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// ownLikeDir gives a file that root created to the owner of its directory: the server, which may run as another user,
// must read it.
func ownLikeDir(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(f.Name()), &dir); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(f.Name()), Err: err}
	}
	return f.Chown(int(dir.Uid), int(dir.Gid))
}

// syncDir makes a new name in the directory of path survive a crash.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
