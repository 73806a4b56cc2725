package filetransfer

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkTransfer sends a file over four streams in memory, and BenchmarkCopy copies it over one with nothing else done: what is between
// them is the cost of asking, two hashes on each side, and writing through to the disk.
func BenchmarkTransfer(b *testing.B) {
	const size = 256 * blockSize
	from := filepath.Join(b.TempDir(), "a")
	write(b, from, randomBytes(1, size))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		s, err := NewSender([]string{from}, SenderOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n, to := newNet(), b.TempDir()
		served := make(chan error, 1)
		go func() { served <- s.Session().Serve(b.Context(), n) }()
		if _, err := Receive(b.Context(), n, ReceiverOptions{Dir: to}); err != nil {
			b.Fatal(err)
		}
		if err := <-served; err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
		_ = os.RemoveAll(to)
	}
}

func BenchmarkCopy(b *testing.B) {
	const size = 256 * blockSize
	from := filepath.Join(b.TempDir(), "a")
	write(b, from, randomBytes(1, size))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		in, err := os.Open(from)
		if err != nil {
			b.Fatal(err)
		}
		out, err := os.Create(filepath.Join(b.TempDir(), "a"))
		if err != nil {
			b.Fatal(err)
		}
		mine, theirs := pair()
		go func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{theirs}, struct{ io.Reader }{in}, make([]byte, chunkSize))
			_ = theirs.Close()
		}()
		if n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{mine}, make([]byte, chunkSize)); n != size || err != nil {
			b.Fatal(n, err)
		}
		if err := out.Sync(); err != nil {
			b.Fatal(err)
		}
		_ = in.Close()
		_ = out.Close()
		_ = os.Remove(out.Name())
	}
}

// BenchmarkSmallFiles sends many files of 4 KiB.
func BenchmarkSmallFiles(b *testing.B) {
	const files, size = 1000, 4 << 10
	top := filepath.Join(b.TempDir(), "top")
	for i := range files {
		write(b, filepath.Join(top, string(rune('a'+i%10)), string(rune('a'+i/26))+string(rune('a'+i%26))), randomBytes(uint64(i), size))
	}
	b.SetBytes(files * size)
	for b.Loop() {
		s, err := NewSender([]string{top}, SenderOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := newNet()
		served := make(chan error, 1)
		go func() { served <- s.Session().Serve(context.Background(), n) }()
		if _, err := Receive(b.Context(), n, ReceiverOptions{Dir: b.TempDir()}); err != nil {
			b.Fatal(err)
		}
		if err := <-served; err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
