package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Machines remembers in a file which machines have joined. Each event is a line of JSON at the end of the file, and counts
// once it is on the disk. Processes read each other's lines. Prune drops the machines that were revoked.
type Machines struct {
	journal *journal
	now     func() time.Time

	mu sync.Mutex // The last of all locks.
	// Guarded by mu.
	byName map[string]*Machine
	// reading is what the file has said so far: byName itself, or another map while all lines come again (rereading).
	reading   map[string]*Machine
	rereading bool
	dead      int       // Lines of the file that count for nothing.
	ended     []Machine // Revoked, and not returned by Poll yet.
}

// Errors of machines that join, and of their revocation. Clients may see them.
var (
	ErrMachineName  = errors.New("another machine has this name")
	ErrMachinesFull = errors.New("as many machines have joined as may")
	ErrNoMachine    = errors.New("there is no machine of this name")
)

// ErrMachineRevoked refuses a ticket, or a resume token, of a machine that is one no more. It wraps ErrUnauthorized.
var ErrMachineRevoked error = machineRevokedError{}

type machineRevokedError struct{}

func (machineRevokedError) Error() string { return "unauthorized: the machine was revoked" }
func (machineRevokedError) Unwrap() error { return ErrUnauthorized }

const (
	maxMachineLine = 4 << 10 // Longer lines are damaged.

	// invitedMachines may join by one invite that is good for any number, or a quarter of all if that is more: a link that
	// strangers have found leaves room for others.
	invitedMachines = 16
)

// machineEvent is a line of the file.
type machineEvent struct {
	Event  string    `json:"event"`
	Name   string    `json:"name"`
	Key    string    `json:"key"`
	At     time.Time `json:"at"`
	Role   Role      `json:"role,omitempty"`
	Room   string    `json:"room,omitempty"`
	Invite string    `json:"invite,omitempty"`
}

const eventJoined = "joined" // Beside eventRevoked.

// OpenMachines reads the machines in the file at path. It creates a missing file, with mode 0600.
func OpenMachines(path string, now func() time.Time, log *slog.Logger) (*Machines, error) {
	m := newMachines(path, now, log)
	if err := m.withLock(func() error { return nil }); err != nil {
		return nil, err
	}
	return m, nil
}

// ReadMachines reads the machines in the file at path, and changes nothing. They only answer what they have read: they are
// closed already. A missing file is an empty one.
func ReadMachines(path string, now func() time.Time, log *slog.Logger) (*Machines, error) {
	m := newMachines(path, now, log)
	if err := m.journal.readOnly(); err != nil {
		return nil, err
	}
	m.settle()
	return m, nil
}

func newMachines(path string, now func() time.Time, log *slog.Logger) *Machines {
	m := &Machines{now: now, byName: map[string]*Machine{}}
	m.reading = m.byName
	m.journal = &journal{
		name: "machines", path: path, maxLine: maxMachineLine, log: log, turn: make(chan struct{}, 1), apply: m.apply, rewound: m.rewound,
	}
	return m
}

// Close closes the file. No method may be called after it.
func (m *Machines) Close() error { return m.journal.close() }

func (m *Machines) withLock(do func() error) error {
	return m.journal.withLock(func() error {
		m.settle()
		return do()
	})
}

