package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/machine"
	"example.org/turnpike/signal/wire"
)

// peerFlags are the flags of the commands that talk to a peer: ping and pipe.
type peerFlags struct {
	server  serverFlags
	room    string
	name    string
	wait    time.Duration // before register: its default, if that is no 10 s
	relayed bool
	quiet   bool

	asMachine bool // the command needs this machine's key
}

func (f *peerFlags) register(fs *flag.FlagSet) {
	f.server.register(fs)
	fs.StringVar(&f.room, "room", "", "")
	fs.StringVar(&f.name, "name", "", "")
	fs.DurationVar(&f.wait, "wait", cmp.Or(f.wait, 10*time.Second), "")
	fs.BoolVar(&f.relayed, "relayed", false, "")
	fs.BoolVar(&f.quiet, "quiet", false, "")
	fs.BoolVar(&f.quiet, "q", false, "")
}

// visit is a stay in a room, for as long as a command runs.
type visit struct {
	room   *client.Room
	name   string // by which others know this side
	status *statusLines
	leave  func()

	background sync.WaitGroup // what takes streams until the visit ends
	refusing   sync.WaitGroup // streams that are told why nobody takes them, and those that ask who we are

	trust   *trust
	refused func(about any, format string, args ...any) // tells now and then whose streams are not taken
	stay    context.Context                             // ends with the visit

	ended func() error // why the session has ended; nil: it has not
}

// visit signs in and enters the room. The caller must leave it.
func (p *program) visit(ctx context.Context, command string, f *peerFlags) (*visit, error) {
	if f.wait <= 0 {
		return nil, &usageError{command, fmt.Errorf("--wait %v is not positive", f.wait)}
	}
	access, err := f.server.choose(p, command, "")
	if err != nil {
		return nil, err
	}
	room := strings.ToLower(cmp.Or(f.room, access.room, access.machineRoom()))
	switch {
	case f.asMachine && access.machine == nil:
		return nil, access.noMachine(command)
	case access.machine != nil && f.name != "" && f.name != access.machine.Name:
		return nil, &usageError{command, fmt.Errorf("this machine is %s at %s, and comes under no other name there; leave --name out, or come by --invite-file", access.machine.Name, access.base)}
	case room == "":
		return nil, &usageError{command, errors.New("no room is named; pass --room ROOM, the same on both machines, or an invite's link")}
	case !wire.ValidRoom(room):
		return nil, &usageError{command, fmt.Errorf("--room %q is not a room; use 1 to 64 of a-z, 0-9 and \"-\", with no \"-\" at either end", room)}
	}
	status := p.statusLines(f.quiet)
	entering, hold, end := hurry(ctx, access.base)
	defer end()
	status.waiting = func(room string) {
		hold()
		status.print("waits until somebody in the room %s lets this side in", room)
	}
	session, err := access.dial(entering, f.name, client.Config{RelayOnly: f.relayed, OnEvent: status.event})
	if err != nil {
		return nil, cutShort(ctx, inTime(entering, err))
	}
	p.remember(access.base)
	joined, err := session.Join(entering, room, client.JoinOptions{Create: true, Size: wire.MaxRoomSize})
	if err != nil {
		_ = session.Close()
		return nil, cutShort(ctx, fmt.Errorf("room %s: %w", room, inTime(entering, err)))
	}
	v := &visit{room: joined, name: session.Name(), status: status, refused: status.seldom(), trust: newTrust(p, access), ended: session.Err}
	stay, left := context.WithCancel(context.WithoutCancel(ctx))
	v.stay = stay
	v.leave = func() {
		left()
		v.background.Wait()
		v.refusing.Wait()
		_ = session.Close()
		status.finish()
	}
	return v, nil
}

// noMachine says why a command cannot sign in as this machine.
func (a *access) noMachine(command string) error {
	if a.ticket != "" || a.invite != "" {
		return &usageError{command, errors.New("this command signs in as this machine, and takes no ticket and no invite: leave out --invite-file and --ticket-file, and unset TURNPIKE_INVITE and TURNPIKE_TICKET")}
	}
	return fmt.Errorf("this machine has not joined %s, so it can prove to nobody who it is; run: turnpike join --server %s", a.base, a.base)
}

// patience is how long a command waits for the server.
const patience = 30 * time.Second

// hurry bounds how long the server may take, until hold is called: people may take longer.
func hurry(ctx context.Context, server string) (bounded context.Context, hold, end func()) {
	bounded, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%s did not answer within %v", server, patience)) })
	hold = func() { timer.Stop() }
	return bounded, hold, func() {
		hold()
		cancel(nil)
	}
}

// inTime says in the place of err that the server took too long, if that has caused it.
func inTime(bounded context.Context, err error) error {
	if bounded.Err() != nil {
		return context.Cause(bounded)
	}
	return err
}

// sameName compares as the server does, which keeps names unique: another comparison could take a stranger for the peer.
func sameName(a, b string) bool {
	_, one, err := auth.CleanName(a)
	_, other, err2 := auth.CleanName(b)
	return err == nil && err2 == nil && one == other
}

