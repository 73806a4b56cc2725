package filetransfer

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// randomTree makes a folder with random things in it.
func randomTree(t *testing.T, r *rand.Rand, top string) {
	names := []string{"a", "B", "übung", "with space", "日本", "x.tar.gz", ".hidden", "-rf", "a'b\"c", "$HOME", "trailing.", "CON"}
	dirs := []string{top}
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range r.IntN(40) {
		p := filepath.Join(dirs[r.IntN(len(dirs))], fmt.Sprintf("%s%d", names[r.IntN(len(names))], i))
		if r.IntN(4) == 0 {
			if err := os.Mkdir(p, 0o755); err != nil {
				t.Fatal(err)
			}
			dirs = append(dirs, p)
			continue
		}
		size := []int{0, 1, r.IntN(1000), r.IntN(100_000), blockSize - 1, blockSize, blockSize + 1, r.IntN(4 * blockSize)}[r.IntN(8)]
		write(t, p, randomBytes(r.Uint64(), size))
		mode := []fs.FileMode{0o644, 0o600, 0o755, 0o444}[r.IntN(4)]
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(r.Int64N(2_000_000_000), r.Int64N(1_000_000_000))
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		when := time.Unix(r.Int64N(2_000_000_000), r.Int64N(1_000_000_000))
		if err := os.Chtimes(dirs[i], when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnyTree: any tree that goes in comes out, wherever streams break, and the receiver is killed at times.
func TestAnyTree(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 8
	}
	seed := rand.Uint64()
	for i := range rounds {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		from, to := t.TempDir(), t.TempDir()
		randomTree(t, r, filepath.Join(from, "top"))
		synctest.Test(t, func(t *testing.T) {
			s := newSender(t, SenderOptions{}, filepath.Join(from, "top"))
			if total := s.Bytes(); r.IntN(2) == 0 && total > 0 {
				n := newNet()
				n.after, n.then = r.Int64N(total), func() {
					n.refuse = errKilled
					n.breakAll()
				}
				_ = transfer(t, s, n, ReceiverOptions{Dir: to})
			}
			n := newNet()
			n.cut = func(name string) int64 {
				switch {
				case r.IntN(2) == 0:
					return 0
				case name == StreamFiles:
					return 1 + r.Int64N(8<<10)
				}
				return 1 + r.Int64N(2*blockSize)
			}
			done := transfer(t, s, n, ReceiverOptions{Dir: to})
			if done.err != nil || done.sent != nil || len(done.result.Left) > 0 {
				t.Fatalf("seed %d, round %d: receiver %v %+v, sender %v", seed, i, done.err, done.result, done.sent)
			}
		})
		sameTree(t, from, to)
		if t.Failed() {
			t.Fatalf("seed %d, round %d", seed, i)
		}
	}
}
