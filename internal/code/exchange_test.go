package code

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.org/turnpike/internal/spake2"
)

const rightWords = "crossover-clockwork"

// boundStream is an end of a connection.
type boundStream struct {
	net.Conn
	binding string
	sent    *bytes.Buffer // what was written; nil: nobody wants to know
}

func (s boundStream) ChannelBinding() ([]byte, error) {
	if s.binding == "" {
		return nil, errors.New("the handshake is over")
	}
	sum := sha256.Sum256([]byte(s.binding))
	return sum[:], nil
}

func (s boundStream) Write(b []byte) (int, error) {
	if s.sent != nil {
		s.sent.Write(b)
	}
	return s.Conn.Write(b)
}

// connected returns both ends of a connection.
func connected(t testing.TB, binding string) (sender, receiver boundStream) {
	one, other := net.Pipe()
	t.Cleanup(func() { one.Close(); other.Close() })
	return boundStream{one, binding, new(bytes.Buffer)}, boundStream{other, binding, new(bytes.Buffer)}
}

// both runs both sides. A side that has failed closes its end, as the commands do.
func both(ctx context.Context, sender, receiver boundStream, sends, receives string) (ofSender, ofReceiver error) {
	var wait sync.WaitGroup
	wait.Go(func() {
		if ofSender = Send(ctx, sender, sends); ofSender != nil {
			sender.Close()
		}
	})
	wait.Go(func() {
		if ofReceiver = Receive(ctx, receiver, receives); ofReceiver != nil {
			receiver.Close()
		}
	})
	wait.Wait()
	return ofSender, ofReceiver
}

// TestExchange has two sides with the same words. What follows on the stream is untouched, and has no deadline.
func TestExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sender, receiver := connected(t, "a")
		if a, b := both(t.Context(), sender, receiver, rightWords, rightWords); a != nil || b != nil {
			t.Fatalf("the sides end with %v and %v", a, b)
		}
		time.Sleep(2 * exchangeTime)
		go io.WriteString(sender, "follows")
		got := make([]byte, 7)
		if _, err := io.ReadFull(receiver, got); err != nil || string(got) != "follows" {
			t.Errorf("after the exchange comes %q, %v", got, err)
		}
		for _, said := range []string{sender.sent.String(), receiver.sent.String()} {
			if strings.Contains(said, "crossover") || strings.Contains(said, "clockwork") {
				t.Errorf("the words are in %q", said)
			}
		}
	})
}

// TestWrongWords: both sides say so, and the wrong side learns nothing but that.
func TestWrongWords(t *testing.T) {
	for _, guess := range []string{"crossover-cobra", "clockwork-crossover", "Crossover-clockwork", "x"} {
		sender, receiver := connected(t, "a")
		a, b := both(t.Context(), sender, receiver, rightWords, guess)
		if !errors.Is(a, ErrWrong) || !errors.Is(b, ErrWrong) {
			t.Errorf("%s: the sides end with %v and %v", guess, a, b)
		}
		if said := sender.sent.Len(); said != 2+spake2.ShareSize+2 {
			t.Errorf("%s: the sender has said %d bytes, more than its share and that the words are wrong", guess, said)
		}
	}
}

// TestInBetween has somebody in between, who passes everything on: the words are right on both sides, but each side has another
// connection.
func TestInBetween(t *testing.T) {
	sender, toSender := connected(t, "between the sender and somebody")
	toReceiver, receiver := connected(t, "between somebody and the receiver")
	var wait sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
	}
	wait.Go(func() { pass(toReceiver.Conn, toSender.Conn) })
	wait.Go(func() { pass(toSender.Conn, toReceiver.Conn) })
	a, b := both(t.Context(), sender, receiver, rightWords, rightWords)
	sender.Close()
	receiver.Close()
	wait.Wait()
	if !errors.Is(a, ErrWrong) || !errors.Is(b, ErrWrong) {
		t.Errorf("the sides end with %v and %v", a, b)
	}
}

// frame is a frame as a peer sends it.
func frame(kind byte, content []byte) []byte {
	return slices.Concat([]byte{kind, byte(len(content))}, content)
}

