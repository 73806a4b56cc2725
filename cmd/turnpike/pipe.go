package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/forward"
	"example.org/turnpike/internal/machine"
)

// The names of a pipe's streams: the standard input and output of both sides, or a TCP port of the side that listens.
const (
	pipeStandard = "pipe"
	pipePort     = forward.TCPPrefix
)

func (p *program) pipe(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("pipe", flag.ContinueOnError)
	var flags peerFlags
	flags.register(fs)
	listen := fs.Bool("listen", false, "")
	to := fs.String("to", "", "")
	allow := portList{}
	fs.Var(&allow, "allow", "")
	rest, err := parseFlags(fs, args, 1)
	if err != nil {
		return err
	}
	switch {
	case *listen == (*to != ""):
		return &usageError{"pipe", errors.New("pass either --listen, or --to PEER")}
	case *listen && len(rest) > 0:
		return &usageError{"pipe", fmt.Errorf("%q is one argument too many; --listen takes ports as --allow %s", rest[0], rest[0])}
	case !*listen && len(allow) > 0:
		return &usageError{"pipe", errors.New("--allow belongs to --listen")}
	}
	stream := pipeStandard
	if len(rest) == 1 {
		port, err := parsePort(rest[0])
		if err != nil {
			return &usageError{"pipe", err}
		}
		stream = pipePort + port
	}
	v, err := p.visit(ctx, "pipe", &flags)
	if err != nil {
		return err
	}
	defer v.leave()
	go func() { _ = v.answerPings(ctx, nil) }() // the pipe learns by itself that the room was left
	switch {
	case !*listen:
		v.refuseAll("nothing listens here")
		return v.because(p.pipeTo(ctx, v, *to, stream, flags.wait))
	case len(allow) > 0:
		v.status.print("listens as %s in the room %s, for TCP %s", v.name, v.room.ID(), allow.String())
		return v.because(v.servePorts(ctx, allow))
	}
	v.status.print("listens as %s in the room %s", v.name, v.room.ID())
	return v.because(p.pipeOnce(ctx, v))
}

// pipeTo carries standard input and output to a peer, or to a TCP port there.
func (p *program) pipeTo(ctx context.Context, v *visit, name, stream string, wait time.Duration) error {
	conn, err := v.reach(ctx, name, wait, stream)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	return cutShort(ctx, pipeEnd(conn.Peer(), p.exchange(ctx, conn)))
}

// refusedError is the other side's reason not to take a stream.
type refusedError struct{ who, why string }

func (e *refusedError) Error() string { return e.who + " refuses: " + printable(e.why) }

// accepted waits until the other side has taken a stream.
func accepted(conn *client.Conn) error {
	err := forward.Answer(conn)
	if refusal, ok := errors.AsType[*forward.Refusal](err); ok {
		return &refusedError{conn.Peer().Name(), refusal.Why}
	}
	if err != nil {
		return pipeEnd(conn.Peer(), fmt.Errorf("%s did not answer: %w", conn.Peer().Name(), err))
	}
	return nil
}

// pipeOnce takes the first pipe that somebody opens, refuses all others, and returns when it has ended.
func (p *program) pipeOnce(ctx context.Context, v *visit) error {
	const noPort = "no TCP port is allowed here; the other side must listen with --allow"
	conn, err := v.accept(ctx, func(conn *client.Conn) string {
		if conn.Name() != pipeStandard {
			return noPort
		}
		return ""
	})
	if err != nil {
		return cutShort(ctx, err)
	}
	refusing, cancel := context.WithCancel(ctx)
	var refuser sync.WaitGroup
	refuser.Go(func() { _, _ = v.accept(refusing, func(*client.Conn) string { return "somebody else has the pipe" }) })
	defer refuser.Wait()
	defer cancel()
	v.status.watch(conn.Peer())
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	if err = forward.Accept(conn); err == nil {
		err = p.exchange(ctx, conn)
	}
	return cutShort(ctx, pipeEnd(conn.Peer(), err))
}

// Bounds of the connections that others have open here: the others of one user can always have some.
const (
	maxPipes      = 256
	maxPipesOfOne = 64
)

