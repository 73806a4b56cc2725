package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"turnpike/internal/config"
)

// secretInterval is the time between two looks at the file of the secret.
const secretInterval = 10 * time.Second

// stateProblem says why the state directory cannot be used, and what to do.
func stateProblem(cfg *config.Config, err error) error {
	dir := cfg.StateDir
	if abs, absErr := filepath.Abs(dir); absErr == nil {
		dir = abs
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return cfg.Errorf("state_dir", "%w; give this user (uid %d) the directory %s, or name another with --state", err, os.Getuid(), dir)
	case isErrno(err, syscall.EROFS, errorWriteProtect):
		return cfg.Errorf("state_dir", "%w; make %s writable, or name another directory with --state", err, dir)
	case isErrno(err, syscall.ENOSPC, errorDiskFull):
		return cfg.Errorf("state_dir", "%w; make room for %s, or name another directory with --state", err, dir)
	}
	return cfg.Errorf("state_dir", "%w", err)
}

// Windows' numbers for a file system that is read-only, and for one that is full.
const (
	errorWriteProtect = 19
	errorDiskFull     = 112
)

// watchSecret warns once when `turnpike secret rotate` has made another secret than the one that this server started with.
// It returns then, or when ctx ends.
func (n *Node) watchSecret(ctx context.Context) {
	ours, err := os.Stat(n.cfg.SecretFile())
	if err != nil {
		return
	}
	tick := time.NewTicker(secretInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if there, err := os.Stat(n.cfg.SecretFile()); err == nil && !os.SameFile(ours, there) {
			n.log.Warn("the state has a new secret; start the server anew: until then it refuses the invites and tickets that commands sign with it",
				"file", n.cfg.SecretFile())
			return
		}
	}
}
