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
	"time"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/filetransfer"
)

const (
	codeStream = "code" // the stream on which a receiver proves that it knows the code

	stoppedCode = "stopped" // of a filetransfer.RemoteError: its user has ended it

	maxSent      = 1 << 16 // names among the arguments
	maxReceivers = 15      // a room has 16 seats
	maxEarly     = 4       // streams of a peer that wait until its proof is over. There are no more peers than seats
	maxStreams   = 32      // streams of one receiver that wait to be served

	proofTime = 20 * time.Second // for a proof. One that takes longer is a wrong guess
	farewell  = 3 * time.Second  // for what is said to the server at the end
)

func (p *program) send(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("send", flag.ContinueOnError)
	var flags codeFlags
	var server serverFlags
	flags.register(fs)
	server.register(fs)
	to := fs.Int("to", 1, "")
	as := fs.String("as", "", "")
	paths, err := parseFlags(fs, args, maxSent)
	if err != nil {
		return err
	}
	switch {
	case len(paths) == 0:
		return &usageError{"send", errors.New(`what? name files or folders; "-" is standard input`)}
	case *to < 1 || *to > maxReceivers:
		return &usageError{"send", fmt.Errorf("--to %d is not from 1 to %d", *to, maxReceivers)}
	}
	board := p.board(flags.quiet)
	access, err := server.choose(p, "send", "")
	if err != nil {
		return err
	}
	files, err := p.filesToSend(paths, *as, *to, board)
	if err != nil {
		return err
	}
	defer files.Close()
	making, cancel := context.WithTimeout(ctx, entryTime)
	defer cancel()
	slot, err := access.newCode(making, flags.name, *to)
	if err != nil {
		return cutShort(ctx, err)
	}
	s := &sending{files: files, code: code.New(slot.Slot), slot: slot, to: *to, board: board,
		proving: make(chan struct{}, 1), changed: make(chan struct{}, 1), receivers: map[[32]byte]*receiver{}, finished: map[*client.Peer]bool{},
		proofs: map[*client.Peer]bool{}, early: map[*client.Peer]int{}}
	defer s.burn()
	if s.v, err = p.visitCode(making, access.base, slot, &flags, board, s.heard); err != nil {
		return cutShort(ctx, err)
	}
	defer s.v.leave()
	if err := p.showCode(access.base, s.code); err != nil {
		return err
	}
	showing, stop := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() { board.run(showing) })
	defer shown.Wait()
	defer stop()
	return cutShort(ctx, s.run(ctx))
}

// filesToSend lists what the paths name. One of them may be standard input.
func (p *program) filesToSend(paths []string, as string, receivers int, board *transferBoard) (*filetransfer.Sender, error) {
	o := filetransfer.SenderOptions{Receivers: receivers, StdinName: cmp.Or(as, "stdin")}
	o.Skipped = func(path, why string) { fmt.Fprintf(board, "leaves out %s: %s\n", harmless(path), harmless(why)) }
	named := slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return path == "-" })
	switch len(paths) - len(named) {
	case 0:
		if as != "" {
			return nil, &usageError{"send", errors.New(`--as names what comes from standard input; add "-"`)}
		}
	case 1:
		o.Stdin = p.stdin
	default:
		return nil, &usageError{"send", errors.New(`standard input, "-", can be sent once`)}
	}
	return filetransfer.NewSender(named, o)
}

// showCode prints what the receiver must type, or open in a browser.
func (p *program) showCode(base string, c code.Code) error {
	server := strings.TrimPrefix(base, "https://")
	_, err := fmt.Fprintf(p.stdout, "On the other machine:\n\n  turnpike receive --server %s\n  code: %s\n\nOr in a browser: %s/c/%d#%s\n",
		server, c.Text(), base, c.Slot(), c.Words())
	return err
}

// sending is what `turnpike send` does once it has a code.
type sending struct {
	// Static after construction.
	v     *visit
	files *filetransfer.Sender
	code  code.Code
	slot  *client.Code
	to    int // how many receivers may have everything
	board *transferBoard

	proving chan struct{} // holds one: proofs come one after the other, so that all strangers together have one guess
	changed chan struct{} // holds one: somebody came or went, or something is over
	running sync.WaitGroup

	mu        sync.Mutex
	receivers map[[32]byte]*receiver // who has proved to know the code, by certificate
	finished  map[*client.Peer]bool  // who has come and needs nothing more
	proofs    map[*client.Peer]bool  // whose stream for a proof waits for its turn, or has it: each has one
	early     map[*client.Peer]int   // streams that wait until a proof is over
	served    int
	declined  int
	failed    int    // files that receivers do not have
	broken    string // the receiver that left last before it had everything
	burnt     error  // why nobody else can come
}

// heard is told of all events.
func (s *sending) heard(e client.Event) {
	switch e.(type) {
	case client.PeerJoined, client.PeerLeft, client.PeerAway, client.PeerBack:
		s.wake()
	}
}

