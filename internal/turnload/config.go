package turnload

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"example.org/turnpike/auth"
)

// Config describes the calls and their server. It must not change after Open.
type Config struct {
	Server     netip.AddrPort           // its listener
	Transport  Transport                // from client to server; zero: OverUDP
	TLS        *tls.Config              // over TLS and DTLS: the server's name and who vouches for it
	Credential func(call int) Login     // of each call: with a user each, quotas need not be raised
	Calls      int                      // at least one
	Profile    Profile                  // what each call sends in each direction
	Direction  Direction                //
	Peer       netip.Addr               // local address of the peers; zero: the one from which packets go to the server
	Workers    int                      // threads that send and receive; default 1
	InClient   func(func() error) error // calls its argument where the clients' sockets must be opened; nil: here
	InPeer     func(func() error) error // likewise for peers

	Indications bool // Send and Data indications instead of channels
	Relayed     bool // from client to client through an allocation of each, with no peers
	Binding     bool // Binding requests to the server, instead of calls
	Direct      bool // from client to peer without a server, to know the cost of the network
	Hold        bool // allocations and channels only: Run is not possible

	PID    int           // of the server, if it is on this machine, to read its memory; 0: none
	Settle time.Duration // time between the last allocation and the reading of memory
}

// Transport is the transport between client and server.
type Transport string

// The transports.
const (
	OverUDP  Transport = "udp"
	OverTCP  Transport = "tcp"
	OverTLS  Transport = "tls"
	OverDTLS Transport = "dtls"
)

// Login is a username and password.
type Login struct{ Username, Password string }

// RESTLogin makes logins of the TURN REST API, with a user for each call. They are valid for a day.
func RESTLogin(secret auth.Secret, now time.Time) func(call int) Login {
	expires := strconv.FormatInt(now.Add(24*time.Hour).Unix(), 10)
	return func(call int) Login {
		username := expires + ":bench" + strconv.Itoa(call)
		return Login{username, auth.Password(secret, username)}
	}
}

func (c *Config) validate() error {
	switch {
	case !c.Direct && !c.Server.IsValid():
		return errors.New("there is no server to load")
	case !c.Direct && !c.Binding && c.Credential == nil:
		return errors.New("there is no credential")
	case c.Direct && !c.Peer.IsValid():
		return errors.New("there is no address to send to without a server")
	case c.Calls < 1:
		return fmt.Errorf("%d calls are too few", c.Calls)
	case c.Binding && (c.Direct || c.Relayed || c.Hold || c.Indications || c.carried()):
		return errors.New("no other mode goes with Binding requests")
	case c.Direct && c.carried(), c.Direct && c.Relayed, c.Hold && (c.Direct || c.Relayed):
		return errors.New("these modes exclude each other")
	}
	if c.Binding {
		c.Profile, c.Direction = bindingProfile(), Up
		c.Calls = min(c.Calls, 1<<16)
	}
	for _, s := range c.Profile.Streams {
		if c.Binding {
			break
		}
		if s.Size < packetHeader || s.Size > maxPayload || s.Size%4 != 0 || s.Burst < 1 || s.Burst > maxBurst || s.Interval <= 0 {
			return fmt.Errorf("profile %q has a stream that cannot be sent: %+v", c.Profile.Name, s)
		}
	}
	c.Workers = cmp.Or(c.Workers, 1)
	return nil
}

// carried reports whether a carrier stands between clients and server.
func (c *Config) carried() bool { return c.Transport != "" && c.Transport != OverUDP }

// inClient calls open where the clients' sockets must be opened.
func (c *Config) inClient(open func() error) error { return in(c.InClient, open) }

// inPeer calls open where the peers' sockets must be opened.
func (c *Config) inPeer(open func() error) error { return in(c.InPeer, open) }

func in(where func(func() error) error, open func() error) error {
	if where == nil {
		return open()
	}
	return where(open)
}

// NominalRate is the packets a second of all calls, in all directions.
func (c *Config) NominalRate() float64 {
	return c.Profile.PacketsPerSecond() * float64(c.Calls*c.Direction.ways())
}
