package filetransfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestStandardInput: any length arrives, in a folder and at an output, over breaks.
func TestStandardInput(t *testing.T) {
	for _, size := range []int{0, 1, blockSize - 1, blockSize, blockSize + 1, 5 * blockSize, 30*blockSize + 99} {
		content := randomBytes(uint64(size), size)
		for _, toOutput := range []bool{false, true} {
			to := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t, SenderOptions{Stdin: bytes.NewReader(content), StdinName: "backup.tar"})
				n := newNet()
				n.after, n.then = 3*blockSize, func() {
					n.breakAll()
					n.after += 5 * blockSize
				}
				var output bytes.Buffer
				o := ReceiverOptions{Dir: to}
				if toOutput {
					o = ReceiverOptions{Output: &output}
				}
				done := transfer(t, s, n, o)
				if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
					t.Fatalf("%d bytes: receiver %v %+v, sender %v", size, done.err, done.result, done.sent)
				}
				got := output.Bytes()
				if !toOutput {
					got, _ = os.ReadFile(filepath.Join(to, "backup.tar"))
				}
				if !bytes.Equal(got, content) || done.result.SHA256 != sumOf(content) || done.result.Bytes != int64(size) {
					t.Errorf("%d bytes, output %v: %d bytes arrived, %+v", size, toOutput, len(got), done.result)
				}
			})
		}
	}
}

// TestFileToOutput: a file arrives at an output as it is, over breaks.
func TestFileToOutput(t *testing.T) {
	from := t.TempDir()
	content := randomBytes(3, 20*blockSize+5)
	write(t, filepath.Join(from, "a"), content)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
		n := newNet()
		n.after, n.then = 3*blockSize, func() {
			n.breakAll()
			n.after += 5 * blockSize
		}
		var output bytes.Buffer
		done := transfer(t, s, n, ReceiverOptions{Output: &output})
		if done.err != nil || done.sent != nil || !bytes.Equal(output.Bytes(), content) {
			t.Errorf("receiver %v, sender %v, %d bytes", done.err, done.sent, output.Len())
		}
	})
}

// TestOutputTakesOneFile: a folder does not fit an output, and both sides say so.
func TestOutputTakesOneFile(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a", "b"), []byte("x"))
	s := newSender(t, SenderOptions{}, filepath.Join(from, "a"))
	done := transfer(t, s, newNet(), ReceiverOptions{Output: io.Discard})
	if !errors.Is(done.err, errManyFiles) || done.sent == nil || !strings.Contains(done.sent.Error(), "takes a single file") {
		t.Errorf("receiver %v, sender %v", done.err, done.sent)
	}
}

// TestStandardInputFails: what is read before an error is no file.
func TestStandardInputFails(t *testing.T) {
	to := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{Stdin: io.MultiReader(bytes.NewReader(make([]byte, 5*blockSize)), failing{}), StdinName: "backup.tar"})
		done := transfer(t, s, newNet(), ReceiverOptions{Dir: to})
		if done.err != nil || done.sent != nil || len(done.result.Left) != 1 || done.result.Left[0].Why != "the tape is torn" {
			t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
		}
		if failed, _ := done.session.Left(); failed != 1 {
			t.Errorf("the sender knows of %d files that failed", failed)
		}
	})
	if _, err := os.Stat(filepath.Join(to, "backup.tar")); !os.IsNotExist(err) {
		t.Errorf("there is half a file: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the tape is torn") }

// TestStandardInputAfterKill: a receiver that is started again goes on with standard input where it was.
func TestStandardInputAfterKill(t *testing.T) {
	to := t.TempDir()
	content := randomBytes(5, 25*blockSize+1)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{Stdin: bytes.NewReader(content), StdinName: "in"})
		receiveUntil(t, s, to, 17*blockSize)
		n := newNet()
		done := transfer(t, s, n, ReceiverOptions{Dir: to})
		if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
			t.Fatalf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
		}
		got, _ := os.ReadFile(filepath.Join(to, "in"))
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes arrived", len(got))
		}
		if n.carried() > 16*blockSize {
			t.Errorf("%d bytes came once more", n.carried())
		}
	})
}

// TestSeveralReceivers: each receives all, also standard input, and one that does not read holds up nobody.
func TestSeveralReceivers(t *testing.T) {
	from := t.TempDir()
	write(t, filepath.Join(from, "a"), randomBytes(7, 12*blockSize))
	input := randomBytes(8, 12*blockSize+1)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{Stdin: bytes.NewReader(input), StdinName: "in", Receivers: 3, TempDir: t.TempDir()}, filepath.Join(from, "a"))
		stuck := newNet()
		serving, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- s.Session().Serve(serving, stuck) }()
		askAndNotRead(t, stuck)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				to := t.TempDir()
				done := transfer(t, s, newNet(), ReceiverOptions{Dir: to})
				if done.err != nil || done.sent != nil || done.result.Files != 2 {
					t.Errorf("receiver %v %+v, sender %v", done.err, done.result, done.sent)
				}
				got, _ := os.ReadFile(filepath.Join(to, "in"))
				if !bytes.Equal(got, input) {
					t.Errorf("%d bytes of standard input arrived", len(got))
				}
			})
		}
		all.Wait()
		stop()
		<-stopped
	})
}

// askAndNotRead asks a sender for the beginning of its first file on all streams, and reads no answer.
func askAndNotRead(t *testing.T, n *memNet) {
	t.Helper()
	files, err := n.Open(t.Context(), StreamFiles)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(files, `{"type":"hello","version":1}`+"\n")
	for in := newLineReader(files); ; {
		if line, err := in.raw(); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(line), `"plan"`) {
			break
		}
	}
	for i := range maxStreams {
		blocks, err := n.Open(t.Context(), fmt.Sprint(StreamBlocks, i+1))
		if err != nil {
			t.Fatal(err)
		}
		for j := range 12 {
			_, _ = blocks.Write(frame{0, int64(j) * blockSize, blockSize}.append(nil))
		}
	}
}

// TestStandardInputEndsSlowly: over a slow line the last block takes long after the sender has said that nothing is behind it.
func TestStandardInputEndsSlowly(t *testing.T) {
	content := randomBytes(9, blockSize+blockSize/2)
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, SenderOptions{Stdin: bytes.NewReader(content), StdinName: "in"})
		n := newNet()
		n.slow = 2 * stallTimeout / 8 // each write of 64 KiB, eight of which are half a block
		var output bytes.Buffer
		done := transfer(t, s, n, ReceiverOptions{Output: &output})
		if done.err != nil || done.sent != nil || len(done.result.Left) > 0 || !bytes.Equal(output.Bytes(), content) {
			t.Errorf("receiver %v %+v, sender %v, %d bytes", done.err, done.result, done.sent, output.Len())
		}
	})
}
