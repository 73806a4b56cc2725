package filetransfer

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	finishers     = 8
	progressEvery = 250 * time.Millisecond
	stallTimeout  = 5 * time.Second
)

// attempt is the life of one stream files.
type attempt struct {
	r      *receiver
	peer   Opener
	stream Stream
	in     lineReader
	out    *lineWriter
	same   chan *message
}

var errDone = errors.New("all is there")

// userError is what a callback returned.
type userError struct{ err error }

func (e *userError) Error() string { return e.err.Error() }
func (e *userError) Unwrap() error { return e.err }

// attempt speaks with the sender until all is there or the stream breaks.
func (r *receiver) attempt(ctx context.Context, peer Opener) error {
	stream, err := peer.Open(ctx, StreamFiles)
	if err != nil {
		return err
	}
	a := &attempt{r: r, peer: peer, stream: stream, in: newLineReader(stream), out: newLineWriter(stream), same: make(chan *message, 1)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errDone)
	stop := context.AfterFunc(ctx, func() {
		_ = stream.SetReadDeadline(time.Unix(1, 0))
		r.wake()
	})
	defer stop()
	err = a.begin(ctx)
	if err == nil {
		err = a.work(ctx, cancel)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	switch remote := (*RemoteError)(nil); {
	case err == errDone:
		a.out.leave(stream, nil)
		err = nil
	case isBroken(err):
		stream.Reset()
		_ = a.out.finish()
		return err
	case errors.As(err, &remote):
		a.out.leave(stream, nil)
	default:
		a.out.leave(stream, errorLine(err))
	}
	_ = stream.Close()
	return err
}

// begin comes to an agreement about what comes.
func (a *attempt) begin(ctx context.Context) error {
	_ = a.stream.SetReadDeadline(time.Now().Add(helloTimeout))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	line, err := a.in.raw()
	if err != nil {
		return err
	}
	if err := judgeOK(string(line) + "\n"); err != nil {
		return err
	}
	if err := a.out.say(ctx, helloLine{"hello", version, a.r.session}); err != nil {
		return err
	}
	hello, err := a.in.next()
	switch {
	case err != nil:
		return err
	case hello.Type == "error":
		return hello.remoteError()
	case hello.Type != "hello", hello.Version < 1, hello.Session == "", len(hello.Session) > maxSession:
		return violation("it does not begin with hello")
	}
	_ = a.stream.SetReadDeadline(time.Time{})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hello.Session != a.r.session {
		if a.r.hasEnded() {
			return errDone // another sender, which need not know
		}
		plan, paths, err := readPlan(ctx, a.in)
		if err != nil {
			return err
		}
		a.r.renew(hello.Session, plan, paths)
	}
	if !a.r.accepted {
		if err := a.r.decide(ctx); err != nil {
			return err
		}
	}
	return a.out.say(ctx, bytesLine{"accept", a.r.plan.Bytes})
}

// judgeOK judges what the side that accepted a stream says first.
func judgeOK(line string) error {
	if line == streamAccepted {
		return nil
	}
	if why, refused := strings.CutPrefix(line, streamRefused); refused {
		return &RemoteError{Text: oneLine(why)}
	}
	return violation("a stream does not begin with ok")
}

// work brings all that lacks.
func (a *attempt) work(ctx context.Context, cancel context.CancelCauseFunc) error {
	var goroutines sync.WaitGroup
	run := func(do func(context.Context) error) {
		goroutines.Go(func() {
			if err := do(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(a.listen)
	run(a.prepare)
	for range a.r.o.Streams {
		run(a.fetch)
	}
	for range finishers {
		run(a.finishAll)
	}
	run(a.tell)
	run(a.conclude)
	goroutines.Wait()
	return context.Cause(ctx)
}

// listen acts on the sender's lines.
func (a *attempt) listen(ctx context.Context) error {
	for {
		m, err := a.in.next()
		if err != nil {
			return err
		}
		switch m.Type {
		case "same":
			select {
			case a.same <- m:
			default:
				return violation("same comes unasked")
			}
		case "sum":
			if m.File != nil {
				a.r.theirSum(*m.File, m.SHA256)
			}
		case "failed":
			if m.File == nil || *m.File < 0 || *m.File >= int64(len(a.r.plan.Entries)) {
				return violation("failed names no file")
			}
			a.r.leave(int(*m.File), withoutPath(oneLine(m.Error), a.r.plan.Entries[*m.File].Path), false)
		case "error":
			return m.remoteError()
		case "end":
			if !a.r.hasEnded() {
				return violation("it ends before all is there")
			}
			return errDone
		}
	}
}

// withoutPath shortens a reason that begins with the path that it is about.
func withoutPath(why, p string) string {
	if rest, ok := strings.CutPrefix(why, p+": "); ok {
		return rest
	}
	return why
}

func (r *receiver) hasEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// prepare prepares entry after entry, and stays a few files ahead.
func (a *attempt) prepare(ctx context.Context) error {
	r := a.r
	for r.next < len(r.plan.Entries) {
		if !r.mayPrepare(ctx) {
			return context.Cause(ctx)
		}
		id := r.next
		if r.isSettled(id) { // The sender has lost it.
			r.next++
			continue
		}
		var err error
		if r.plan.Entries[id].Folder {
			err = r.prepareFolder(id)
		} else {
			err = a.prepareFile(ctx, id)
		}
		if err != nil {
			if err := a.lose(ctx, id, err); err != nil {
				return err
			}
		}
		r.next++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allRead = true
	r.changed.Broadcast()
	return nil
}

// mayPrepare waits until one more file may be open.
func (r *receiver) mayPrepare(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.open >= maxActive && ctx.Err() == nil {
		r.changed.Wait()
	}
	return ctx.Err() == nil
}

func (r *receiver) isSettled(id int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status[id] > statusActive
}

// lose leaves a file because of an error, if the error is of this file alone.
func (a *attempt) lose(ctx context.Context, id int, err error) error {
	switch {
	case err == context.Cause(ctx), isBroken(err), errors.As(err, new(*ProtocolError)), errors.As(err, new(*diskError)), errors.As(err, new(*userError)), errors.As(err, new(*outputError)):
		return err
	}
	return a.leave(ctx, id, err.Error(), false)
}

// leave settles an entry that does not come, and says so.
func (a *attempt) leave(ctx context.Context, id int, why string, skipped bool) error {
	if !a.r.leave(id, why, skipped) {
		return nil
	}
	l := fileLine{Type: "failed", File: int64(id), Error: cut(a.r.plan.Entries[id].Path+": "+why, maxText)}
	if skipped {
		l = fileLine{Type: "skipped", File: int64(id)}
	}
	return a.out.say(ctx, l)
}

// done says that a file is safe.
func (a *attempt) done(ctx context.Context, id int) error {
	return a.out.say(ctx, fileLine{Type: "done", File: int64(id)})
}

// tell says now and then how far the transfer is, and gives up files that the sender does not have and says nothing about.
func (a *attempt) tell(ctx context.Context) error {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	said, stalled := int64(-1), map[int]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if now := a.r.now.Verified.Load(); now != said {
			said = now
			if err := a.out.say(ctx, bytesLine{"progress", now}); err != nil {
				return err
			}
		}
		for _, id := range a.r.stalled() {
			if since, known := stalled[id]; !known {
				stalled[id] = time.Now()
			} else if time.Since(since) > stallTimeout {
				if err := a.leave(ctx, id, "the sender does not have it any more", false); err != nil {
					return err
				}
			}
		}
	}
}

// stalled returns the files of which the sender had nothing. One without a size is none while blocks are under way: the last of them says
// where it ends.
func (r *receiver) stalled() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []int
	for _, f := range r.active {
		if f.stalled || f.blocks < 0 && f.noneFrom >= 0 && f.prefix >= f.noneFrom {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// conclude waits until every entry is settled, ends the folders, and says so.
func (a *attempt) conclude(ctx context.Context) error {
	r := a.r
	r.mu.Lock()
	for (r.waiting > 0 || r.open > 0 || !r.allRead) && ctx.Err() == nil {
		r.changed.Wait()
	}
	ended := r.ended
	r.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !ended {
		if err := r.finishFolders(); err != nil {
			return err
		}
	}
	end := endLine{Type: "end"}
	r.mu.Lock()
	r.ended = true
	for _, l := range r.result.Left {
		if l.Skipped {
			end.Skipped++
		} else {
			end.Failed++
		}
	}
	r.mu.Unlock()
	if err := a.out.say(ctx, end); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(byeTimeout):
		return broken(errors.New("the sender does not say that it has heard the end"))
	}
}
