package signalload

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Config says which sessions to hold at which server. It is not changed after Open.
type Config struct {
	Server   netip.AddrPort
	Host     string      // what requests and certificates call the server
	TLS      *tls.Config // nil: in clear
	Dialect  Dialect
	Sessions int // an even number: they send to each other in pairs
	Size     int // bytes of a message; default 1024
	Workers  int // threads that send and receive; default 1
	PID      int // of the server if it is on this machine, to read its memory and processor time; 0: unknown
	// Settle is how long to wait after the last log-in before the memory of idle sessions is read, with a PID.
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

// mate is whom a session talks to.
func mate(session int) int { return session ^ 1 }
