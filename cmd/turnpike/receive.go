package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.org/turnpike/client"
	"example.org/turnpike/internal/code"
	"example.org/turnpike/internal/filetransfer"
)

const (
	maxListed = 20 // files that are named before the question
)

// receiveFlags are those of `turnpike receive`.
type receiveFlags struct {
	codeFlags
	server, output, codeFile string
	yes, overwrite           bool
}

func (p *program) receive(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("receive", flag.ContinueOnError)
	var f receiveFlags
	f.register(set)
	set.StringVar(&f.server, "server", "", "")
	set.StringVar(&f.output, "output", ".", "")
	set.StringVar(&f.codeFile, "code-file", "", "")
	set.BoolVar(&f.yes, "yes", false, "")
	set.BoolVar(&f.overwrite, "overwrite", false, "")
	rest, err := parseFlags(set, args, 1)
	if err != nil {
		return err
	}
	board := p.board(f.quiet)
	q := p.questioner(board)
	switch {
	case len(rest) > 0:
		return &usageError{"receive", fmt.Errorf("others on this machine can see arguments, and so no code stands there; type it when you are asked, or put it into a file for --code-file, or into %s", codeVariable)}
	case !f.yes && !q.asks():
		return &usageError{"receive", errors.New("standard input is no terminal, so nobody can be asked whether to take what comes; pass --yes to take it")}
	}
	base, err := p.serverNamed(f.server)
	if err != nil {
		return &usageError{"receive", err}
	}
	c, err := p.readCode(ctx, q, f.codeFile)
	if err != nil {
		return cutShort(ctx, err)
	}
	made, err := makeFolder(f.output)
	if err != nil {
		return err
	}
	if err := p.receiveBy(ctx, c, base, &f, q); err != nil {
		if made {
			_ = os.Remove(f.output) // if there is nothing in it
		}
		return err
	}
	return nil
}

// makeFolder makes the folder to write into, if it is not there, before the code is used.
func makeFolder(name string) (made bool, err error) {
	if name == "-" {
		return false, nil
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, os.MkdirAll(name, 0o755)
	case err == nil && !info.IsDir():
		err = fmt.Errorf("%s is no folder; --output names the folder to write into", name)
	}
	return false, err
}

// serverNamed returns the server that somebody without an account means.
func (p *program) serverNamed(name string) (string, error) {
	from := "--server"
	if name == "" {
		name, from = p.getenv("TURNPIKE_SERVER"), "TURNPIKE_SERVER"
	}
	switch {
	case name == "":
		return p.lastServer()
	case strings.Contains(name, "#"):
		return "", fmt.Errorf("the URL of %s has more in it than a server's, and others on this machine can see arguments; give the server alone, and the code when you are asked", from)
	}
	return serverURL(name)
}

// receiveBy receives by a code.
func (p *program) receiveBy(ctx context.Context, c code.Code, base string, f *receiveFlags, q *questioner) error {
	entering, cancel := context.WithTimeout(ctx, entryTime)
	defer cancel()
	place, err := byName(f.name, func(name string) (*client.Code, error) {
		return client.TakeCode(entering, client.Config{URL: base, Name: name}, c.Slot())
	})
	if err != nil {
		return cutShort(ctx, codeProblem(c, err))
	}
	life, end := context.WithCancelCause(ctx)
	defer end(nil)
	r := &receiving{words: c.Words(), finding: make(chan struct{}, 1), end: end, vain: map[*client.Peer]int{}}
	if r.v, err = p.visitCode(entering, base, place, &f.codeFlags, q.board, r.heard); err != nil {
		return cutShort(ctx, err)
	}
	defer r.v.leave()
	var refusing sync.WaitGroup
	defer refusing.Wait()
	defer end(nil)
	defer r.stop()
	refusing.Go(func() { r.v.turnAway(life, "this side receives, too") }) // other receivers look for the sender here, too
	return p.take(life, r, f, q)
}

// take has the files come, and says what became of them.
func (p *program) take(ctx context.Context, r *receiving, f *receiveFlags, q *questioner) error {
	o := filetransfer.ReceiverOptions{Dir: f.output, Progress: &filetransfer.Progress{}}
	if f.output == "-" {
		o.Dir, o.Output = "", p.stdout
	}
	r.came.Store(o.Progress)
	t := &taking{p: p, r: r, f: f, q: q, progress: o.Progress}
	o.Accept, o.Overwrite, o.Left = t.agrees, t.overwrites, t.left
	showing, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		q.board.run(showing)
	}()
	result, err := filetransfer.Receive(ctx, r, o)
	if t.row != nil {
		t.row.remove()
	}
	stop()
	<-shown
	if err != nil {
		return t.failed(ctx, err)
	}
	return t.received(result)
}

// taking is what the person decides, and hears.
type taking struct {
	p        *program
	r        *receiving
	f        *receiveFlags
	q        *questioner
	progress *filetransfer.Progress

	row    *transferRow // once it was agreed
	begin  time.Time    // when it was
	plan   *filetransfer.Plan
	always bool // replace whatever is there already
	never  bool
}

