package client

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.org/turnpike/client/internal/signaling"
	"example.org/turnpike/signal/wire"
)

// User is somebody who is online, with one session or more.
type User struct{ ID, Name string }

// Session is what Dial returns. It may be used by many goroutines at once.
type Session struct {
	// Static after construction.
	cfg       Config
	setup     setup
	log       *slog.Logger
	events    *events
	signaling *signaling.Signaling
	life      context.Context // ends when the session does
	endLife   context.CancelFunc
	hearing   context.Context // ends with Close: events wait for nobody then
	endHear   context.CancelFunc
	done      chan struct{}

	linking    sync.WaitGroup // what links have running, and their ends
	background sync.WaitGroup // requests that nobody waits for, and the watch of the network

	networkChanged atomic.Bool // links must be restarted once the server is back

	mu sync.Mutex
	// Guarded by mu.
	closing    bool // no links are made any more
	over       bool
	err        error
	id         string
	user       string
	name       string
	iceServers []wire.ICEServer
	window     time.Duration // for which the server keeps a session that has lost its connection
	people     people
	rooms      map[string]*Room
	entries    map[string]*entry // by room, where a Join is under way
	calls      map[string]*Call
	unwanted   map[string]bool // rooms of calls that were accepted while we were ending them
}

func newSession(c Config, with setup) *Session {
	s := &Session{cfg: c, setup: with, log: c.Logger, events: newEvents(c.OnEvent), done: make(chan struct{}),
		rooms: map[string]*Room{}, entries: map[string]*entry{}, calls: map[string]*Call{}, unwanted: map[string]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.hearing, s.endHear = context.WithCancel(s.life)
	return s
}

// start begins what goes on until the end.
func (s *Session) start() {
	told := make(chan struct{})
	go func() {
		defer close(told)
		if s.cfg.OnEvent != nil {
			s.events.run()
		}
	}()
	if s.setup.watch != nil {
		s.background.Go(func() { s.setup.watch(s.life, s.changeNetwork) })
	}
	go func() {
		defer close(s.done)
		<-s.signaling.Done()
		s.end()
		s.events.post(Ended{s.Err()})
		s.events.close()
		<-told
	}()
}

// changeNetwork has the session connect anew, and links look for other paths.
func (s *Session) changeNetwork() {
	s.log.Info("the network has changed")
	s.networkChanged.Store(true)
	s.signaling.NetworkChanged()
}

// end closes what is left when signaling is over.
func (s *Session) end() {
	err := publicError(s.signaling.Err())
	s.mu.Lock()
	s.closing, s.over, s.err = true, true, err
	failure := s.err
	if failure == nil {
		failure = errClosed()
	}
	var fx effects
	for _, r := range s.rooms {
		r.end(CodeClosed, &fx)
	}
	for _, e := range s.entries {
		e.settle(failure)
	}
	for _, c := range s.calls {
		c.end(CodeClosed)
	}
	s.mu.Unlock()
	fx.run()
	s.endLife()
	s.linking.Wait()
	s.background.Wait()
}

// ID identifies this session to its peers. It is another one when the session was away for longer than the server keeps it.
func (s *Session) ID() string { return locked(s, &s.id) }

// User identifies the user of the ticket.
func (s *Session) User() string { return locked(s, &s.user) }

// Name is what others see.
func (s *Session) Name() string { return locked(s, &s.name) }

// String names the session. Printed as a struct, it would show its ticket.
func (s *Session) String() string { return fmt.Sprintf("session %s of %q", s.ID(), s.Name()) }

// GoString is String.
func (s *Session) GoString() string { return s.String() }

// Done is closed when the session is over, and every goroutine of it.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session is over: nil before that, and after Close.
func (s *Session) Err() error { return locked(s, &s.err) }

func locked[T any](s *Session, field *T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *field
}

// Room returns a room that the session is in, nil if it is not.
func (s *Session) Room(id string) *Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[id]
}