// servePorts connects streams to TCP ports of this machine until ctx ends.
func (v *visit) servePorts(ctx context.Context, allow portList) error {
	server := &forward.Server{OfPeer: maxPipesOfOne, OfAll: maxPipes}
	for _, port := range allow {
		if err := server.Allow.Set(port); err != nil {
			return err
		}
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := v.accept(ctx, func(conn *client.Conn) string {
			if port, _ := strings.CutPrefix(conn.Name(), pipePort); !slices.Contains(allow, port) {
				return fmt.Sprintf("only TCP %v is allowed here", allow.String())
			}
			return ""
		})
		if err != nil {
			return cutShort(ctx, err)
		}
		v.status.watch(conn.Peer())
		serving.Go(func() { server.Serve(ctx, forward.From{Name: conn.Peer().User()}, conn) })
	}
}

// accept returns the next stream that refusal finds nothing against, and tells all others what it says.
func (v *visit) accept(ctx context.Context, refusal func(*client.Conn) string) (*client.Conn, error) {
	for {
		conn, err := v.room.Accept(ctx)
		if err != nil {
			return nil, err
		}
		if conn.Name() == machine.StreamName {
			v.answer(conn)
			continue
		}
		why := v.distrust(conn)
		if why == "" {
			why = refusal(conn)
		}
		if why == "" {
			return conn, nil
		}
		v.refusing.Go(func() { forward.Refuse(conn, why) })
	}
}

// refuseAll takes no stream from now on, until the visit ends, and tells others why.
func (v *visit) refuseAll(why string) {
	v.background.Go(func() { _, _ = v.accept(v.stay, func(*client.Conn) string { return why }) })
}

// exchange carries standard input to conn and what comes of it to standard output, until both have ended. A terminal does not end:
// what is typed there ends with the other side. Standard output is closed once nothing more comes: ssh waits for that.
func (p *program) exchange(ctx context.Context, conn *client.Conn) error {
	sent, inputEnded := make(chan error, 1), make(chan struct{})
	go func() { // after a failure or Ctrl-C it may wait for standard input until the process ends
		err := forward.Copy(conn, p.stdin)
		if err == nil {
			close(inputEnded)
			err = conn.CloseWrite()
		}
		sent <- err
		resetBroken(conn, err)
	}()
	if err := forward.Copy(p.stdout, conn); err != nil {
		select {
		case cause := <-sent:
			return cmp.Or(cause, err)
		default:
			return err
		}
	}
	if f, ok := p.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return conn.Close()
	}
	if c, ok := p.stdout.(io.Closer); ok {
		if err := c.Close(); err != nil {
			return err
		}
	}
	select {
	case err := <-sent:
		if err != nil {
			return err
		}
	case <-conn.Peer().Gone():
		if !isClosed(inputEnded) {
			return syscall.ECONNRESET
		}
		if err := <-sent; err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return conn.Close()
}

// resetBroken gives up both directions after a failure on this side, because the other side may wait for more. If the other side gave
// up, it knows, and may still send.
func resetBroken(conn *client.Conn, err error) {
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		conn.Reset()
	}
}

// pipeEnd says in the words of people why a pipe failed.
func pipeEnd(peer *client.Peer, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE): // of standard output: streams to peers have no such error
		return errors.New("standard output was closed before the end of the pipe")
	case isClosed(peer.Gone()) || errors.Is(err, syscall.ECONNRESET):
		return &leftError{peer.Name() + " has left before the end of the pipe"}
	}
	return fmt.Errorf("the pipe to %s broke: %w", peer.Name(), err)
}

// portList is a flag of TCP ports, which may be repeated, and may have several ports with commas between them.
type portList []string

func (l *portList) String() string { return strings.Join(*l, ", ") }

func (l *portList) Set(value string) error {
	for field := range strings.SplitSeq(value, ",") {
		port, err := parsePort(strings.TrimSpace(field))
		if err != nil {
			return err
		}
		*l = append(*l, port)
	}
	return nil
}

func parsePort(text string) (string, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("%q is no TCP port; write a number from 1 to 65535", text)
	}
	return strconv.FormatUint(port, 10), nil
}
