package filetransfer

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestBreaks: all streams break again and again, and nothing that was verified comes twice.
func TestBreaks(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	const size = 40*blockSize + 777
	write(t, filepath.Join(from, "film.mkv"), randomBytes(1, size))
	s := newSender(t, SenderOptions{}, filepath.Join(from, "film.mkv"))
	n := newNet()
	breaks := 0
	n.after, n.then = 5*blockSize, func() {
		n.breakAll()
		breaks++
		n.after += 8 * blockSize
	}
	done := transfer(t, s, n, ReceiverOptions{Dir: to})
	if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
		t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
	}
	sameTree(t, from, to)
	if breaks < 3 {
		t.Fatalf("there were %d breaks only", breaks)
	}
	// What is under way when a stream breaks comes twice: what waits in it, and an answer that was half there.
	if again := n.carried() - size; again > int64(breaks*defaultStreams*(2*blockSize)) {
		t.Errorf("%d bytes were sent twice", again)
	}
}

var errKilled = errors.New("killed")

// receiveUntil receives until the sender has sent so many bytes. Then nothing works any more, as at a kill.
func receiveUntil(t *testing.T, s *Sender, dir string, bytes int64) (came int64) {
	t.Helper()
	n := newNet()
	progress := new(Progress)
	n.after, n.then = bytes, func() {
		n.refuse = errKilled
		n.breakAll()
	}
	serving, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Session().Serve(serving, n) }()
	_, err := Receive(t.Context(), n, ReceiverOptions{Dir: dir, Progress: progress})
	stop()
	<-served
	if !errors.Is(err, errKilled) {
		t.Fatalf("the receiver was to be cut off: %v", err)
	}
	return progress.Bytes.Load()
}

// TestKilledReceiver: a receiver that begins again gets at most one block of what it had once more.
func TestKilledReceiver(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	const size = 30*blockSize + 777
	content := randomBytes(2, size)
	write(t, filepath.Join(from, "film.mkv"), content)
	s := newSender(t, SenderOptions{}, filepath.Join(from, "film.mkv"))
	for range 3 {
		had := receiveUntil(t, s, to, 5*blockSize+rand.Int64N(20*blockSize))
		n := newNet()
		progress := new(Progress)
		done := transfer(t, s, n, ReceiverOptions{Dir: to, Progress: progress})
		if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
			t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
		}
		sameTree(t, from, to)
		const around = 600 * (frameSize + hashSize)
		if again := n.carried() + had - size; again > blockSize+around {
			t.Errorf("%d bytes had come before, and %d came again", had, again)
		}
		if done.result.SHA256 != sumOf(content) {
			t.Error("the SHA-256 is wrong")
		}
		if err := os.Remove(filepath.Join(to, "film.mkv")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAgain: what is there with its size and time is compared, and neither asked about nor sent.
func TestAgain(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for i, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(from, "top", name), randomBytes(uint64(i), i*blockSize+i))
	}
	for again := range 2 {
		s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
		n := newNet()
		done := transfer(t, s, n, ReceiverOptions{Dir: to, Overwrite: func(context.Context, Entry) (bool, error) {
			t.Error("asked whether to overwrite the same")
			return false, nil
		}})
		if done.err != nil || done.sent != nil || len(done.result.Left) > 0 || done.result.Already != again*3 {
			t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
		}
		if again == 1 && n.carried() > 0 {
			t.Errorf("%d bytes were sent again", n.carried())
		}
		sameTree(t, from, to)
	}
}

// TestOverwrite: a file that is there and another one stays, unless the user says otherwise.
func TestOverwrite(t *testing.T) {
	for _, yes := range []bool{false, true} {
		from, to := t.TempDir(), t.TempDir()
		write(t, filepath.Join(from, "a.txt"), []byte("the new one"))
		write(t, filepath.Join(to, "a.txt"), []byte("the old one"))
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a.txt"))
		asked := 0
		done := transfer(t, s, newNet(), ReceiverOptions{Dir: to, Overwrite: func(_ context.Context, e Entry) (bool, error) {
			asked++
			return yes, nil
		}})
		if done.err != nil || done.sent != nil || asked != 1 {
			t.Fatalf("receiver %v, sender %v, asked %d times", done.err, done.sent, asked)
		}
		want, left := "the old one", 1
		if yes {
			want, left = "the new one", 0
		}
		got, _ := os.ReadFile(filepath.Join(to, "a.txt"))
		if !bytes.Equal(got, []byte(want)) || len(done.result.Left) != left {
			t.Errorf("overwrite %v: %q, %+v", yes, got, done.result.Left)
		}
		if _, skipped := done.session.Left(); skipped != left {
			t.Errorf("the sender knows of %d files that were skipped", skipped)
		}
	}
}

// switching opens streams to one sender, and after its end to another one.
type switching struct {
	first, second *memNet
	ended         atomic.Bool
}

func (s *switching) Open(ctx context.Context, name string) (Stream, error) {
	if s.ended.Load() {
		return s.second.Open(ctx, name)
	}
	return s.first.Open(ctx, name)
}

// TestKilledSender: a receiver that meets the sender started again asks once more, and goes on with what is right of what it has.
func TestKilledSender(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	const size = 20*blockSize + 5
	content := randomBytes(9, size)
	write(t, filepath.Join(from, "top", "a"), content)
	write(t, filepath.Join(from, "top", "b"), content[:3*blockSize])
	synctest.Test(t, func(t *testing.T) {
		nets := &switching{first: newNet(), second: newNet()}
		nets.first.after, nets.first.then = 11*blockSize, func() {
			nets.ended.Store(true)
			nets.first.breakAll()
		}
		killed := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
		serving, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- killed.Session().Serve(serving, nets.first) }()
		s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
		asked := 0
		done := transferBy(t, s, nets.second, func(ctx context.Context) (*Result, error) {
			return Receive(ctx, nets, ReceiverOptions{Dir: to, Accept: func(context.Context, *Plan) error {
				asked++
				return nil
			}})
		})
		stop()
		<-served
		if done.err != nil || done.sent != nil || done.result.Files != 2 || asked != 2 {
			t.Errorf("asked %d times; receiver %v %+v, sender %v", asked, done.err, done.result, done.sent)
		}
		if n := nets.second.carried(); n > 14*blockSize {
			t.Errorf("the second sender sent %d bytes", n)
		}
	})
	sameTree(t, from, to)
}
