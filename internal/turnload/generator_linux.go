package turnload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
)

// freeTime bounds the wait for the server when Close frees the allocations. The rest of them expire.
const freeTime = 5 * time.Second

// Generator holds the calls of a Config. One goroutine at a time may call its methods.
type Generator struct {
	cfg   Config
	calls []call
	setup Setup
	flows []flow

	runs      uint32
	refreshed time.Time // when the allocations last got more time
}

// call is two ends that send to each other.
type call struct{ near, far end }

// ends returns the sender and the receiver in a direction, Up or Down.
func (c call) ends(d Direction) (from, to end) {
	if d == Down {
		return c.far, c.near
	}
	return c.near, c.far
}

// end is one end of a call.
type end struct {
	*socket         // the client's, if the end is one
	client  *client // nil: the end is a peer, which sends to the relayed address
}

// flow is one stream in one direction of a call. Only its counters change. During a run, they belong to the worker of
// the call.
type flow struct {
	id     uint32
	call   int
	from   *socket
	header []byte // before the payload
	stream Stream

	number    uint32 // of the next datagram
	expected  uint32 // the number after the highest that was received
	reordered uint64 // in this run
}

// Open opens the sockets, makes the allocations with their channels or permissions, and checks that data comes through.
func Open(ctx context.Context, cfg Config) (*Generator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg, calls: make([]call, cfg.Calls), refreshed: time.Now()}
	err := g.open(ctx)
	if err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Generator) open(ctx context.Context) error {
	if err := g.openSockets(); err != nil {
		return err
	}
	if !g.cfg.Direct && !g.cfg.Binding {
		if err := g.allocateAll(ctx); err != nil {
			return err
		}
	}
	if g.cfg.Hold {
		return nil
	}
	if err := g.makeFlows(); err != nil {
		return err
	}
	if g.cfg.Binding {
		return nil
	}
	return g.greet()
}

// Setup describes how the allocations were made.
func (g *Generator) Setup() Setup { return g.setup }

