package filetransfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// TestDecline: a receiver that does not want the files writes nothing, and the sender hears that.
func TestDecline(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, filepath.Join(from, "a"), []byte("x"))
	s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
	done := transfer(t, s, newNet(), ReceiverOptions{Dir: to, Accept: func(_ context.Context, p *Plan) error {
		if p.Files != 1 || p.Bytes != 1 || p.Entries[0].Path != "a" {
			t.Errorf("the plan is %+v", p)
		}
		return ErrDeclined
	}})
	if done.err != ErrDeclined || done.sent != ErrDeclined {
		t.Errorf("receiver %v, sender %v", done.err, done.sent)
	}
	if list, _ := os.ReadDir(to); len(list) != 0 {
		t.Errorf("there is %v", list)
	}
}

// TestStopped: a side that is stopped says so, and the other does not wait for it.
func TestStopped(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), randomBytes(1, 30*blockSize))
	for _, side := range []string{"sender", "receiver"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
			n := newNet()
			ctx, stop := context.WithCancel(t.Context())
			sending, receiving := t.Context(), ctx
			if side == "sender" {
				sending, receiving = ctx, t.Context()
			}
			n.after, n.then = 5*blockSize, stop
			sent := make(chan error, 1)
			go func() { sent <- s.Session().Serve(sending, n) }()
			_, err := Receive(receiving, n, ReceiverOptions{Dir: t.TempDir()})
			other := <-sent
			if side == "sender" {
				err, other = other, err
			}
			var remote *RemoteError
			if !errors.Is(err, context.Canceled) || !errors.As(other, &remote) || remote.Code != codeStopped {
				t.Errorf("the %s says %v, the other side %v", side, err, other)
			}
		})
	}
}

// leaving is a receiver's connection that ends for the sender before the goroutine that has heard the receiver's end.
type leaving struct {
	*memNet
	gone chan struct{}
}

func (l leaving) Accept(ctx context.Context) (string, Stream, error) {
	select {
	case s := <-l.opened:
		if s.name == StreamFiles {
			return s.name, closing{s.stream, l.gone, ctx.Done()}, nil
		}
		return s.name, s.stream, nil
	case <-l.gone:
		return "", nil, errors.New("the receiver has left")
	}
}

// closing is a stream whose Close lasts until the other side's leaving was noticed.
type closing struct {
	Stream
	gone    chan struct{}
	noticed <-chan struct{}
}

func (c closing) Close() error {
	err := c.Stream.Close()
	close(c.gone)
	<-c.noticed
	return err
}

// TestLeavesAtTheEnd: a receiver that has said that all is safe may leave at once, and has everything all the same.
func TestLeavesAtTheEnd(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), []byte("x"))
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
		n := leaving{newNet(), make(chan struct{})}
		sent := make(chan error, 1)
		go func() { sent <- s.Session().Serve(t.Context(), n) }()
		result, err := Receive(t.Context(), n, ReceiverOptions{Dir: t.TempDir()})
		if other := <-sent; err != nil || other != nil || result.Files != 1 {
			t.Errorf("receiver %v %+v, sender %v", err, result, other)
		}
	})
}

// stuckOutput takes nothing until the test ends.
type stuckOutput struct{ asked, over chan struct{} }

func (o stuckOutput) Write(b []byte) (int, error) {
	close(o.asked)
	<-o.over
	return len(b), nil
}

// TestStoppedOutput: a program behind the output that does not read on does not keep a receiver from being stopped.
func TestStoppedOutput(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), randomBytes(1, 30*blockSize))
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
		o := stuckOutput{make(chan struct{}), make(chan struct{})}
		defer close(o.over)
		ctx, stop := context.WithCancel(t.Context())
		n, sent := newNet(), make(chan error, 1)
		go func() { sent <- s.Session().Serve(t.Context(), n) }()
		go func() {
			<-o.asked
			stop()
		}()
		_, err := Receive(ctx, n, ReceiverOptions{Output: o})
		var remote *RemoteError
		if other := <-sent; !errors.Is(err, context.Canceled) || !errors.As(other, &remote) || remote.Code != codeStopped {
			t.Errorf("receiver %v, sender %v", err, other)
		}
	})
}