func (m *Machines) append(events ...machineEvent) error {
	var lines []byte
	for _, ev := range events {
		line, err := json.Marshal(ev)
		if err != nil {
			return fmt.Errorf("machines: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	return m.journal.append(lines)
}

// Add has a machine join. atMost bounds all machines. use is called last, once nothing else stands in the way: it counts a use of the
// invite. A machine that is there already, with the same key, has lost the answer: it gets the same one, and use is not called.
func (m *Machines) Add(machine Machine, atMost int, use func() error) (joined Machine, err error) {
	err = m.withLock(func() error {
		if there, found := m.Find(machine.Name); found {
			if joined = there; !there.Key.Equal(machine.Key) {
				return ErrMachineName
			}
			return nil
		}
		if err := m.mayAdd(machine.Invite, atMost); err != nil {
			return err
		}
		if err := use(); err != nil {
			return err
		}
		joined = machine
		joined.Made = m.now().UTC().Truncate(time.Microsecond)
		return m.append(machineEvent{eventJoined, joined.Name, EncodeMachineKey(joined.Key), joined.Made, joined.Role, joined.Room, joined.Invite})
	})
	return joined, err
}

func (m *Machines) mayAdd(invite string, atMost int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	byInvite := 0
	for _, there := range m.byName {
		if there.Invite == invite {
			byInvite++
		}
	}
	if len(m.byName) >= atMost || byInvite >= max(invitedMachines, atMost/4) {
		return ErrMachinesFull
	}
	return nil
}

// Revoke ends a machine: its tickets admit nobody any more, and its name is free. ErrNoMachine: there is none.
func (m *Machines) Revoke(name string) (Machine, error) {
	revoked, err := m.revoke(func(machine *Machine) bool { return machine.Name == name })
	switch {
	case err != nil:
		return Machine{}, err
	case len(revoked) == 0:
		return Machine{}, ErrNoMachine
	}
	return revoked[0], nil
}

// RevokeInvited revokes the machines that came by these invites.
func (m *Machines) RevokeInvited(invites ...string) ([]Machine, error) {
	if !slices.ContainsFunc(m.List(), func(machine Machine) bool { return slices.Contains(invites, machine.Invite) }) {
		return nil, nil // Nothing needs to be written.
	}
	return m.revoke(func(machine *Machine) bool { return machine.Invite != "" && slices.Contains(invites, machine.Invite) })
}

func (m *Machines) revoke(match func(*Machine) bool) (revoked []Machine, err error) {
	err = m.withLock(func() error {
		var events []machineEvent
		for _, machine := range m.List() {
			if match(&machine) {
				revoked = append(revoked, machine)
				events = append(events, machineEvent{Event: eventRevoked, Name: machine.Name, Key: EncodeMachineKey(machine.Key), At: m.now().UTC().Truncate(time.Microsecond)})
			}
		}
		if len(events) == 0 {
			return nil
		}
		return m.append(events...)
	})
	return revoked, err
}

// Find returns the machine of a name. It does not read the file.
func (m *Machines) Find(name string) (Machine, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there := m.byName[name]; there != nil {
		return *there, true
	}
	return Machine{}, false
}

// List returns the machines, sorted by name. It does not read the file.
func (m *Machines) List() []Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Machine, 0, len(m.byName))
	for _, there := range m.byName {
		list = append(list, *there)
	}
	slices.SortFunc(list, func(a, b Machine) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Keeps reports whether a name, in the canonical form of CleanName, is a machine's, so that nobody but this user may have it. It works
// in memory, and may be called with locks held.
func (m *Machines) Keeps(canonical string, from User) bool {
	_, found := m.Find(canonical)
	return found && from != User{MachineIssuer, canonical}
}

// Verify returns the ticket that a machine has signed. Its errors wrap ErrUnauthorized; their text is for the log only.
func (m *Machines) Verify(token string) (Ticket, error) {
	name, err := subjectOf(token)
	if err != nil {
		return Ticket{}, err
	}
	machine, found := m.Find(name)
	if !found {
		return Ticket{}, refuse("there is no machine %.40q", name)
	}
	id, issued, expires, err := VerifyMachineTicket(token, name, machine.Key, m.now())
	if err != nil {
		return Ticket{}, err
	}
	if issued.Before(machine.Made) { // By a clock that is behind: there was no such key before.
		issued = machine.Made
	}
	return Ticket{ID: id, User: machine.User(), Name: name, Rooms: []string{machine.Room}, Role: machine.Role, Issued: issued, Expires: expires}, nil
}

// keyOf returns the key of the machine that a token names.
func (m *Machines) keyOf(t *jwt.Token) (any, error) {
	name, err := t.Claims.GetSubject()
	if err != nil {
		return nil, err
	}
	machine, found := m.Find(name)
	if !found {
		return nil, fmt.Errorf("there is no machine %.40q", name)
	}
	return machine.Key, nil
}

// Refuses returns ErrMachineRevoked for a ticket that verifies, or that a session has, of a machine that was revoked, also if
// another one has the name by now; nil for all others. It does not read the file.
func (m *Machines) Refuses(t Ticket) error {
	if t.User.Issuer != MachineIssuer {
		return nil
	}
	if machine, found := m.Find(t.User.Subject); !found || t.Issued.Before(machine.Made) {
		return ErrMachineRevoked
	}
	return nil
}

// Poll reads the lines that other processes wrote, and returns the machines that were revoked since the last call. It is cheap if
// there is nothing new.
func (m *Machines) Poll() (ended []Machine, err error) {
	err = m.Refresh()
	m.mu.Lock()
	defer m.mu.Unlock()
	ended, m.ended = m.ended, nil
	return ended, err
}

// Refresh reads the lines that other processes wrote. It is cheap if there is nothing new.
func (m *Machines) Refresh() error {
	changed, err := m.journal.changed()
	if changed {
		err = m.withLock(func() error { return nil })
	}
	return err
}

// Prune writes the file anew without what counts for nothing.
func (m *Machines) Prune() error {
	return m.withLock(func() error {
		if m.deadLines() == 0 {
			return nil
		}
		var kept bytes.Buffer
		encoder := json.NewEncoder(&kept)
		for _, there := range m.List() {
			ev := machineEvent{eventJoined, there.Name, EncodeMachineKey(there.Key), there.Made, there.Role, there.Room, there.Invite}
			if err := encoder.Encode(ev); err != nil {
				return fmt.Errorf("machines: %w", err)
			}
		}
		if err := m.journal.replace(kept.Bytes()); err != nil {
			return fmt.Errorf("machines: write anew: %w", err)
		}
		return nil
	})
}

func (m *Machines) deadLines() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// rewound begins anew: a machine that the lines do not name any more has ended, which settle finds out.
func (m *Machines) rewound() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading, m.rereading, m.dead = map[string]*Machine{}, true, 0
}

// settle puts what was read in force.
func (m *Machines) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.rereading {
		return
	}
	for name, was := range m.byName {
		if now := m.reading[name]; now == nil || !now.is(was) {
			m.ended = append(m.ended, *was)
		}
	}
	m.byName, m.rereading = m.reading, false
}

// is reports whether two are one machine, which has joined once.
func (m *Machine) is(other *Machine) bool { return m.Key.Equal(other.Key) && m.Made.Equal(other.Made) }

func (m *Machines) apply(line []byte) error {
	ev, machine, err := parseMachineEvent(line)
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.dead++
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	there := m.reading[machine.Name]
	if ev == eventJoined {
		if there != nil { // Nobody writes this. The first keeps its name.
			m.dead++
			return ErrMachineName
		}
		m.reading[machine.Name] = machine
		return nil
	}
	m.dead++
	if there != nil && there.Key.Equal(machine.Key) {
		m.dead++
		delete(m.reading, machine.Name)
		if !m.rereading {
			m.ended = append(m.ended, *there)
		}
	}
	return nil
}

func parseMachineEvent(line []byte) (event string, machine *Machine, err error) {
	var ev machineEvent
	if err := json.Unmarshal(line, &ev); err != nil {
		return "", nil, err
	}
	key, err := ParseMachineKey(ev.Key)
	switch {
	case err != nil:
		return "", nil, err
	case !IsMachineName(ev.Name):
		return "", nil, fmt.Errorf("%.40q is no name of a machine", ev.Name)
	case ev.At.IsZero():
		return "", nil, errors.New("no time")
	case ev.Event == eventRevoked:
	case ev.Event != eventJoined:
		return "", nil, fmt.Errorf("event %.40q", ev.Event)
	case !ev.Role.valid() || ev.Room == "":
		return "", nil, errors.New("no role or room")
	}
	return ev.Event, &Machine{Name: ev.Name, Key: key, Role: ev.Role, Room: ev.Room, Invite: ev.Invite, Made: ev.At.UTC().Truncate(time.Microsecond)}, nil
}
