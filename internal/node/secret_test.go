package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"turnpike/auth"
	"turnpike/internal/config"
)

// TestNewSecretIsNoticed: a server whose secret was replaced says once that it must be started anew.
func TestNewSecretIsNoticed(t *testing.T) {
	cfg := config.Default(t.TempDir())
	if _, err := auth.LoadOrCreateSecret(cfg.SecretFile(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		n := &Node{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { n.watchSecret(ctx) })
		time.Sleep(time.Hour) // in the bubble's time
		if log.String() != "" {
			t.Errorf("without a new secret it says: %s", log.String())
		}
		for range 2 {
			if err := auth.RotateSecret(cfg.SecretFile(), time.Now().Add(time.Hour), time.Now(), rand.Reader); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * secretInterval)
		}
		cancel()
		watching.Wait()
		if got := strings.Count(log.String(), "start the server anew"); got != 1 {
			t.Errorf("it says %d times: %s", got, log.String())
		}
	})
}

// TestStateProblem: a state directory that cannot be written is an error that says whose, where and what to do.
func TestStateProblem(t *testing.T) {
	cfg := config.Default("here")
	here, err := filepath.Abs("here")
	if err != nil {
		t.Fatal(err)
	}
	for want, errno := range map[string]syscall.Errno{
		fmt.Sprintf("give this user (uid %d) the directory %s", os.Getuid(), here): syscall.EACCES,
		"make " + here + " writable": syscall.EROFS,
		"make room for " + here:      syscall.ENOSPC,
	} {
		err := stateProblem(cfg, fmt.Errorf("create secret: %w", &fs.PathError{Op: "mkdir", Path: "here", Err: errno}))
		if got := err.Error(); !strings.HasPrefix(got, "state_dir: create secret: mkdir here: ") || !strings.Contains(got, want) || !strings.HasSuffix(got, "with --state") {
			t.Errorf("%v: %s, want %s", errno, got, want)
		}
	}
}