// Close leaves all rooms, says bye and waits until everything has ended. What was written to streams that were closed in order
// arrives, if the other side reads it within some seconds. Close may be called twice, but not by OnEvent.
func (s *Session) Close() error {
	s.endHear()
	s.mu.Lock()
	s.closing = true
	var fx effects
	for _, r := range s.rooms {
		r.dropPeers(CodeClosed, &fx)
	}
	s.mu.Unlock()
	fx.run()
	s.linking.Wait() // before bye, which ends the relays
	_ = s.signaling.Close()
	<-s.done
	return nil
}

// request sends a request and waits for its answer.
func (s *Session) request(ctx context.Context, m wire.ClientMessage) (wire.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, err := s.signaling.Request(ctx, m)
	return answer, publicError(err)
}

// tell sends a request whose answer nobody waits for. It does not block.
func (s *Session) tell(m wire.ClientMessage) {
	_, _ = s.signaling.Ask(m) // or the session is over
}

// goBackground runs f until the session ends, which waits for it. After that, f is not run.
func (s *Session) goBackground(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goLocked(f)
}

// goLocked is goBackground for those who hold mu.
func (s *Session) goLocked(f func()) {
	if !s.over {
		s.background.Go(f)
	}
}

// effects are what must be done once mu is free again, in order.
type effects []func()

func (fx *effects) add(f func()) { *fx = append(*fx, f) }

func (fx *effects) run() {
	for _, f := range *fx {
		f()
	}
}

// people is who is online, as far as the server has told. Guarded by Session.mu.
type people struct {
	all  map[string]User // by ID
	last User            // the server has listed them up to here
	more bool            // there are others after last
}

// list replaces all of them, or adds the next part of the list.
func (p *people) list(users []wire.User, more, adds bool) OnlineChanged {
	var went []wire.User
	if !adds {
		now := map[string]bool{}
		for _, u := range users {
			now[u.User] = true
		}
		for id, u := range p.all {
			if !now[id] {
				went = append(went, wire.User{User: id, Name: u.Name})
			}
		}
	}
	if p.more = more; len(users) > 0 {
		p.last = User{users[len(users)-1].User, users[len(users)-1].Name}
	}
	return p.change(users, went)
}

func (p *people) change(came, went []wire.User) (changed OnlineChanged) {
	if p.all == nil {
		p.all = map[string]User{}
	}
	for _, u := range came {
		if user := (User{u.User, u.Name}); p.all[u.User] != user {
			p.all[u.User] = user
			changed.Came = append(changed.Came, user)
		}
	}
	for _, u := range went {
		if user, ok := p.all[u.User]; ok {
			delete(p.all, u.User)
			changed.Went = append(changed.Went, user)
		}
	}
	return changed
}

func (s *Session) postOnline(changed OnlineChanged) {
	if len(changed.Came)+len(changed.Went) > 0 {
		s.events.post(changed)
	}
}

// Online lists who else is online, by name: nobody if we are a guest, and the first hundred if there are more.
func (s *Session) Online() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.people.all))
	for _, u := range s.people.all {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return users
}

// MoreOnline adds the next hundred to Online. It reports whether there are others after them.
func (s *Session) MoreOnline(ctx context.Context) (more bool, err error) {
	s.mu.Lock()
	after, more := s.people.last, s.people.more
	s.mu.Unlock()
	if !more {
		return false, nil
	}
	answer, err := s.request(ctx, &wire.ListOnline{After: wire.User{User: after.ID, Name: after.Name}})
	if online, ok := answer.(*wire.Online); ok {
		more = online.More
	}
	return more, err
}

// Rename takes another name, and returns the name in force.
func (s *Session) Rename(ctx context.Context, name string) (string, error) {
	answer, err := s.request(ctx, &wire.Rename{Name: name})
	if renamed, ok := answer.(*wire.Renamed); ok {
		name = renamed.Name
	}
	return name, err
}