// readFrame reads what a side says, as a peer does.
func readFrame(t *testing.T, from io.Reader) (kind byte, content []byte) {
	t.Helper()
	var header [2]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		t.Errorf("read a frame: %v", err)
		return 0, nil
	}
	content = make([]byte, header[1])
	if _, err := io.ReadFull(from, content); err != nil {
		t.Errorf("read a frame: %v", err)
	}
	return header[0], content
}

// run is one side of SPAKE2 by itself, for peers that do not follow the exchange.
func run(t *testing.T, role spake2.Role, words, binding string) *spake2.Exchange {
	t.Helper()
	password, err := spake2.NewPassword([]byte(words), passwordInfo)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(binding))
	x, err := spake2.Start(role, password, spake2.Identities{A: "sender", B: "receiver"}, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// against runs one side against a peer that does what it likes and then ends the stream.
func against(t *testing.T, side func(context.Context, Stream, string) error, peer func(t *testing.T, conn net.Conn)) error {
	t.Helper()
	ours, theirs := connected(t, "a")
	var wait sync.WaitGroup
	wait.Go(func() {
		peer(t, theirs.Conn)
		theirs.Close()
	})
	err := side(t.Context(), ours, rightWords)
	ours.Close()
	wait.Wait()
	return err
}

// TestHostileReceivers has the sender meet receivers that follow nothing. The error says whether the code is used up: it is from the
// moment that the sender has answered a share.
func TestHostileReceivers(t *testing.T) {
	var replayed [2][]byte // what a receiver with the right words has sent
	sender, receiver := connected(t, "a")
	if a, b := both(t.Context(), sender, receiver, rightWords, rightWords); a != nil || b != nil {
		t.Fatal(a, b)
	}
	replayed[0], replayed[1], _ = cutFrames(receiver.sent.Bytes())
	for _, c := range []struct {
		name string
		want error // nil: nothing was begun
		peer func(t *testing.T, conn net.Conn)
	}{
		{"says nothing", nil, func(*testing.T, net.Conn) {}},
		{"begins with half of a share", nil, func(t *testing.T, conn net.Conn) { conn.Write(replayed[0][:30]) }},
		{"begins with a confirmation", nil, func(t *testing.T, conn net.Conn) { conn.Write(frame(confirmationFrame, make([]byte, 32))) }},
		{"begins with a refusal", nil, func(t *testing.T, conn net.Conn) { conn.Write(frame(refusalFrame, nil)) }},
		{"begins with an unknown kind", nil, func(t *testing.T, conn net.Conn) { conn.Write(frame(9, make([]byte, 65))) }},
		{"begins with a long frame", nil, func(t *testing.T, conn net.Conn) { conn.Write(frame(shareFrame, make([]byte, 255))) }},
		{"begins with the point at infinity", nil, func(t *testing.T, conn net.Conn) { conn.Write(frame(shareFrame, make([]byte, 65))) }},
		{"stops after pA", ErrBroken, func(t *testing.T, conn net.Conn) {
			conn.Write(replayed[0])
			readFrame(t, conn)
		}},
		{"stops in its confirmation", ErrBroken, func(t *testing.T, conn net.Conn) {
			conn.Write(replayed[0])
			readFrame(t, conn)
			conn.Write(replayed[1][:20])
		}},
		{"says another share", ErrBroken, func(t *testing.T, conn net.Conn) {
			conn.Write(replayed[0])
			readFrame(t, conn)
			conn.Write(replayed[0])
		}},
		{"gives up", ErrWrong, func(t *testing.T, conn net.Conn) {
			conn.Write(replayed[0])
			readFrame(t, conn)
			conn.Write(frame(refusalFrame, nil))
		}},
		{"replays", ErrWrong, func(t *testing.T, conn net.Conn) {
			conn.Write(replayed[0])
			readFrame(t, conn)
			conn.Write(replayed[1])
			wantRefusal(t, conn)
		}},
		{"reflects the share", ErrWrong, func(t *testing.T, conn net.Conn) {
			x := run(t, spake2.B, "guess", "a")
			conn.Write(frame(shareFrame, x.Share()))
			_, share := readFrame(t, conn)
			conn.Write(frame(confirmationFrame, share[:32]))
			wantRefusal(t, conn)
		}},
		{"confirms with the sender's key", ErrWrong, func(t *testing.T, conn net.Conn) {
			x := run(t, spake2.A, rightWords, "a") // in the wrong role, whose confirmation would be the sender's own
			conn.Write(frame(shareFrame, x.Share()))
			_, share := readFrame(t, conn)
			if c, err := x.Finish(share); err == nil {
				conn.Write(frame(confirmationFrame, c.Confirmation()))
			}
			wantRefusal(t, conn)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, against(t, Send, c.peer), c.want) })
	}
}

