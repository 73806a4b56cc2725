package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/forward"
)

// forwards are the flags -L, -R and -D in their order.
type forwards []oneForward

type oneForward struct {
	kind byte // L, R or D
	spec forward.Spec

	listener net.Listener // of L and D
	socket   *net.UDPConn // of L for UDP
}

func (f *forwards) flag(kind byte, parse func(string) (forward.Spec, error)) func(string) error {
	return func(text string) error {
		spec, err := parse(text)
		if err == nil {
			*f = append(*f, oneForward{kind: kind, spec: spec})
		}
		return err
	}
}

// forwardWait is longer than what it takes until both sides have noticed that a router has changed its public address, which the host behind it
// does not see, and have found another path: 8 to 11 s.
const forwardWait = 20 * time.Second

// maxForwards bounds the listeners of one command.
const maxForwards = 64

func (p *program) forward(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("forward", flag.ContinueOnError)
	flags := peerFlags{asMachine: true, wait: forwardWait}
	flags.register(fs)
	var all forwards
	fs.Func("L", "", all.flag('L', forward.ParseSpec))
	fs.Func("R", "", all.flag('R', forward.ParseSpec))
	fs.Func("D", "", all.flag('D', forward.ParseDynamic))
	rest, err := parseFlags(fs, args, 1)
	switch {
	case err != nil:
		return err
	case len(all) == 0:
		return &usageError{"forward", errors.New("nothing to forward; pass -L, -R or -D, such as -L 8080:localhost:80")}
	case len(all) > maxForwards:
		return &usageError{"forward", fmt.Errorf("%d forwards are too many; one command has at most %d", len(all), maxForwards)}
	case len(rest) == 0:
		return &usageError{"forward", errors.New("name the machine that runs \"turnpike listen\"")}
	}
	if err := all.listen(ctx); err != nil {
		return err
	}
	defer all.close()
	v, err := p.visit(ctx, "forward", &flags)
	if err != nil {
		return err
	}
	defer v.leave()
	return stopped(ctx, v.because(v.forward(ctx, all, strings.ToLower(rest[0]), flags.wait)))
}

// stopped is no error if Ctrl-C has ended a command that runs until then.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// listen makes the listeners of this side.
func (f forwards) listen(ctx context.Context) (err error) {
	for i := range f {
		switch one := &f[i]; {
		case one.kind == 'R':
		case one.spec.UDP:
			one.socket, err = one.spec.ListenUDP(ctx)
		default:
			one.listener, err = one.spec.ListenTCP(ctx)
		}
		if err != nil {
			f.close()
			return err
		}
	}
	return nil
}

func (f forwards) close() {
	for _, one := range f {
		if one.listener != nil {
			_ = one.listener.Close()
		}
		if one.socket != nil {
			_ = one.socket.Close()
		}
	}
}