// agrees shows what comes, from whom and by which path, and asks whether it may.
func (t *taking) agrees(ctx context.Context, plan *filetransfer.Plan) error {
	from := t.r.from()
	name, way := harmless(from.Name()), "no path at this moment"
	if path, ok := from.Path(); ok {
		way = harmless(path.String())
	}
	text := fmt.Sprintf("%s sends %s (%s):\n  %s\n", name, planned(plan), way, strings.Join(listed(plan), "\n  "))
	if !t.f.quiet || !t.f.yes {
		_, _ = io.WriteString(t.q.board, text)
	}
	if !t.f.yes {
		yes, err := t.q.agrees(ctx, "Take it?", false)
		if err != nil {
			return err
		}
		if !yes {
			return filetransfer.ErrDeclined
		}
	}
	t.plan = plan
	if t.row == nil {
		t.row, t.begin = t.q.board.add(name, t.progress), time.Now()
		t.r.mu.Lock()
		t.r.row = t.row
		t.r.mu.Unlock()
	}
	return nil
}

// overwrites asks whether a file may replace one that is there.
func (t *taking) overwrites(ctx context.Context, e filetransfer.Entry) (bool, error) {
	switch {
	case t.f.overwrite || t.always:
		return true, nil
	case t.f.yes || t.never:
		return false, nil
	}
	answer, err := t.q.ask(ctx, harmless(e.Path)+" is there already. Replace it? [y/N/all/none] ", nil)
	switch strings.ToLower(answer) {
	case "all":
		t.always = true
	case "none":
		t.never = true
	}
	return err == nil && slices.Contains([]string{"y", "yes", "all"}, strings.ToLower(answer)), err
}

// left tells of a file that does not come.
func (t *taking) left(l filetransfer.Left) {
	hint := ""
	if l.Skipped && t.f.yes {
		hint = "; --overwrite replaces it"
	}
	_, _ = fmt.Fprintf(t.q.board, "%s: %s%s\n", harmless(l.Path), harmless(l.Why), hint)
}

// planned is such as "3 files, 1.2 GB".
func planned(plan *filetransfer.Plan) string {
	text := counted(plan.Files, "file")
	if plan.Unknown {
		return text + " of unknown size"
	}
	return text + ", " + byteSize(plan.Bytes)
}

// listed are the lines about what comes: each file, or if they are many what stands at the top.
// Hidden names come first: a .bashrc must not be one of "and 80 more".
func listed(plan *filetransfer.Plan) (lines []string) {
	type top struct {
		name  string
		files int
		bytes int64
		known bool // of a file: its size is
	}
	var tops []*top
	byName := map[string]*top{}
	for _, e := range plan.Entries {
		name, _, within := strings.Cut(e.Path, "/")
		if len(plan.Entries) <= maxListed {
			name, within = e.Path, false
		}
		if e.Folder || within {
			name += "/"
		}
		one := byName[name]
		if one == nil {
			one = &top{name: name}
			tops, byName[name] = append(tops, one), one
		}
		if !e.Folder {
			one.files++
			one.bytes += max(e.Size, 0)
			one.known = e.Size >= 0
		}
	}
	slices.SortStableFunc(tops, func(a, b *top) int { return hidden(a.name) - hidden(b.name) })
	for i, one := range tops {
		if i == maxListed {
			return append(lines, fmt.Sprintf("and %d more", len(tops)-i))
		}
		line := harmless(one.name)
		switch {
		case strings.HasSuffix(one.name, "/") && one.files > 0:
			line += "  " + counted(one.files, "file") + ", " + byteSize(one.bytes)
		case one.known:
			line += "  " + byteSize(one.bytes)
		}
		lines = append(lines, line)
	}
	return lines
}

// hidden is smaller for a name that begins with a dot.
func hidden(name string) int {
	if strings.HasPrefix(name, ".") {
		return 0
	}
	return 1
}

// received says what has come, on standard output if that does not have the file.
func (t *taking) received(result *filetransfer.Result) error {
	what := counted(result.Files, "file")
	if len(t.plan.Entries) == 1 && result.Files == 1 {
		what = harmless(t.plan.Entries[0].Path)
	}
	line := fmt.Sprintf("received %s, %s", what, amount(result.Bytes, t.progress.Bytes.Load(), time.Since(t.begin)))
	if result.Already > 0 {
		line += fmt.Sprintf(", %d there already", result.Already)
	}
	if result.SHA256 != [32]byte{} {
		line += fmt.Sprintf(", SHA-256 %x", result.SHA256)
	}
	to := t.p.stdout
	switch {
	case t.f.output != "-":
	case t.f.quiet:
		to = io.Discard
	default:
		to = t.q.board
	}
	if err := writeLine(to, line); err != nil {
		return err
	}
	if n := len(result.Left); n > 0 {
		return fmt.Errorf("%s did not come", counted(n, "file"))
	}
	return nil
}

// failed says why the transfer ended before its end, and what to do.
func (t *taking) failed(ctx context.Context, err error) error {
	again := ""
	if t.progress.Verified.Load() > 0 && t.f.output != "-" {
		again = "; what has come stays, and the next transfer into the same folder goes on from there"
	}
	remote, ok := errors.AsType[*filetransfer.RemoteError](err)
	switch {
	case errors.Is(err, filetransfer.ErrDeclined):
		return errors.New("nothing was taken")
	case errors.Is(err, syscall.ENOSPC):
		return err // it says so itself
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("stopped%s", again)
	case ctx.Err() != nil:
		return fmt.Errorf("%w%s", context.Cause(ctx), again)
	case ok && remote.Code == stoppedCode:
		return fmt.Errorf("%s has stopped sending%s", t.r.from().Name(), again)
	case ok:
		return fmt.Errorf("%s has ended the transfer: %s%s", t.r.from().Name(), remote.Text, again)
	}
	return fmt.Errorf("%w%s", err, again)
}