// TestHostileSenders has the receiver meet senders that follow nothing. Somebody who does not answer has no guess; from the answer on, it is
// one.
func TestHostileSenders(t *testing.T) {
	for _, c := range []struct {
		name string
		want error
		peer func(t *testing.T, conn net.Conn)
	}{
		{"never listens", nil, func(*testing.T, net.Conn) {}},
		{"stops after pB", ErrUnanswered, func(t *testing.T, conn net.Conn) { readFrame(t, conn) }},
		{"refuses the share", ErrUnanswered, func(t *testing.T, conn net.Conn) {
			readFrame(t, conn)
			conn.Write(frame(refusalFrame, nil))
		}},
		{"reflects the share", ErrWrong, func(t *testing.T, conn net.Conn) {
			_, share := readFrame(t, conn)
			conn.Write(frame(shareFrame, share))
			_, confirmation := readFrame(t, conn)
			conn.Write(frame(confirmationFrame, confirmation))
			wantRefusal(t, conn)
		}},
		{"reflects the confirmation", ErrWrong, func(t *testing.T, conn net.Conn) {
			x := run(t, spake2.A, "guess", "a")
			readFrame(t, conn)
			conn.Write(frame(shareFrame, x.Share()))
			_, confirmation := readFrame(t, conn)
			conn.Write(frame(confirmationFrame, confirmation))
			wantRefusal(t, conn)
		}},
		{"sends no point", ErrUnanswered, func(t *testing.T, conn net.Conn) {
			readFrame(t, conn)
			conn.Write(frame(shareFrame, bytes.Repeat([]byte{4}, 65)))
		}},
		{"stops after cB", ErrBroken, func(t *testing.T, conn net.Conn) {
			x := run(t, spake2.A, rightWords, "a")
			readFrame(t, conn)
			conn.Write(frame(shareFrame, x.Share()))
			readFrame(t, conn)
		}},
		{"confirms with other words", ErrWrong, func(t *testing.T, conn net.Conn) {
			x := run(t, spake2.A, "guess", "a")
			_, share := readFrame(t, conn)
			conn.Write(frame(shareFrame, x.Share()))
			c, err := x.Finish(share)
			if err != nil {
				t.Error(err)
				return
			}
			readFrame(t, conn)
			conn.Write(frame(confirmationFrame, c.Confirmation()))
			wantRefusal(t, conn)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { wantError(t, against(t, Receive, c.peer), c.want) })
	}
}

func cutFrames(b []byte) (first, second, rest []byte) {
	n := 2 + int(b[1])
	m := n + 2 + int(b[n+1])
	return b[:n], b[n:m], b[m:]
}

func wantRefusal(t *testing.T, conn net.Conn) {
	t.Helper()
	if kind, content := readFrame(t, conn); kind != refusalFrame || len(content) != 0 {
		t.Errorf("the side says %d, %x, and not that the words are wrong", kind, content)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Fatal("the exchange is confirmed")
	}
	for _, kind := range []error{ErrWrong, ErrBroken, ErrUnanswered} {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("the exchange ends with %q, want %v", err, want)
		}
	}
}

