package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/internal/config"
	"example.org/turnpike/internal/httpapi"
)

const (
	// machinesInterval bounds how long a running server takes a machine that another process has revoked for good.
	machinesInterval = 500 * time.Millisecond

	machinesPruneInterval = time.Hour

	// machinesAgain is between two tries to revoke machines, where the first could not be written.
	machinesAgain = 5 * time.Second
)

// openMachines opens the server's list of machines, and writes it anew without those that were revoked.
func openMachines(cfg *config.Config, log *slog.Logger) (*auth.Machines, error) {
	machines, err := auth.OpenMachines(cfg.MachinesFile(), time.Now, log)
	if err != nil {
		return nil, stateProblem(cfg, err)
	}
	pruneMachines(machines, log)
	return machines, nil
}

func pruneMachines(machines *auth.Machines, log *slog.Logger) {
	if err := machines.Prune(); err != nil {
		log.Warn("revoked machines stay in the list of machines", "err", err)
	}
}

// watchMachines reads the revocations that commands and other processes write, until ctx ends.
func (n *Node) watchMachines(ctx context.Context) {
	tick, prune, again := time.NewTicker(machinesInterval), time.NewTicker(machinesPruneInterval), time.NewTicker(machinesAgain)
	defer tick.Stop()
	defer prune.Stop()
	defer again.Stop()
	failing := false
	var before []auth.Machine // ended in the interval before
	for {
		select {
		case <-ctx.Done():
			return
		case <-prune.C:
			pruneMachines(n.machines, n.log)
			continue
		case <-again.C:
			n.revokeAgain()
			continue
		case <-tick.C:
		}
		ended, err := n.machines.Poll()
		if err != nil && !failing { // once, not each time
			n.log.Error("revoked machines cannot be read", "err", err)
		}
		failing = err != nil
		for _, machine := range ended {
			n.log.Info("machine revoked", "machine", machine.Name)
		}
		for _, machine := range slices.Concat(before, ended) { // twice, for sessions that were just beginning
			n.people.endMachine(&machine)
		}
		before = ended
	}
}

// revokeInvited revokes the machines that came by invites that were taken back: they would stay when the ledger forgets the invite.
func (n *Node) revokeInvited(invites ...string) {
	_, unkicked, err := revokeInvited(n.machines, n.ledger, invites...)
	if err != nil {
		n.log.Error("machines stay, or what they have, although their invite was revoked; this is tried again", "invites", invites, "err", err)
	}
	n.unrevoked.mu.Lock()
	defer n.unrevoked.mu.Unlock()
	n.unrevoked.invites = n.unrevoked.invites || err != nil
	n.unrevoked.kicks = append(n.unrevoked.kicks, unkicked...)
}

// unrevoked is what could not be written when machines were revoked with their invites, such as to a full disk.
type unrevoked struct {
	mu sync.Mutex
	// Guarded by mu.
	invites bool
	kicks   []auth.Kick
}

func (u *unrevoked) take() (invites bool, kicks []auth.Kick) {
	u.mu.Lock()
	defer u.mu.Unlock()
	invites, kicks = u.invites, u.kicks
	u.invites, u.kicks = false, nil
	return invites, kicks
}

// revokeAgain tries again what could not be written.
func (n *Node) revokeAgain() {
	invites, kicks := n.unrevoked.take()
	for i, who := range kicks {
		if err := n.ledger.Kick(who); err != nil {
			n.unrevoked.mu.Lock()
			n.unrevoked.kicks = append(n.unrevoked.kicks, kicks[i:]...)
			n.unrevoked.mu.Unlock()
			break
		}
	}
	if invites {
		n.revokeMissed()
	}
}

