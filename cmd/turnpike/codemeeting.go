package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/filetransfer"
	"example.org/turnpike/internal/forward"
	"example.org/turnpike/signal/wire"
)

// Here are the ways of both sides to each other: into the room of a code, to the sender, and back into the room.

const (
	entryTime = 30 * time.Second // to sign in and to enter a room
	findTime  = 30 * time.Second // for the sender to be there, and for a path to it
	comeBack  = 30 * time.Second // for a sender that is gone in the middle: it may have lost its network
	lookAgain = time.Second      // between two looks for it
	silence   = 3 * time.Second  // of a sender that the server has lost, after which it counts as gone

	othersWait = 5 * time.Second // for those who were asked less often, where others are there

	codeLife     = 10 * time.Minute // as the server has it: its clock may be another one
	renewal      = 5 * time.Minute  // before its end, a code of somebody who is served is renewed
	renewAgain   = 5 * time.Second  // after the server did not answer
	renewTime    = 10 * time.Second
	maxStrangers = 8 // that may come, prove nothing and leave, before their seats are lost
)

// codeFlags are the flags of the commands that meet by a code.
type codeFlags struct {
	name    string
	relayed bool
	quiet   bool
}

func (f *codeFlags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.name, "name", "", "")
	fs.BoolVar(&f.relayed, "relayed", false, "")
	fs.BoolVar(&f.quiet, "quiet", false, "")
	fs.BoolVar(&f.quiet, "q", false, "")
}

// newCode makes a code for so many receivers, as what lets this side in says.
func (a *access) newCode(ctx context.Context, name string, receivers int) (*client.Code, error) {
	c := client.Config{URL: a.base, Ticket: a.ticket, Invite: a.invite}
	if a.machine == nil {
		return byName(name, func(name string) (*client.Code, error) {
			c.Name = name
			return client.NewCode(ctx, c, receivers)
		})
	}
	if name != "" && name != a.machine.Name {
		return nil, &usageError{"send", fmt.Errorf("this machine is %s at %s, and comes under no other name there; leave --name out, or come by --invite-file", a.machine.Name, a.base)}
	}
	c.GetTicket = a.machine.GetTicket
	made, err := client.NewCode(ctx, c, receivers)
	if client.CodeOf(err) == string(wire.CodeUnauthorized) {
		return nil, a.machineRefused(ctx)
	}
	return made, err
}

// codeProblem says in the words of people why a code does not let anybody in.
func codeProblem(c code.Code, err error) error {
	switch client.CodeOf(err) {
	case client.CodeNoSuchCode:
		return fmt.Errorf("there is no code with the number %d: it has run out, is used up or burnt, or was mistyped; ask for it again, or for a new one", c.Slot())
	case client.CodeUsed:
		return fmt.Errorf("as many receivers have come as the code with the number %d is for; ask for a new one", c.Slot())
	}
	return err
}

// byName tries with a name. Without one it tries with the machine's, with a number if somebody has that: two commands may run on a machine.
func byName[T any](name string, try func(name string) (T, error)) (T, error) {
	if name != "" {
		return try(name)
	}
	host, _ := os.Hostname() // an empty name leaves the choice to the server
	host, _, _ = strings.Cut(host, ".")
	for n := 1; ; n++ {
		name = host
		if n > 1 {
			name = fmt.Sprintf("%s-%d", host, n)
		}
		got, err := try(name)
		if client.CodeOf(err) != string(wire.CodeNameTaken) || n == 9 {
			return got, err
		}
	}
}

