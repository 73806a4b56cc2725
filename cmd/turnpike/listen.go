package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"

	"example.org/turnpike/auth"
	"example.org/turnpike/client"
	"example.org/turnpike/internal/forward"
)

// machineList is a flag of machines' names, which may be repeated, and may have several with commas between them.
type machineList []string

func (l *machineList) String() string { return strings.Join(*l, ", ") }

func (l *machineList) Set(value string) error {
	for field := range strings.SplitSeq(value, ",") {
		name := strings.ToLower(strings.TrimSpace(field))
		if !auth.IsMachineName(name) {
			return fmt.Errorf(`%q is no machine; use the name with which it has joined the server`, name)
		}
		*l = append(*l, name)
	}
	return nil
}

func (p *program) listen(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("listen", flag.ContinueOnError)
	flags := peerFlags{asMachine: true, wait: forwardWait}
	flags.register(fs)
	server := &forward.Server{}
	var from machineList
	fs.Var(&server.Allow, "allow", "")
	fs.Var(&server.AllowRemote, "allow-remote", "")
	fs.Var(&from, "from", "")
	if _, err := parseFlags(fs, args, 0); err != nil {
		return err
	}
	if len(server.Allow) == 0 && len(server.AllowRemote) == 0 {
		return &usageError{"listen", errors.New("nothing is allowed; pass --allow, such as --allow localhost:22")}
	}
	server.Wait = flags.wait
	v, err := p.visit(ctx, "listen", &flags)
	if err != nil {
		return err
	}
	defer v.leave()
	v.status.print("listens as %s in the room %s for %s: %s", v.name, v.room.ID(), cmp.Or(from.String(), "nobody"), whatMay(server))
	if len(from) == 0 {
		v.status.print("nobody may connect: pass --from with the machines that may, such as --from laptop")
	}
	return stopped(ctx, v.because(v.serve(ctx, server, from)))
}

func whatMay(s *forward.Server) string {
	var texts []string
	if len(s.Allow) > 0 {
		texts = append(texts, s.Allow.String())
	}
	if len(s.AllowRemote) > 0 {
		texts = append(texts, "to listen here on "+s.AllowRemote.String())
	}
	return strings.Join(texts, "; ")
}

// serve serves the streams of the machines that may connect, until ctx ends or the room was left, and says why.
func (v *visit) serve(ctx context.Context, server *forward.Server, from machineList) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	refused := v.status.seldom()
	for {
		var name string
		conn, err := v.accept(ctx, func(conn *client.Conn) (why string) {
			name, _ = v.trusted(conn)
			switch {
			case !forward.Serves(conn.Name()):
				return "this side runs turnpike listen, for turnpike forward"
			case name == "":
				why = "only machines that have proved their key may connect; run turnpike join there"
			case !slices.Contains(from, name):
				why = name + " may not connect; it takes turnpike listen --from " + name
			}
			if why != "" {
				refused(conn.Peer(), "refused %s: %s", conn.Peer().Name(), why)
			}
			return why
		})
		if err != nil {
			return err
		}
		v.status.watch(conn.Peer())
		back := &farSide{visit: v, name: name, proving: make(chan struct{}, 1)}
		ask := func(ctx context.Context, stream, begin string) (forward.Stream, error) {
			return back.askPeer(ctx, conn.Peer(), stream, begin)
		}
		serving.Go(func() { server.Serve(ctx, forward.From{Name: name, Ask: ask}, conn) })
	}
}