func (s *sending) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run serves receivers until all have everything, or nobody else can come.
func (s *sending) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()
	s.running.Go(func() { s.accept(ctx) })
	seats := newSeats(s)
	defer seats.stop()
	for {
		if over, err := s.over(seats); over {
			return err
		}
		seats.keep(ctx)
		select {
		case <-s.changed:
		case r := <-seats.renewed:
			seats.settle(r)
		case <-seats.timer.C:
		case <-s.v.room.Gone():
			return errors.New("the server has ended this session, and the transfers with it")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// over reports whether there is nothing more to do, and how it ended.
func (s *sending) over(seats *seats) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.served == s.to && s.failed > 0:
		return true, fmt.Errorf("%s did not arrive", counted(s.failed, "file"))
	case s.served == s.to:
		return true, nil
	case s.served+s.declined == s.to:
		return true, fmt.Errorf("%s did not want what was sent", counted(s.declined, "receiver"))
	case len(s.receivers) > 0:
		return false, nil
	case s.burnt != nil:
		return true, s.burnt
	case !seats.over():
		return false, nil
	}
	return true, s.unserved(seats)
}

// unserved says why not everybody came. The caller holds mu.
func (s *sending) unserved(seats *seats) error {
	why := "the code has run out"
	if seats.forgotten {
		why = "the server has forgotten the code, because it was started anew"
	}
	switch {
	case s.broken != "":
		return fmt.Errorf("%s left before it had everything, and %s; run this again, and it goes on with the new code", s.broken, why)
	case s.served+s.declined > 0:
		return fmt.Errorf("%s; %d of %s have everything", why, s.served, counted(s.to, "receiver"))
	}
	return fmt.Errorf("%s, and nobody used it; run this again for a new one", why)
}

// receiver is a peer that may have the files.
type receiver struct {
	s       *sending
	peer    *client.Peer
	streams chan *client.Conn
	dropped chan struct{} // closed when another one has come in its place
}

// offer has a stream of this receiver served.
func (r *receiver) offer(conn *client.Conn) {
	select {
	case r.streams <- conn:
	default:
		conn.Reset()
	}
}

var errDropped = errors.New("another receiver has come in its place")

// Accept returns the next stream of this receiver, by whatever connection it comes.
func (r *receiver) Accept(ctx context.Context) (string, filetransfer.Stream, error) {
	select {
	case conn := <-r.streams:
		return conn.Name(), conn, nil
	case <-r.peer.Gone():
		return "", nil, fmt.Errorf("%s has left before it had everything", r.peer.Name())
	case <-r.dropped:
		return "", nil, errDropped
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

// run gives the receiver what it asks for, until it has everything, or is gone.
func (r *receiver) run(ctx context.Context) {
	s, name := r.s, harmless(r.peer.Name())
	s.v.status.watch(r.peer)
	session := s.files.Session()
	row := s.board.add(name, session.Progress())
	begin := time.Now()
	err := session.Serve(ctx, r)
	row.remove()
	failed, skipped := session.Left()
	came := session.Progress().Bytes.Load()
	s.mu.Lock()
	for certificate, other := range s.receivers {
		if other == r {
			delete(s.receivers, certificate)
		}
	}
	switch {
	case err == nil:
		s.served++
		s.failed += failed
		s.finished[r.peer] = true
	case errors.Is(err, filetransfer.ErrDeclined):
		s.declined++
		s.finished[r.peer] = true
	case err != errDropped:
		s.broken = name
	}
	s.mu.Unlock()
	switch {
	case err == nil:
		s.v.status.print("%s has everything%s: %s", name, but(failed, skipped), amount(max(s.files.Bytes(), came), came, time.Since(begin)))
	case errors.Is(err, filetransfer.ErrDeclined):
		s.v.status.print("%s does not want it", name)
	case err != errDropped && ctx.Err() == nil:
		s.v.status.print("%s; it may come again with the same code", endOf(name, err))
	}
	s.wake()
}

// endOf says how a receiver ended.
func endOf(name string, err error) string {
	remote, ok := errors.AsType[*filetransfer.RemoteError](err)
	switch {
	case ok && remote.Code == stoppedCode:
		return name + " has stopped"
	case ok:
		return name + " says: " + remote.Text
	}
	return err.Error()
}

// but says what of everything a receiver does not have.
func but(failed, skipped int) string {
	var parts []string
	if failed > 0 {
		parts = append(parts, counted(failed, "file")+" that failed")
	}
	if skipped > 0 {
		parts = append(parts, counted(skipped, "file")+" that it did not want")
	}
	if len(parts) == 0 {
		return ""
	}
	return " but " + strings.Join(parts, " and ")
}

// amount is such as "1.2 GB in 1m3s, 19.0 MB/s".
func amount(bytes, came int64, took time.Duration) string {
	text := fmt.Sprintf("%s in %v", byteSize(bytes), took.Round(100*time.Millisecond))
	if took >= time.Second { // of less, a speed says little
		text += fmt.Sprintf(", %s/s", byteSize(int64(float64(came)/took.Seconds())))
	}
	return text
}

// counted is such as "1 file" or "3 files".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