// nobody says whom the room has instead of a peer of that name.
func (v *visit) nobody(name string, wait time.Duration) error {
	var there []string
	for _, peer := range v.room.Peers() {
		there = append(there, peer.Name())
	}
	if len(there) == 0 {
		return fmt.Errorf("nobody else came into the room %s within %v; start the other side with --room %s", v.room.ID(), wait, v.room.ID())
	}
	slices.Sort(there)
	return fmt.Errorf("there is no %s in the room %s; there is %s", name, v.room.ID(), strings.Join(there, ", "))
}

// seek waits for a peer of that name, at most as long as wait says, and for a path to it, likewise. Then it calls try for it, and while that
// fails for the others that have the name. It returns why the first has failed.
func (v *visit) seek(ctx context.Context, name string, wait time.Duration, try func(context.Context, *client.Peer) error) error {
	tried := map[*client.Peer]bool{}
	finding, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := v.room.WaitPeer(finding, func(peer *client.Peer) bool { return hasName(peer, name) }); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = v.nobody(name, wait)
		}
		return cutShort(ctx, err)
	}
	var first error
	for next := v.nextOf(name, tried); next != nil; next = v.nextOf(name, tried) {
		tried[next] = true
		patience := wait
		if v.nextOf(name, tried) != nil { // somebody else may answer at once
			patience = min(wait, 5*time.Second)
		}
		err := v.tryPeer(ctx, next, patience, try)
		if err == nil || ctx.Err() != nil {
			return cutShort(ctx, err)
		}
		if _, changed := errors.AsType[*machine.ChangedError](err); changed {
			return err
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return &leftError{name + " has left"}
	}
	return first
}

func (v *visit) tryPeer(ctx context.Context, peer *client.Peer, wait time.Duration, try func(context.Context, *client.Peer) error) error {
	v.status.watch(peer)
	connecting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := peer.Connected(connecting); err != nil {
		return fmt.Errorf("no path to %s within %v: %w", peer.Name(), wait, err)
	}
	return try(ctx, peer)
}

// nextOf returns a peer of that name that was not tried yet, rather one that the server can reach; nil: there is none.
func (v *visit) nextOf(name string, tried map[*client.Peer]bool) *client.Peer {
	left := slices.DeleteFunc(v.room.Peers(), func(peer *client.Peer) bool { return tried[peer] || !hasName(peer, name) })
	if len(left) == 0 {
		return nil
	}
	return left[max(0, slices.IndexFunc(left, func(peer *client.Peer) bool { return !peer.Away() }))]
}

// hasName reports whether PEER means a peer. A machine has one name, whatever it is shown as.
func hasName(peer shownPeer, name string) bool {
	if own, ok := machineOf(peer); ok {
		return sameName(own, name) || peer.ID() == name
	}
	return sameName(peer.Name(), name) || peer.ID() == name
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// leftError says that a peer has gone. Where this side was thrown out, its peers may know before it does, and go.
type leftError struct{ text string }

func (e *leftError) Error() string { return e.text }

// endNews is how much later than its peers this side may hear of the end of its session.
const endNews = time.Second

// because replaces an error that the end of the session has caused: what it was is known then.
func (v *visit) because(err error) error {
	why := v.ended()
	if _, left := errors.AsType[*leftError](err); left && why == nil {
		hearing, cancel := context.WithTimeout(v.stay, endNews)
		defer cancel()
		_, _ = v.room.WaitPeer(hearing, func(*client.Peer) bool { return false }) // until the room was left
		why = v.ended()
	}
	switch {
	case err == nil || why == nil:
		return err
	case v.trust.me != nil && client.CodeOf(why) == client.CodeEnded:
		return fmt.Errorf("%s has ended the session of %s: the machine was revoked, or thrown out", v.trust.server, v.trust.me.Name)
	}
	return why
}

// cutShort replaces an error that Ctrl-C has caused.
func cutShort(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("stopped")
	}
	return err
}

// dialAs signs in as name. Without one it takes the machine's, with a number if somebody has that: two commands may run on a machine.
func dialAs(ctx context.Context, name string, c client.Config) (*client.Session, error) {
	return byName(name, func(name string) (*client.Session, error) {
		c.Name = name
		return client.Dial(ctx, c)
	})
}

// statusLines tells on stderr how peers are reached, and when that changes.
type statusLines struct {
	w     io.Writer
	color bool
	about map[watched]*pathLine // guarded by mu
	mu    sync.Mutex

	waiting func(room string) // hears that somebody must let us in; set before the session begins
}

// watched is a peer whose path is told: a *client.Peer.
type watched interface {
	Name() string
	Path() (client.Path, bool)
	Gone() <-chan struct{}
}

// pathLine is what was said of the path to a peer, and what will be.
type pathLine struct {
	said client.Path // zero: nothing was said yet
	next client.Path // zero: nothing will be
	due  *time.Timer // for next
}

