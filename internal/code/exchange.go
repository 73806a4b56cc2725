package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"example.org/turnpike/internal/spake2"
)

// The exchange goes over a stream `code`, which the receiver opens. Both sides know from it whether they have the same words and see
// one connection.
//
//	receiver ── pB ──▶ sender
//	receiver ◀── pA ── sender     from here on, it is a guess for the sender
//	receiver ── cB ──▶ sender     from here on, for the receiver, too
//	receiver ◀── cA ── sender

// Kinds of frames. A frame has one byte of kind, one byte of length, and so many bytes.
const (
	shareFrame        = 1 // pA or pB
	confirmationFrame = 2 // cA or cB
	refusalFrame      = 3 // nothing: the confirmation that came was wrong
)

const (
	passwordInfo = "turnpike code 1"
	// exchangeTime is more than the exchange takes over any line. Nobody types meanwhile.
	exchangeTime = 30 * time.Second
	// shareTime is for pB. Others wait meanwhile, and a receiver that means it sends pB at once.
	shareTime = 5 * time.Second
	// answerTime is for pA.
	answerTime = 10 * time.Second
	// refusalTime is for telling the other side. It may read no more.
	refusalTime = time.Second
)

var (
	// ErrWrong says that the other side has other words, or that somebody is in between. It was a guess: the code is used up.
	ErrWrong = errors.New("the other side has other words, or somebody is in between")
	// ErrBroken says that an exchange was begun, and not confirmed by both sides. It may have been a guess: the code is used up.
	ErrBroken = errors.New("the words were not confirmed by both sides")
	// ErrUnanswered says that a receiver has begun an exchange with somebody who has not gone on. This side gave away no guess. If it
	// was the sender, it takes this for one, and says so when it is asked again.
	ErrUnanswered = errors.New("the other side has not answered")

	errRefused = errors.New("the other side refuses what this one has sent")
)

// Stream is what the exchange needs of the stream between both sides.
type Stream interface {
	io.ReadWriter
	SetDeadline(time.Time) error
	// ChannelBinding returns what only the two ends of the stream's connection have in common.
	ChannelBinding() ([]byte, error)
}

// Send runs the sender's side. It returns nil once the receiver has proved that it knows the words, and errors that are [ErrWrong] or
// [ErrBroken] if the code is used up. After any other error, nothing was guessed. It leaves the stream open. After an error, end it in
// order: a reset could overtake what tells the other side.
func Send(ctx context.Context, s Stream, words string) error {
	x, err := begin(ctx, s, spake2.A, words)
	if err != nil {
		return err
	}
	defer x.end()
	theirs, err := x.readShare(shareTime)
	if err != nil {
		return fmt.Errorf("no exchange of the code was begun: %w", err)
	}
	confirmer, err := x.run.Finish(theirs)
	if err != nil {
		return fmt.Errorf("no exchange of the code was begun: %w", err)
	}
	if err := x.write(shareFrame, x.run.Share()); err != nil {
		return broken(err)
	}
	if err := x.confirmed(confirmer); err != nil {
		return err
	}
	if err := x.write(confirmationFrame, confirmer.Confirmation()); err != nil {
		return broken(err)
	}
	return nil
}

// Receive runs the receiver's side. It returns nil once both sides have proved that they know the words. Once its first frame is out, its
// errors are [ErrUnanswered], and from the moment that it has an answer [ErrWrong] or [ErrBroken]. It leaves the stream open.
func Receive(ctx context.Context, s Stream, words string) error {
	x, err := begin(ctx, s, spake2.B, words)
	if err != nil {
		return err
	}
	defer x.end()
	if err := x.write(shareFrame, x.run.Share()); err != nil {
		return fmt.Errorf("no exchange of the code was begun: %w", err)
	}
	theirs, err := x.readShare(answerTime)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	confirmer, err := x.run.Finish(theirs)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	if err := x.write(confirmationFrame, confirmer.Confirmation()); err != nil {
		return broken(err)
	}
	return x.confirmed(confirmer)
}

// exchange is one side of it.
type exchange struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	late   *time.Timer // for all of it
	stop   func() bool
	stream Stream
	run    *spake2.Exchange
}

func begin(ctx context.Context, s Stream, role spake2.Role, words string) (*exchange, error) {
	if words == "" {
		return nil, errors.New("a code without words proves nothing")
	}
	binding, err := s.ChannelBinding()
	if err != nil {
		return nil, fmt.Errorf("what tells this connection from others: %w", err)
	}
	password, err := spake2.NewPassword([]byte(words), passwordInfo)
	if err != nil {
		return nil, err
	}
	run, err := spake2.Start(role, password, spake2.Identities{A: "sender", B: "receiver"}, binding)
	if err != nil {
		return nil, err
	}
	x := &exchange{stream: s, run: run}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.late = x.after(exchangeTime)
	x.stop = context.AfterFunc(x.ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	return x, nil
}

// end leaves the stream's deadline alone from now on.
func (x *exchange) end() {
	x.stop()
	x.late.Stop()
	x.cancel(nil)
}

// after gives up when the other side was silent for too long.
func (x *exchange) after(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() { x.cancel(fmt.Errorf("the other side was silent for %v", d)) })
}

// readShare reads the share of the other side.
func (x *exchange) readShare(within time.Duration) ([]byte, error) {
	late := x.after(within)
	share, err := x.read(shareFrame)
	if !late.Stop() && err == nil {
		<-x.ctx.Done()
		err = x.explain(x.ctx.Err())
	}
	return share, err
}

// confirmed reads the other side's confirmation.
func (x *exchange) confirmed(c *spake2.Confirmer) error {
	theirs, err := x.read(confirmationFrame)
	if err != nil {
		return broken(err)
	}
	if !c.Confirms(theirs) {
		x.refuse()
		return ErrWrong
	}
	return nil
}

// broken is the error of an exchange that was begun.
func broken(err error) error {
	if errors.Is(err, errRefused) {
		return ErrWrong
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// refuse tells the other side that its words are other ones, if it still listens.
func (x *exchange) refuse() {
	x.stop()
	_ = x.stream.SetDeadline(time.Now().Add(refusalTime))
	_, _ = x.stream.Write([]byte{refusalFrame, 0})
	_ = x.stream.SetDeadline(time.Time{})
}

func (x *exchange) write(kind byte, content []byte) error {
	_, err := x.stream.Write(append([]byte{kind, byte(len(content))}, content...))
	return x.explain(err)
}

// read returns the next frame, which must be of that kind and have its length. Nothing is read beyond it.
func (x *exchange) read(kind byte) ([]byte, error) {
	var header [2]byte
	if _, err := io.ReadFull(x.stream, header[:]); err != nil {
		return nil, x.explain(err)
	}
	length := spake2.ShareSize
	if kind == confirmationFrame {
		length = spake2.ConfirmationSize
	}
	switch {
	case header[0] == refusalFrame && header[1] == 0:
		return nil, errRefused
	case header[0] != kind || int(header[1]) != length:
		return nil, fmt.Errorf("a frame of kind %d with %d bytes came in the place of kind %d with %d", header[0], header[1], kind, length)
	}
	content := make([]byte, length)
	if _, err := io.ReadFull(x.stream, content); err != nil {
		return nil, x.explain(err)
	}
	return content, nil
}

// explain prefers what ended the context to the deadline that it led to, and says an end in the middle plainly.
func (x *exchange) explain(err error) error {
	switch {
	case err != nil && x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the other side has ended the stream")
	}
	return err
}
