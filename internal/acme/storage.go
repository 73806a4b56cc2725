package acme

import (
	"context"
	"net"
	"strconv"

	"github.com/caddyserver/certmagic"
)

// storage is a directory that this process alone writes to, by Run's one goroutine. So its lock locks nothing: certmagic's
// own, a file, needs a goroutine that nobody waits for, and lets a process that was killed hold up the next one.
type storage struct{ *certmagic.FileStorage }

func newStorage(dir string) *storage { return &storage{&certmagic.FileStorage{Path: dir}} }

// Lock implements certmagic.Locker.
func (s *storage) Lock(ctx context.Context, _ string) error { return ctx.Err() }

// Unlock implements certmagic.Locker.
func (s *storage) Unlock(context.Context, string) error { return nil }

// splitAddr returns the host and the port of a listening address.
func splitAddr(addr string) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(text)
	return host, port
}
