package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
)

const (
	// ledgerInterval bounds how long a running server takes a revoked invite for good.
	ledgerInterval = time.Second

	// ledgerKeep is how long the ledger remembers an invite after the last ticket made from it has expired.
	ledgerKeep = 24 * time.Hour

	ledgerPruneInterval = time.Hour
)

// openLedger opens the server's ledger of invites and drops the expired ones.
func openLedger(cfg *config.Config, log *slog.Logger) (*auth.Ledger, error) {
	ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, log)
	if err != nil {
		return nil, stateProblem(cfg, err)
	}
	pruneLedger(cfg, ledger, log)
	return ledger, nil
}

func pruneLedger(cfg *config.Config, ledger *auth.Ledger, log *slog.Logger) {
	if err := ledger.Prune(ledgerKeep + cfg.Auth.TicketTTL); err != nil {
		log.Warn("expired invites stay in the ledger", "err", err)
	}
}

// watchInvites reads the revocations and kicks that commands write, and drops expired invites, until ctx ends.
func (n *Node) watchInvites(ctx context.Context) {
	tick, prune := time.NewTicker(ledgerInterval), time.NewTicker(ledgerPruneInterval)
	defer tick.Stop()
	defer prune.Stop()
	failing := false
	var before []string    // revoked in the interval before
	var kicked []auth.Kick // likewise
	for {
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			pruneLedger(n.cfg, n.ledger, n.log)
			continue
		case <-tick.C:
		}
		revoked, err := n.ledger.Poll()
		if err != nil && !failing { // once, not each second
			n.log.Error("revoked invites cannot be read", "err", err)
		}
		failing = err != nil
		for _, id := range revoked {
			n.log.Info("invite revoked", "invite", id)
		}
		if both := slices.Concat(before, revoked); len(both) > 0 { // twice, for sessions that were just beginning
			n.onRevoked(both)
		}
		before = revoked
		kicks := n.ledger.PollKicks()
		for _, who := range slices.Concat(kicked, kicks) {
			n.onKicked(who)
		}
		kicked = kicks
	}
}

// closeAuth closes the verifier of tickets, the ledger of invites, the list of machines and the file of what has ended.
func (n *Node) closeAuth() {
	n.verifier.Close()
	n.ended.close()
	if err := n.ledger.Close(); err != nil {
		n.log.Warn("close the ledger of invites", "err", err)
	}
	if err := n.machines.Close(); err != nil {
		n.log.Warn("close the list of machines", "err", err)
	}
}
