package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"example.org/turnpike/internal/config"
)

// secretInterval bounds how long a running server signs with a secret that another has replaced.
const secretInterval = time.Second / 2

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

// watchSecret takes up the secret that `turnpike secret rotate` makes, until ctx ends.
func (n *Node) watchSecret(ctx context.Context) {
	tick := time.NewTicker(secretInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		isNew, err := n.secret.Reload()
		if err != nil && !failing { // once, not each second
			n.log.Error("the secret has changed and cannot be read; the former one goes on", "err", err)
		}
		failing = err != nil
		if isNew {
			n.log.Info("a new secret signs from now on", "file", n.cfg.SecretFile())
			n.signal.RenewAll()
		}
	}
}