// visitCode signs in by a code, and enters its room. The caller must leave it.
func (p *program) visitCode(ctx context.Context, base string, c *client.Code, f *codeFlags, board *transferBoard, heard func(client.Event)) (*visit, error) {
	status := p.statusLines(f.quiet)
	if !f.quiet {
		status.w = board
	}
	session, err := client.Dial(ctx, client.Config{
		URL: base, GetTicket: c.GetTicket, RelayOnly: f.relayed, OnEvent: func(e client.Event) {
			status.event(e)
			if heard != nil {
				heard(e)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	p.remember(base)
	room, err := session.Join(ctx, c.Room, client.JoinOptions{Create: true})
	if err != nil {
		_ = session.Close()
		return nil, err
	}
	v := &visit{room: room, name: session.Name(), status: status}
	v.leave = func() {
		v.refusing.Wait()
		_ = session.Close()
		status.finish()
	}
	return v, nil
}

// turnAway takes no stream of anybody, also none that asks which machine this is, until ctx ends or the room was left.
func (v *visit) turnAway(ctx context.Context, why string) {
	for {
		conn, err := v.room.Accept(ctx)
		if err != nil {
			return
		}
		v.refusing.Go(func() { forward.Refuse(conn, why) })
	}
}

// receiving is what `turnpike receive` does once it is in the room of a code: it finds the sender, by the proof that both know the words,
// and opens streams to it and to nobody else.
type receiving struct {
	// Static after construction.
	v       *visit
	words   string
	finding chan struct{} // holds one: streams are opened at the same time, and one of them finds the sender
	end     context.CancelCauseFunc

	// Guarded by finding.
	sender      *client.Peer         // nil: it must be found
	certificate [32]byte             // that it had when it proved that it knows the words
	vain        map[*client.Peer]int // how often somebody was asked for a proof, and gave none

	came atomic.Pointer[filetransfer.Progress] // nil: nothing can have come yet

	mu     sync.Mutex
	proved *client.Peer // the last one that did
	row    *transferRow // nil: there is none yet
	silent *time.Timer  // says that the sender is gone; nil: it was always there
}

// heard is told of all events. A sender that says farewell does not come back: a new one has a new code.
func (r *receiving) heard(e client.Event) {
	if path, ok := e.(client.PathChanged); ok && path.Peer == r.from() {
		r.waits(path.Path == client.Path{})
	}
	if away, ok := e.(client.PeerAway); ok && away.Peer == r.from() {
		r.missed(away.Peer)
	}
	if back, ok := e.(client.PeerBack); ok && back.Peer == r.from() {
		r.waits(false)
	}
	left, ok := e.(client.PeerLeft)
	if !ok || left.Peer != r.from() {
		return
	}
	switch left.Reason {
	case wire.ReasonLeave, wire.ReasonBye:
		r.end(fmt.Errorf("%s has left before the end", left.Peer.Name()))
	case wire.ReasonKicked, wire.ReasonRevoked, wire.ReasonExpired:
		r.end(fmt.Errorf("the server has thrown %s out before the end", left.Peer.Name()))
	}
}

// missed says soon that the sender is gone, unless bytes still come: it may have lost the server alone.
func (r *receiving) missed(sender *client.Peer) {
	before := r.bytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent != nil {
		r.silent.Stop()
	}
	r.silent = time.AfterFunc(silence, func() {
		if sender.Away() && r.bytes() == before {
			r.v.status.print("%s is gone; waiting for it to come back", sender.Name())
			r.waits(true)
		}
	})
}

// stop stops what missed has begun.
func (r *receiving) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent != nil {
		r.silent.Stop()
	}
}

func (r *receiving) bytes() int64 {
	if came := r.came.Load(); came != nil {
		return came.Bytes.Load()
	}
	return 0
}

// from is the peer that has proved to be the sender, nil before that.
func (r *receiving) from() *client.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proved
}

// waits shows whether there is nothing but waiting.
func (r *receiving) waits(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.row != nil {
		r.row.waits.Store(is)
	}
}

// patience is how long to wait for the sender.
func (r *receiving) patience() time.Duration {
	if r.from() == nil {
		return findTime
	}
	return comeBack
}

// finalError is one that no other try mends.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// Open opens a stream to the sender. If the sender is not there, it may come, or come back.
func (r *receiving) Open(ctx context.Context, name string) (filetransfer.Stream, error) {
	select {
	case r.finding <- struct{}{}:
		defer func() { <-r.finding }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	patience, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	defer r.waits(false)
	for {
		conn, err := r.try(patience, name)
		if err == nil {
			return conn, nil
		}
		if final, ok := errors.AsType[finalError](err); ok {
			return nil, final.error
		}
		r.waits(true)
		timer := time.NewTimer(lookAgain)
		select {
		case <-timer.C:
			continue
		case <-r.v.room.Gone():
			err = errors.New("the server has ended this session")
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-patience.Done():
			err = r.missing(err)
		}
		timer.Stop()
		return nil, err
	}
}

// missing says that the sender has not come, or not come back.
func (r *receiving) missing(err error) error {
	from := r.from()
	switch {
	case from != nil:
		return fmt.Errorf("%s is gone, and has not come back within %v", from.Name(), comeBack)
	case errors.Is(err, context.DeadlineExceeded) && len(r.v.room.Peers()) == 0:
		return fmt.Errorf("the sender is not there, and has not come within %v", findTime)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no path to the sender within %v", findTime)
	}
	return err
}

// try opens a stream to the sender that is there now. The caller has the place in finding.
func (r *receiving) try(ctx context.Context, name string) (*client.Conn, error) {
	if r.sender == nil || isClosed(r.sender.Gone()) {
		if err := r.find(ctx); err != nil {
			return nil, err
		}
	}
	conn, err := r.sender.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	if conn.PeerCertificate() != r.certificate { // it has begun anew, or somebody is in its place: that must be proved
		conn.Reset()
		r.sender = nil
		return nil, errors.New("the sender has begun anew")
	}
	return conn, nil
}

// seats keeps a code alive at the server while somebody is served, and lets another receiver come for each that left before it had
// everything. Its methods are for one goroutine.
type seats struct {
	s       *sending
	renewed chan renewed
	timer   *time.Timer // fires when keep has something to do

	left      int                   // that the server has, as far as this side knows
	met       map[*client.Peer]bool // who is in the room; true: it has proved to know the code
	strangers int                   // who came, proved nothing, and left
	busy      bool                  // the server is being asked
	next      time.Time             // not before this time again
	expires   time.Time
	forgotten bool // the server knows nothing of the code any more
}

// renewed is what became of a request to the server.
type renewed struct {
	seats int
	err   error
}

func newSeats(s *sending) *seats {
	return &seats{s: s, renewed: make(chan renewed, 1), timer: time.NewTimer(codeLife), left: s.to,
		met: map[*client.Peer]bool{}, expires: time.Now().Add(codeLife)}
}

func (t *seats) stop() { t.timer.Stop() }

// over reports whether nobody can come any more.
func (t *seats) over() bool { return t.forgotten || !time.Now().Before(t.expires) }

// keep looks who is there, and tells the server what follows from that.
func (t *seats) keep(ctx context.Context) {
	t.look()
	want, served := t.wanted()
	now := time.Now()
	if !t.busy && !t.forgotten && want >= 0 && !now.Before(t.next) && (want > t.left || served && !now.Before(t.expires.Add(-renewal))) {
		t.busy = true
		t.s.running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, renewTime)
			defer cancel()
			t.renewed <- renewed{want, t.s.slot.Renew(ctx, want)}
		})
	}
	t.timer.Reset(t.pause(now, served))
}