// forward carries all of them to a machine until ctx ends, and says first what it has made.
func (v *visit) forward(ctx context.Context, all forwards, name string, wait time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	far := &farSide{visit: v, name: name, proving: make(chan struct{}, 1)}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	asker := &forward.Client{Ask: far.ask, Wait: wait, Places: make(forward.Places, forward.MaxOpen)}
	said := v.status.seldom()
	asker.Failed = func(s forward.Spec, err error) { said(s, "%s", why(name, s, err)) }
	running.Go(func() { cancel(v.serveBack(ctx, asker, far)) })
	if err := far.find(ctx, wait); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	running.Go(func() { far.watch(ctx) })
	made := make(chan error, len(all))
	asked := 0
	for _, one := range all {
		if one.kind == 'R' {
			asked++
		}
		running.Go(func() { one.serve(ctx, asker, v.status, name, made) })
	}
	for range asked {
		if err := <-made; err != nil && ctx.Err() == nil {
			return errors.New(why(name, forward.Spec{}, err))
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// serve says what one forward has made, and carries it until ctx ends. made hears once of a forward at the machine.
func (one oneForward) serve(ctx context.Context, asker *forward.Client, status *statusLines, name string, made chan<- error) {
	switch {
	case one.kind == 'R':
		var once sync.Once
		tell := func(err error) { once.Do(func() { made <- err }) }
		tell(asker.ServeRemote(ctx, one.spec, func(address string) {
			status.print("forwards %s%s at %s to %s here", udpMark(one.spec), address, name, one.spec.To)
			tell(nil)
		}))
	case one.kind == 'D':
		status.print("forwards SOCKS5 on %s to what %s allows", one.listener.Addr(), name)
		asker.ServeSOCKS(ctx, one.listener, one.spec)
	case one.spec.UDP:
		status.print("forwards %s%s to %s at %s", udpMark(one.spec), one.socket.LocalAddr(), one.spec.To, name)
		asker.ServeUDP(ctx, one.socket, one.spec)
	default:
		status.print("forwards %s to %s at %s", one.listener.Addr(), one.spec.To, name)
		asker.ServeTCP(ctx, one.listener, one.spec)
	}
}

func udpMark(s forward.Spec) string {
	if s.UDP {
		return forward.UDPPrefix
	}
	return ""
}

// why says why a connection of a forward was refused.
func why(name string, s forward.Spec, err error) string {
	if _, ok := errors.AsType[*forward.Refusal](err); ok {
		return fmt.Sprintf("%s refuses: %v", name, err)
	}
	if s.To.Host != "" {
		return fmt.Sprintf("%s at %s: %v", s.To, name, err)
	}
	return err.Error()
}

// serveBack takes the connections to listeners that the machine has made for us, and no other stream. It returns why it cannot any more.
func (v *visit) serveBack(ctx context.Context, asker *forward.Client, far *farSide) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := v.accept(ctx, func(conn *client.Conn) string {
			switch {
			case !strings.HasPrefix(conn.Name(), forward.BackPrefix):
				return "this side forwards, and lets nobody connect; that takes turnpike listen"
			case !far.isProved(conn):
				return "it has not proved to be " + far.name
			}
			return ""
		})
		if err != nil {
			return err
		}
		serving.Go(func() { asker.ServeBack(ctx, conn) })
	}
}

// farSide is the machine that forwards lead to: all its sessions, of which some may be other commands.
type farSide struct {
	visit   *visit
	name    string
	proving chan struct{} // holds one, while a session is asked who it is

	mu   sync.Mutex
	last *client.Peer // that has taken a stream; guarded by mu
}

// sessions lists those that are there. First comes the one that has taken a stream before, last those that the server does not reach.
func (f *farSide) sessions() []*client.Peer {
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	there := slices.DeleteFunc(f.visit.room.Peers(), func(peer *client.Peer) bool { return !f.is(peer) })
	rank := func(peer *client.Peer) int {
		switch {
		case peer.Away():
			return 2
		case peer != last:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(there, func(a, b *client.Peer) int { return rank(a) - rank(b) })
	return there
}

// is reports whether a peer is a session of the machine, as the server says. The session must prove it.
func (f *farSide) is(peer *client.Peer) bool { return peer.User() == auth.MachineIssuer+":"+f.name }

// find waits for the machine, and until one of its sessions has proved to be it.
func (f *farSide) find(ctx context.Context, wait time.Duration) error {
	finding, cancel := context.WithTimeoutCause(ctx, wait, errNotThere)
	defer cancel()
	_, err := f.each(finding, func(ctx context.Context, peer *client.Peer) (forward.Stream, error) {
		_, _, err := f.visit.recognize(ctx, peer)
		return nil, err
	})
	switch {
	case !errors.Is(err, errNotThere):
		return err
	case len(f.sessions()) > 0:
		return fmt.Errorf("%s is there, and does not answer within %v; does it run turnpike listen?", f.name, wait)
	}
	return f.visit.nobody(f.name, wait)
}

// errNotThere ends the search for a machine.
var errNotThere = errors.New("the machine is not there")

// watch tells of the paths to the machine's sessions, and when the last one has gone, until ctx ends.
func (f *farSide) watch(ctx context.Context) {
	for ctx.Err() == nil {
		peer, err := f.visit.room.WaitPeer(ctx, f.is)
		if err != nil {
			return
		}
		f.visit.status.watch(peer)
		select {
		case <-peer.Gone():
			if len(f.sessions()) == 0 {
				f.visit.status.print("%s has left; its forwards wait for it", f.name)
			}
		case <-ctx.Done():
		}
	}
}

// ask is a forward.Ask to whichever session takes the stream.
func (f *farSide) ask(ctx context.Context, name, begin string) (forward.Stream, error) {
	return f.each(ctx, func(ctx context.Context, peer *client.Peer) (forward.Stream, error) {
		return f.askPeer(ctx, peer, name, begin)
	})
}

// askPeer asks one session.
func (f *farSide) askPeer(ctx context.Context, peer *client.Peer, name, begin string) (forward.Stream, error) {
	open := func(ctx context.Context, name string) (forward.Stream, error) { return f.open(ctx, peer, name) }
	stream, err := forward.Asking(ctx, open, name, begin)
	if refusal, ok := errors.AsType[*forward.Refusal](err); ok && strings.HasPrefix(refusal.Why, proveFirst) { // it has forgotten us
		if _, _, err := f.visit.prove(ctx, peer); err != nil {
			return nil, err
		}
		stream, err = forward.Asking(ctx, open, name, begin)
	}
	return stream, err
}

// open opens a stream to a session that has proved to be the machine. After it has begun anew, it is asked once for all who wait.
func (f *farSide) open(ctx context.Context, peer *client.Peer, name string) (*client.Conn, error) {
	conn, err := peer.Open(ctx, name)
	if err != nil || f.isProved(conn) {
		return conn, err
	}
	conn.Reset()
	select {
	case f.proving <- struct{}{}:
		defer func() { <-f.proving }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if conn, err = f.visit.open(ctx, peer, name); err == nil && !f.isProved(conn) {
		conn.Reset()
		return nil, fmt.Errorf("%s has not proved who it is", f.name)
	}
	return conn, err
}

func (f *farSide) isProved(conn *client.Conn) bool {
	name, ok := f.visit.trusted(conn)
	return ok && name == f.name
}

// retryPause is the pause before the sessions of a machine are asked again, such as after the path broke.
const retryPause = 200 * time.Millisecond

// each tries the sessions of the machine, and those that come, until one succeeds or ctx ends. An answer against it counts once no session
// has another.
func (f *farSide) each(ctx context.Context, try func(context.Context, *client.Peer) (forward.Stream, error)) (forward.Stream, error) {
	for {
		var answer error
		for there := f.sessions(); len(there) > 0; there = there[1:] {
			stream, err := tryWithin(ctx, len(there), there[0], try)
			if err == nil {
				f.mu.Lock()
				f.last = there[0]
				f.mu.Unlock()
				return stream, nil
			}
			if isAnswer(err) {
				answer = cmp.Or(answer, err)
			}
		}
		if answer != nil {
			return nil, answer
		}
		if _, err := f.visit.room.WaitPeer(ctx, f.is); err != nil && ctx.Err() == nil {
			return nil, err // the room was left
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryWithin leaves some of the time for the sessions after this one.
func tryWithin(ctx context.Context, left int, peer *client.Peer, try func(context.Context, *client.Peer) (forward.Stream, error)) (forward.Stream, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	return try(ctx, peer)
}

// isAnswer reports whether an error says more than that a path is missing or broke.
func isAnswer(err error) bool {
	for _, broken := range []error{context.DeadlineExceeded, context.Canceled, errNotThere, syscall.ECONNRESET, syscall.ETIMEDOUT, net.ErrClosed, io.EOF} {
		if errors.Is(err, broken) {
			return false
		}
	}
	code := client.CodeOf(err)
	return code == "" || code == client.CodeNoTransport
}
