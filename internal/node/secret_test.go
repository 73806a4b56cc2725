package node

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
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
