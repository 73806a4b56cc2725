package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
)

// adminSocket is a Unix socket that only the server's user may open. The file's permissions are all that protects it.
type adminSocket struct {
	net.Listener
	path string
	file os.FileInfo // what we have put at path
	once sync.Once
}

// listenAdmin listens at path, in the place of what a former process has left there, or of a process that is about to
// stop.
func listenAdmin(path string) (*adminSocket, error) {
	fresh := path
	if runtime.GOOS == "windows" { // which replaces no socket
		_ = os.Remove(path)
	} else {
		fresh = filepath.Join(filepath.Dir(path), strconv.Itoa(os.Getpid())+".sock")
		_ = os.Remove(fresh)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, adminPathProblem(path, err)
	}
	l.SetUnlinkOnClose(false)
	s := &adminSocket{Listener: l, path: path}
	err = os.Chmod(fresh, 0o600) // nobody knows its name yet
	if err == nil && fresh != path {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		s.file, err = os.Lstat(path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(fresh)
		return nil, err
	}
	return s, nil
}

// maxSocketPath is how long the path of a socket may be on every system.
const maxSocketPath = 100

func adminPathProblem(path string, err error) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("%w (hint: the path %s has more than %d characters, too many for a socket; use a state_dir with a shorter path)", err, path, maxSocketPath)
	}
	return err
}

// Close ends the listening, and removes the file unless another process has put its own there.
func (s *adminSocket) Close() (err error) {
	s.once.Do(func() {
		err = s.Listener.Close()
		if there, e := os.Lstat(s.path); e == nil && os.SameFile(there, s.file) {
			err = errors.Join(err, os.Remove(s.path))
		}
	})
	return err
}
