package signalload

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config describes the sessions to hold at a server. It must not change after Open.
type Config struct {
	Server   netip.AddrPort
	Host     string      // name of the server in requests and certificates
	TLS      *tls.Config // nil: no TLS
	Dialect  Dialect
	Sessions int  // an even number, since they send to each other in pairs
	Members  bool // for the report: the sessions are members', who see each other online
	Size     int  // bytes of a message; default 1024
	Workers  int  // threads that send and receive; default 1
	PID      int  // of a server on this machine, to read its memory and processor time; 0: unknown
	// Return keeps what sessions come back with, for Generator.Return.
	Return bool
	// Settle is the wait between the last log-in and the reading of memory, with a PID.
	Settle time.Duration
}

const (
	defaultSize = 1024
	// MinSize and MaxSize bound a message; the limit of turnpike.v1 is 64 KiB.
	MinSize = 512
	MaxSize = 60 << 10
)

func (c *Config) validate() error {
	c.Size = cmp.Or(c.Size, defaultSize)
	c.Workers = cmp.Or(c.Workers, 1)
	switch {
	case !c.Server.IsValid():
		return errors.New("there is no server to load")
	case c.Dialect == nil:
		return errors.New("there is no dialect to speak")
	case c.Sessions < 2 || c.Sessions%2 != 0:
		return fmt.Errorf("%d sessions are no pairs", c.Sessions)
	case c.Size < MinSize || c.Size > MaxSize:
		return fmt.Errorf("messages of %d bytes are not between %d and %d", c.Size, MinSize, MaxSize)
	}
	c.Workers = min(c.Workers, c.Sessions/2)
	return nil
}

// mate returns the session that a session talks to.
func mate(session int) int { return session ^ 1 }
