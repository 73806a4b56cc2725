package node

import (
	"context"
	"os"
	"time"
)

// secretInterval is the time between two looks at the file of the secret.
const secretInterval = 10 * time.Second

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