// pathLasts is how long another path must last before a line tells of it: while two sides agree on one, it may change several times a second.
const pathLasts = time.Second

func (p *program) statusLines(quiet bool) *statusLines {
	s := &statusLines{w: p.stderr, about: map[watched]*pathLine{}}
	if quiet {
		s.w = io.Discard
	}
	f, ok := p.stderr.(*os.File)
	s.color = ok && term.IsTerminal(int(f.Fd())) && p.getenv("NO_COLOR") == ""
	return s
}

// watch tells of peer's path from now on, and the path of this moment.
func (s *statusLines) watch(peer watched) {
	s.mu.Lock()
	maps.DeleteFunc(s.about, func(peer watched, _ *pathLine) bool { return isClosed(peer.Gone()) })
	if s.about[peer] == nil {
		s.about[peer] = new(pathLine)
	}
	s.mu.Unlock()
	if path, ok := peer.Path(); ok {
		s.changed(peer, path)
	}
}

// changed tells of the first path to a peer at once, and of another one when it has lasted.
func (s *statusLines) changed(peer watched, path client.Path) {
	s.mu.Lock()
	line := s.about[peer]
	first := line != nil && line.said == client.Path{}
	switch {
	case line == nil:
	case first:
		line.said = path
	case line.due == nil:
		line.next = path
		line.due = time.AfterFunc(pathLasts, func() { s.settle(peer) })
	default:
		line.next = path
		line.due.Reset(pathLasts)
	}
	s.mu.Unlock()
	if first {
		s.path(peer, path)
	}
}

// settle tells of a path that waits, if it is another one than what was said last.
func (s *statusLines) settle(peer watched) {
	s.mu.Lock()
	var path client.Path
	if line := s.about[peer]; line != nil {
		if !sameWay(line.next, line.said) {
			path = line.next
		}
		if path != (client.Path{}) {
			line.said = path
		}
		line.next = client.Path{}
	}
	s.mu.Unlock()
	if path != (client.Path{}) {
		s.path(peer, path)
	}
}

// finish tells what has not been told.
func (s *statusLines) finish() {
	s.mu.Lock()
	var left []watched
	for peer, line := range s.about {
		if line.due != nil {
			line.due.Stop()
		}
		left = append(left, peer)
	}
	s.mu.Unlock()
	for _, peer := range left {
		s.settle(peer)
	}
}

// sameWay compares all of two paths but their time.
func sameWay(a, b client.Path) bool {
	a.RTT, b.RTT = 0, 0
	return a == b
}

func (s *statusLines) event(e client.Event) {
	switch e := e.(type) {
	case client.PathChanged:
		if e.Path != (client.Path{}) { // none: another one follows, or the peer leaves
			s.changed(e.Peer, e.Path)
		}
	case client.Waiting:
		if s.waiting != nil {
			s.waiting(e.Room)
		}
	case client.Disconnected:
		s.print("%v Connections to peers go on.", e.Err)
	case client.Reconnected:
		s.print("The server is back.")
	}
}

func (s *statusLines) path(peer watched, path client.Path) {
	text := harmless(path.String())
	if s.color {
		kind, rest, _ := strings.Cut(text, " ")
		shade := "\x1b[33m" // yellow: relayed, or none
		if kind == "direct" {
			shade = "\x1b[32m"
		}
		text = shade + kind + "\x1b[0m " + rest
	}
	s.write(harmless(peer.Name()) + ": " + text)
}

func (s *statusLines) print(format string, args ...any) {
	s.write(harmless(fmt.Sprintf(format, args...)))
}

func (s *statusLines) write(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = writeLine(s.w, line)
}

// seldomAgain is how long the same line is not said again where others may cause it again and again. Nobody has all lines of that time, by a
// new name for each.
const (
	seldomAgain    = 10 * time.Second
	maxSeldom      = 64
	maxSeldomOfOne = 8
)

// seldomLine is a line, and whom or what it is about.
type seldomLine struct {
	about any
	line  string
}

// seldom returns a print that says the same about one only now and then. about must be comparable.
func (s *statusLines) seldom() func(about any, format string, args ...any) {
	var mu sync.Mutex
	said := map[seldomLine]time.Time{}
	return func(about any, format string, args ...any) {
		line, now := seldomLine{about, fmt.Sprintf(format, args...)}, time.Now()
		mu.Lock()
		maps.DeleteFunc(said, func(_ seldomLine, at time.Time) bool { return now.Sub(at) > seldomAgain })
		_, again := said[line]
		ofOne := 0
		for other := range said {
			if other.about == about {
				ofOne++
			}
		}
		most := maxSeldom
		if ofOne == 0 { // a first line is told even where others are many
			most = 2 * maxSeldom
		}
		again = again || ofOne >= maxSeldomOfOne || len(said) >= most
		if !again {
			said[line] = now
		}
		mu.Unlock()
		if !again {
			s.print("%s", line.line)
		}
	}
}
