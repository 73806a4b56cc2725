package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"
	"time"
)

// epoch is the time in every test that does not move it.
var epoch = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func fixedClock(t time.Time) func() time.Time { return func() time.Time { return t } }

func testSecret(name string) Secret {
	sum := sha256.Sum256([]byte(name))
	return NewSecret(sum[:])
}

// testRand returns the same stream for the same seed.
func testRand(seed string) io.Reader { return &hashStream{seed: []byte(seed)} }

type hashStream struct {
	mu    sync.Mutex
	seed  []byte
	count uint64
	rest  bytes.Buffer
}

func (s *hashStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.rest.Len() < len(p) {
		s.count++
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(s.seed, s.count))
		s.rest.Write(sum[:])
	}
	return s.rest.Read(p)
}