// revokeInvited returns the names of the machines, and whose kicks could not be written.
func revokeInvited(machines *auth.Machines, ledger *auth.Ledger, invites ...string) (names []string, unkicked []auth.Kick, err error) {
	revoked, err := machines.RevokeInvited(invites...)
	if err != nil {
		return nil, nil, err
	}
	for _, machine := range revoked {
		names = append(names, machine.Name)
		who := auth.Kick{User: machine.User().String()}
		if kick := ledger.Kick(who); kick != nil {
			unkicked, err = append(unkicked, who), errors.Join(err, kick)
		}
	}
	return names, unkicked, err
}

// revokeMissed does revokeInvited for invites that were revoked while no server ran, or that could not be written then.
func (n *Node) revokeMissed() {
	var revoked []string
	for _, machine := range n.machines.List() {
		if n.ledger.Revoked(machine.Invite) {
			revoked = append(revoked, machine.Invite)
		}
	}
	n.revokeInvited(revoked...)
}

// RevokeMachine ends a machine and all that it has, and returns how many sessions that were. It is written down before anything ends,
// so that it holds over a crash too.
func (p *people) RevokeMachine(name string) (sessions int, err error) {
	machine, err := p.machines.Revoke(name)
	if err != nil {
		return 0, err
	}
	err = p.ledger.Kick(auth.Kick{User: machine.User().String()}) // voids credentials over a restart, and the invites that it made
	return p.endMachine(&machine), err
}

// endMachine ends what a machine has that was revoked. It may be called again, and ends nothing of another machine that has its name by
// now.
func (p *people) endMachine(machine *auth.Machine) (sessions int) {
	user, voidUntil := machine.User().String(), time.Now()
	if next, found := p.machines.Find(machine.Name); found {
		voidUntil = next.Made.Add(-time.Microsecond)
	}
	sessions = p.signal.EndUser(user, func(t auth.Ticket) bool { return p.refuses(t) != nil })
	for _, pseudonym := range p.credentials.RelayOnlyUsers(user) {
		p.out.add(pseudonym, voidUntil, time.Now())
		p.turn.EndGrants(pseudonym, p.out.voids)
	}
	return sessions
}

// nameTaken reports whether somebody online, or a machine, has a name in its canonical form.
func (n *Node) nameTaken(canonical string) bool {
	_, ofMachine := n.machines.Find(canonical)
	return ofMachine || n.signal.NameTaken(canonical)
}

// ReadMachines returns the machines of a configuration whose server does not run.
func ReadMachines(cfg *config.Config, log *slog.Logger) ([]Machine, error) {
	machines, err := auth.ReadMachines(cfg.MachinesFile(), time.Now, log)
	if err != nil {
		return nil, err
	}
	list := []Machine{}
	for _, m := range machines.List() {
		list = append(list, httpapi.ListMachine(m, 0))
	}
	return list, nil
}

// RevokeMachine ends a machine of a configuration whose server does not run. auth.ErrNoMachine: there is none of this name.
func RevokeMachine(cfg *config.Config, name string, log *slog.Logger) error {
	machines, err := auth.OpenMachines(cfg.MachinesFile(), time.Now, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	defer machines.Close()
	machine, err := machines.Revoke(name)
	if err != nil {
		return err
	}
	ledger, err := auth.OpenLedger(cfg.LedgerFile(), time.Now, log)
	if err != nil {
		return cfg.Errorf("state_dir", "%w", err)
	}
	defer ledger.Close()
	return ledger.Kick(auth.Kick{User: machine.User().String()})
}

// RevokeInvited revokes the machines of a configuration that came by an invite, and returns their names. A server that runs ends what
// they have.
func RevokeInvited(cfg *config.Config, ledger *auth.Ledger, invite string, log *slog.Logger) (names []string, err error) {
	machines, err := auth.OpenMachines(cfg.MachinesFile(), time.Now, log)
	if err != nil {
		return nil, cfg.Errorf("state_dir", "%w", err)
	}
	defer machines.Close()
	names, _, err = revokeInvited(machines, ledger, invite)
	return names, err
}