// TestSilence: a peer that says nothing more is waited for until the context ends, and at most for the time of an exchange.
func TestSilence(t *testing.T) {
	tooLong := errors.New("the program ends")
	for _, c := range []struct {
		name   string
		within time.Duration
		began  bool
		want   time.Duration
	}{
		{"the exchange's time", time.Hour, true, exchangeTime},
		{"the context's time", time.Second, true, time.Second},
		{"nothing begun", time.Second, false, time.Second},
		{"the time for the first frame", time.Hour, false, shareTime},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), c.within, tooLong)
			defer cancel()
			ours, theirs := connected(t, "a")
			if c.began {
				x := run(t, spake2.B, rightWords, "a")
				go func() {
					theirs.Write(frame(shareFrame, x.Share()))
					readFrame(t, theirs)
				}()
			}
			began := time.Now()
			err := Send(ctx, ours, rightWords)
			if took := time.Since(began); took != c.want {
				t.Errorf("%s: it took %v, want %v", c.name, took, c.want)
			}
			if errors.Is(err, ErrBroken) != c.began || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, tooLong) != (c.within < shareTime) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// TestImpostor: a receiver waits only briefly for somebody who takes its first frame and says nothing, so that it can ask others.
func TestImpostor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := connected(t, "a")
		go readFrame(t, theirs)
		began := time.Now()
		err := Receive(t.Context(), ours, rightWords)
		if took := time.Since(began); !errors.Is(err, ErrUnanswered) || took != answerTime {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestDeafPeer: a peer that reads no more hears of no refusal, and holds up nobody.
func TestDeafPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := connected(t, "a")
		x := run(t, spake2.B, "guess", "a")
		go func() {
			theirs.Write(frame(shareFrame, x.Share()))
			readFrame(t, theirs)
			theirs.Write(frame(confirmationFrame, make([]byte, 32)))
		}()
		began := time.Now()
		err := Send(t.Context(), ours, rightWords)
		if took := time.Since(began); !errors.Is(err, ErrWrong) || took != refusalTime {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestNothingProves: without words, or without what tells the connection from others, nothing is said at all.
func TestNothingProves(t *testing.T) {
	sender, receiver := connected(t, "a")
	if a, b := both(t.Context(), sender, receiver, "", ""); a == nil || b == nil {
		t.Errorf("no words are confirmed: %v, %v", a, b)
	}
	sender, receiver = connected(t, "")
	if a, b := both(t.Context(), sender, receiver, rightWords, rightWords); a == nil || b == nil {
		t.Errorf("no connection is confirmed: %v, %v", a, b)
	}
	if n := sender.sent.Len() + receiver.sent.Len(); n != 0 {
		t.Errorf("%d bytes were said", n)
	}
}

// script is a peer that says what it is given, whatever it hears.
type script struct {
	*bytes.Reader
	heard bytes.Buffer
}

func (s *script) Write(b []byte) (int, error)     { return s.heard.Write(b) }
func (s *script) SetDeadline(time.Time) error     { return nil }
func (s *script) ChannelBinding() ([]byte, error) { return make([]byte, 32), nil }

// FuzzExchange feeds both sides what a peer without the words can say. Neither is ever confirmed, reads more than two frames, or says
// more than its own two and a refusal.
func FuzzExchange(f *testing.F) {
	sender, receiver := connected(f, "a")
	if a, b := both(context.Background(), sender, receiver, rightWords, rightWords); a != nil || b != nil {
		f.Fatal(a, b)
	}
	f.Add(sender.sent.Bytes())
	f.Add(receiver.sent.Bytes())
	f.Add([]byte{refusalFrame, 0})
	f.Add(frame(shareFrame, make([]byte, 65)))
	f.Fuzz(func(t *testing.T, said []byte) {
		for name, side := range map[string]func(context.Context, Stream, string) error{"sender": Send, "receiver": Receive} {
			s := &script{Reader: bytes.NewReader(said)}
			err := side(t.Context(), s, rightWords)
			if err == nil {
				t.Fatalf("the %s is convinced by %x", name, said)
			}
			const frames = 2 + spake2.ShareSize + 2 + spake2.ConfirmationSize
			if read := len(said) - s.Len(); read > frames {
				t.Errorf("the %s has read %d bytes", name, read)
			}
			if s.heard.Len() > frames+2 {
				t.Errorf("the %s has said %d bytes", name, s.heard.Len())
			}
			guess := s.heard.Len() > 2+spake2.ShareSize || name == "sender" && s.heard.Len() > 0
			if guess != (errors.Is(err, ErrWrong) || errors.Is(err, ErrBroken)) {
				t.Errorf("the %s has said %d bytes and ends with %v", name, s.heard.Len(), err)
			}
		}
	})
}
