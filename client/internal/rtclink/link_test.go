package rtclink

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"example.org/turnpike/client/internal/link"
)

func TestEcho(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "echo")
	go func() {
		io.Copy(here, here)
		here.CloseWrite()
	}()
	sent := []byte("hello")
	if _, err := there.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := there.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(there)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := there.Write(sent); err == nil {
		t.Error("a write after CloseWrite succeeds")
	}
	path, ok := a.Path()
	if !ok || path.Relayed || path.Transport != link.WebRTC || path.Protocol != "udp" || !path.Local.IsValid() || !path.Remote.IsValid() || path.RTT <= 0 {
		t.Errorf("the path is %+v, %v", path, ok)
	}
	if told := <-a.paths; told.Remote != path.Remote {
		t.Errorf("told of the path %v, not of %v", told, path)
	}
}

// TestBulk sends much in both directions at once, on several streams, and reads slowly in one of them.
func TestBulk(t *testing.T) {
	a, b := connectedPair(t)
	const size = 8 << 20
	type result struct {
		sum [32]byte
		err error
	}
	for _, ends := range [][2]*end{{a, b}, {b, a}} {
		for range 2 {
			there, here := streams(t, ends[0], ends[1], "bulk")
			data := make([]byte, size)
			random := rand.NewChaCha8([32]byte{1})
			random.Read(data)
			received := make(chan result)
			go func() {
				hash := sha256.New()
				_, err := io.Copy(hash, here)
				received <- result{[32]byte(hash.Sum(nil)), err}
			}()
			if _, err := there.Write(data); err != nil {
				t.Fatal(err)
			}
			there.Close()
			if r := <-received; r.err != nil || r.sum != sha256.Sum256(data) {
				t.Fatalf("what came is not what was sent: %v", r.err)
			}
		}
	}
}

// TestBackPressure holds that a writer waits for a reader, with a bound on what is in between.
func TestBackPressure(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "slow")
	there.SetWriteDeadline(time.Now().Add(3 * time.Second))
	written, err := there.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("nobody reads, and the write ends with %v", err)
	}
	if most := receiveWindow + highWater + 4*maxMessage; written > most {
		t.Errorf("%d bytes were taken that nobody reads, more than %d", written, most)
	}
	there.SetWriteDeadline(time.Time{})
	go func() { there.CloseWrite() }()
	n, err := io.Copy(io.Discard, here)
	if err != nil || n != int64(written) {
		t.Errorf("read %d bytes of %d: %v", n, written, err)
	}
}

func TestDeadlines(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "late")
	buffer := make([]byte, 8)
	here.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := here.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a read ended with %v", err)
	}
	here.SetReadDeadline(time.Time{})
	there.Write([]byte("now"))
	if n, err := here.Read(buffer); err != nil || string(buffer[:n]) != "now" {
		t.Fatalf("read %q, %v", buffer[:n], err)
	}
	here.SetDeadline(time.Unix(1, 0))
	if _, err := here.Read(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read after its deadline ended with %v", err)
	}
	if _, err := here.Write(buffer); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after its deadline ended with %v", err)
	}
}

func TestReset(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "broken")
	there.Write([]byte("half"))
	buffer := make([]byte, 8)
	if n, err := here.Read(buffer); err != nil || string(buffer[:n]) != "half" {
		t.Fatalf("read %q, %v", buffer[:n], err)
	}
	there.Reset()
	if _, err := here.Read(buffer); !errors.Is(err, errReset) {
		t.Errorf("a read of a reset stream ended with %v", err)
	}
	eventually(t, func() error {
		if _, err := here.Write(buffer); err == nil {
			return errors.New("writes to a reset stream succeed")
		}
		return nil
	})
	if _, err := there.Read(buffer); err == nil {
		t.Error("one can read a stream that one has reset")
	}
}

// TestWrittenArrives closes the stream and then the link at once.
func TestWrittenArrives(t *testing.T) {
	a, b := connectedPair(t)
	there, here := streams(t, a, b, "last words")
	data := bytes.Repeat([]byte("words"), 400_000)
	go func() {
		there.Write(data)
		there.Close()
		a.Close()
	}()
	got, err := io.ReadAll(here)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("got %d of %d bytes: %v", len(got), len(data), err)
	}
	begun := time.Now()
	here.Close()
	b.Close()
	if took := time.Since(begun); took > closing-time.Second {
		t.Errorf("Close took %v, though the other side knows everything", took)
	}
}

func TestDatagrams(t *testing.T) {
	a, b := connectedPair(t)
	streams(t, a, b, "up")
	ctx := within(t, 20*time.Second)
	if err := a.SendDatagram(make([]byte, maxDatagram+1)); err == nil {
		t.Error("a datagram that no packet takes was sent")
	}
	for _, ends := range [][2]*end{{a, b}, {b, a}} {
		if err := ends[0].SendDatagram([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		p, err := ends[1].ReceiveDatagram(ctx)
		if err != nil || string(p) != "ping" {
			t.Fatalf("got the datagram %q, %v", p, err)
		}
	}
}