func (g *Generator) openSockets() error {
	cfg := &g.cfg
	to := cfg.Server
	if cfg.Direct {
		to = netip.AddrPortFrom(cfg.Peer, 0)
	}
	any4or6 := netip.IPv6Unspecified()
	if to.Addr().Is4() {
		any4or6 = netip.IPv4Unspecified()
	}
	err := cfg.inClient(func() error {
		for i := range g.calls {
			c := &g.calls[i]
			if err := c.near.openClient(netip.AddrPortFrom(any4or6, 0), cfg, 2*i); err != nil {
				return err
			}
			if cfg.Relayed {
				if err := c.far.openClient(netip.AddrPortFrom(any4or6, 0), cfg, 2*i+1); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil || cfg.Relayed || cfg.Binding {
		return err
	}
	if !cfg.Peer.IsValid() {
		cfg.Peer = g.calls[0].near.local.Addr()
	}
	err = cfg.inPeer(func() error { return g.openPeers() })
	if err != nil || !cfg.Direct {
		return err
	}
	for i := range g.calls {
		c := &g.calls[i]
		if err := errors.Join(c.near.connect(c.far.local), c.far.connect(c.near.local)); err != nil {
			return err
		}
	}
	return nil
}

// openClient opens the socket of a client, or without a server that of the near end.
func (e *end) openClient(local netip.AddrPort, cfg *Config, login int) (err error) {
	if cfg.carried() {
		e.socket, err = openCarried(cfg)
	} else {
		e.socket, err = openSocket(local)
	}
	if err != nil || cfg.Direct {
		return err
	}
	if !cfg.Binding {
		credential := cfg.Credential(login)
		e.client = &client{socket: e.socket, username: credential.Username, password: credential.Password}
	}
	if cfg.carried() {
		return nil
	}
	return e.connect(cfg.Server)
}

// openPeers opens the sockets of the peers. Calls that send nothing share one.
func (g *Generator) openPeers() error {
	for i := range g.calls {
		if g.cfg.Hold && i > 0 {
			g.calls[i].far = g.calls[0].far
			continue
		}
		s, err := openSocket(netip.AddrPortFrom(g.cfg.Peer, 0))
		if err != nil {
			return err
		}
		g.calls[i].far.socket = s
	}
	return nil
}

// clients lists the clients of all calls.
func (g *Generator) clients() []*client {
	var all []*client
	for _, c := range g.calls {
		for _, e := range []end{c.near, c.far} {
			if e.client != nil {
				all = append(all, e.client)
			}
		}
	}
	return all
}

func (g *Generator) allocateAll(ctx context.Context) error {
	clients := g.clients()
	g.setup.Allocations = len(clients)
	var err error
	if g.setup.RSSBefore, g.setup.SlabBefore, err = g.memory(); err != nil {
		return err
	}
	like := g.cfg.Server.Addr()
	if g.cfg.Peer.IsValid() {
		like = g.cfg.Peer
	}
	begin := time.Now()
	err = perform(ctx, clients, performer{
		request: func(*client) (stun.Method, []stun.Setter) { return allocation(like) },
		done:    (*client).allocated,
	})
	if err != nil {
		return err
	}
	g.setup.Took = time.Since(begin)
	for i := range g.calls {
		if err := g.join(&g.calls[i]); err != nil {
			return err
		}
	}
	if err := perform(ctx, clients, performer{request: (*client).opening}); err != nil {
		return err
	}
	if err := g.settle(ctx); err != nil {
		return err
	}
	g.setup.RSSAfter, g.setup.SlabAfter, err = g.memory()
	return err
}

// settle waits until the server has come to rest.
func (g *Generator) settle(ctx context.Context) error {
	if g.cfg.PID == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(g.cfg.Settle):
		return nil
	}
}

// join connects the ends of a call to each other.
func (g *Generator) join(c *call) error {
	near, far := c.near.client, c.far.client
	if far != nil {
		near.reach(far.relayed, g.cfg.Indications)
		far.reach(near.relayed, g.cfg.Indications)
		return nil
	}
	near.reach(c.far.local, g.cfg.Indications)
	if g.cfg.Hold {
		return nil // all calls share the one peer
	}
	return c.far.connect(near.relayed)
}

func (g *Generator) memory() (rss, slab int64, err error) {
	if g.cfg.PID == 0 {
		return 0, 0, nil
	}
	if rss, err = ResidentBytes(g.cfg.PID); err != nil {
		return 0, 0, fmt.Errorf("the memory of process %d: %w", g.cfg.PID, err)
	}
	slab, err = slabBytes()
	return rss, slab, err
}

// makeFlows makes the flows of all calls.
func (g *Generator) makeFlows() error {
	for i, c := range g.calls {
		for _, stream := range g.cfg.Profile.Streams {
			if g.cfg.Direction != Down {
				if err := g.addFlow(i, c.near, stream); err != nil {
					return err
				}
			}
			if g.cfg.Direction != Up {
				if err := g.addFlow(i, c.far, stream); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (g *Generator) addFlow(call int, from end, stream Stream) error {
	f := flow{id: uint32(len(g.flows)), call: call, from: from.socket, stream: stream}
	if g.cfg.Binding {
		f.header = bindingHeader()
	}
	if from.client != nil {
		var err error
		if f.header, err = from.client.header(stream.Size); err != nil {
			return err
		}
	}
	g.flows = append(g.flows, f)
	return nil
}

// greet sends packets each way through each call, as the connectivity checks before media do. A server may treat a flow
// differently once it was answered, and what it learns from the first packet may hold from the second on. A way that no
// run takes need not work.
func (g *Generator) greet() error {
	for range 2 {
		for _, d := range []Direction{Up, Down} {
			err := g.greetOneWay(d)
			if err != nil && (d == g.cfg.Direction || g.cfg.Direction == Both) {
				return err
			}
			if err != nil {
				return nil
			}
		}
	}
	return nil
}

// greetOneWay sends packets one way through each call, until one has come through each. It fails if none comes, because
// the report about a server that drops all of them would not say why.
func (g *Generator) greetOneWay(d Direction) error {
	waiting := slices.Clone(g.calls)
	in := newReader()
	for begin := time.Now(); len(waiting) > 0 && time.Since(begin) < patience/2; {
		for _, c := range waiting {
			from, _ := c.ends(d)
			hello, err := from.probe()
			if err != nil {
				return err
			}
			_ = from.send(hello) // an error is about an earlier packet: an ICMP message
		}
		for resend := time.Now().Add(firstResend); len(waiting) > 0 && time.Now().Before(resend); udpio.Nap(pollInterval) {
			waiting = slices.DeleteFunc(waiting, func(c call) bool {
				_, to := c.ends(d)
				return to.greeted(in)
			})
		}
	}
	if len(waiting) < len(g.calls) {
		return nil
	}
	from, to := g.calls[0].ends(d)
	return fmt.Errorf("no packet comes from %v to %v by way of the server's relay; is a firewall or a NAT between the server and the peers?", from.local, to.local)
}

// probe is a packet that belongs to no run.
func (e end) probe() ([]byte, error) {
	probe := make([]byte, packetHeader)
	packet{}.put(probe)
	if e.client == nil {
		return probe, nil
	}
	header, err := e.client.header(len(probe))
	return append(header, probe...), err
}

// greeted reports whether a packet has come.
func (e end) greeted(in *udpio.Reader) bool {
	n, _ := in.Receive(e.fd)
	for i := range n {
		b := in.Data(i)
		if e.client != nil {
			b = unwrap(b)
		}
		if _, ok := parsePacket(b); ok {
			return true
		}
	}
	return false
}

// Close frees the allocations and closes all sockets. If the server does not answer, Close leaves the rest to expire.
func (g *Generator) Close() {
	var allocated []*client
	for _, c := range g.clients() {
		if c.relayed.IsValid() {
			allocated = append(allocated, c)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), freeTime)
	defer cancel()
	_ = perform(ctx, allocated, performer{
		request: func(*client) (stun.Method, []stun.Setter) { return stun.MethodRefresh, []stun.Setter{lifetime(0)} },
	})
	for i, c := range g.calls {
		if c.near.socket != nil {
			c.near.close()
		}
		if shared := g.cfg.Hold && i > 0; c.far.socket != nil && !shared {
			c.far.close()
		}
	}
	g.calls = nil
}