// look notes who came and who left.
func (t *seats) look() {
	there := map[*client.Peer]bool{}
	for _, peer := range t.s.v.room.Peers() {
		there[peer] = true
		if _, known := t.met[peer]; !known {
			t.met[peer] = false
			t.left = max(0, t.left-1)
		}
	}
	t.s.mu.Lock()
	for _, r := range t.s.receivers {
		t.met[r.peer] = true
	}
	for peer := range t.s.finished {
		t.met[peer] = true
	}
	t.s.mu.Unlock()
	for peer, proved := range t.met {
		if !there[peer] {
			delete(t.met, peer)
			if !proved {
				t.strangers++
			}
		}
	}
}

// wanted returns how many more receivers may come, negative if nobody may, and whether somebody is served.
func (t *seats) wanted() (seats int, served bool) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.burnt != nil {
		return -1, false
	}
	receiving := map[*client.Peer]bool{}
	for _, r := range s.receivers {
		receiving[r.peer] = true
	}
	seats = s.to - s.served - s.declined - max(0, t.strangers-maxStrangers)
	for peer := range t.met {
		if !s.finished[peer] && !(receiving[peer] && peer.Away()) { // one that was killed must be able to come again
			seats--
		}
	}
	return max(0, seats), len(receiving) > 0
}

// settle notes the server's answer.
func (t *seats) settle(r renewed) {
	t.busy = false
	switch {
	case r.err == nil:
		t.left, t.expires, t.next = r.seats, time.Now().Add(codeLife), time.Now()
	case client.CodeOf(r.err) == client.CodeNoSuchCode:
		t.forgotten = true
	default:
		t.next = time.Now().Add(renewAgain)
	}
}

// pause is how long keep has nothing to do, if nobody comes or goes.
func (t *seats) pause(now time.Time, served bool) time.Duration {
	pause := t.expires.Sub(now)
	if served {
		pause = min(pause, t.expires.Add(-renewal).Sub(now))
	}
	if t.next.After(now) {
		pause = min(pause, t.next.Sub(now))
	}
	return max(pause, time.Second)
}
