// Package path finds ways to one room mate, and carries QUIC's packets on the best of them. There is one UDP socket, which
// ICE, the clients of STUN and TURN servers and QUIC share; QUIC itself reads and writes it, in batches.
//
//	quiclink ── Restart, SetRemote, AddCandidate ──▶ Path ── ice.Agent: which addresses work
//	         ◀─ Candidate, Changed, Needs ────────           ── server, relay: STUN and TURN
//
//	QUIC ── Socket ─┬─ route: straight to the peer ─────────────────────▶
//	                ├─ route: ChannelData before each segment ──────────▶ TURN server, from the same socket
//	                └─ route: pion's TURN client (TCP, TLS, DTLS) ──────▶ TURN server
//
// QUIC knows one virtual address of the peer. ICE sees connections that carry STUN only, so that it is asked which pair to
// use, and never touches data. Candidates are ours: the wildcard socket is one local candidate of each family, and relays
// outlive an ICE restart if the server still has them.
package path

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"

	"example.org/turnpike/client/internal/link"
	"example.org/turnpike/signal/wire"
)

// Config says what a Path needs of its surroundings. Its functions are called by the Path's goroutines, and must not block.
type Config struct {
	RelayOnly bool
	// Leads is the side that looks for a better path than a relayed one. The other side waits longer after a loss.
	Leads   bool
	TLS     *tls.Config
	Logger  *slog.Logger
	Servers []wire.ICEServer

	Candidate func(Candidate) // A candidate for the other side.
	Changed   func()          // Current may have changed.
	Needs     func()          // An ICE restart is needed.
}

// Candidate is a line for the other side; an empty one is the end.
type Candidate struct{ Line, Ufrag string }

// Intervals of ICE. Data goes on any valid pair, so that nothing waits for a nomination.
const (
	checkEvery  = 100 * time.Millisecond
	maxChecking = 50 // requests of a pair
	keepAlive   = time.Second
	lostAfter   = 3 * time.Second
	relayWait   = 2 * time.Second
	// outlives is how long a former path is kept after a restart, if nothing was heard on it.
	outlives = 700 * time.Millisecond
)

// Path is the way to one peer. Its methods may be called by any goroutine, those that change ICE by one at a time.
type Path struct {
	config   Config
	socket   *Socket
	agent    *ice.Agent
	pion     logging.LoggerFactory
	tasks    link.Tasks
	ctx      context.Context
	end      context.CancelFunc
	wakes    chan struct{}
	hosts    [2]atomic.Pointer[iceConn] // of IPv4 and IPv6
	state    atomic.Int32               // ice.ConnectionState
	settled  atomic.Bool                // A pair was selected, so that the path is more than the first that worked.
	accepted atomic.Int32               // Remote candidates that ICE took in this generation.
	answered atomic.Bool                // A server has answered over UDP in this generation.
	named    atomic.Int32               // Ticks at which the pairs must be looked at.

	mu         sync.Mutex
	servers    map[netip.AddrPort]*server
	urls       []wire.ICEServer
	streams    []*relay // Relays by connections of their own.
	locals     map[string]*relay
	generation int
	gatheredIn int // The generation that has asked all its servers.
	settledIn  int // The one that a selected pair is of.
	gathering  context.CancelFunc
	gathered   chan struct{} // Closed when gathering has ended.
	started    bool
	current    Info
	up         bool
	forgotten  bool // Run must hear of Forget.

	// Owned by run.
	watch watch
}

// New opens the socket of a peer. Nothing is sent before Restart.
func New(c Config) (*Path, error) {
	p := &Path{config: c, wakes: make(chan struct{}, 1), servers: map[netip.AddrPort]*server{}, locals: map[string]*relay{}, urls: c.Servers}
	p.pion = pionLogs{c.Logger}
	p.ctx, p.end = context.WithCancel(context.Background())
	var err error
	if p.socket, err = listen(p.received); err != nil {
		return nil, err
	}
	if p.agent, err = p.newAgent(); err != nil {
		_ = p.socket.udp.Close()
		return nil, err
	}
	p.tasks.Run(p.run)
	return p, nil
}

func (p *Path) newAgent() (*ice.Agent, error) {
	a, err := ice.NewAgentWithOptions(
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4, ice.NetworkTypeUDP6}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithDisableActiveTCP(),
		ice.WithLoggerFactory(p.pion),
		ice.WithCheckInterval(checkEvery), ice.WithMaxBindingRequests(maxChecking),
		ice.WithKeepaliveInterval(keepAlive), ice.WithDisconnectedTimeout(lostAfter), ice.WithFailedTimeout(0),
		ice.WithHostAcceptanceMinWait(0), ice.WithSrflxAcceptanceMinWait(0), ice.WithPrflxAcceptanceMinWait(0),
		ice.WithRelayAcceptanceMinWait(relayWait),
		ice.WithBindingRequestHandler(p.authenticated),
		ice.WithRemoteIPFilter(func(net.IP) bool { return p.mayAccept() }),
	)
	if err != nil {
		return nil, err
	}
	if err := a.OnConnectionStateChange(func(s ice.ConnectionState) { p.state.Store(int32(s)); p.wake() }); err != nil {
		return nil, err
	}
	return a, a.OnSelectedCandidatePairChange(func(ice.Candidate, ice.Candidate) { p.wake() })
}

// Socket is the connection for QUIC. QUIC must read it from before Restart until Close.
func (p *Path) Socket() *Socket { return p.socket }

// SetServers replaces the ICE servers for the next Restart.
func (p *Path) SetServers(s []wire.ICEServer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urls = s
}

// Restart begins a generation: it returns new credentials for the other side, and gathers candidates. Packets take the
// former path until there is another.
func (p *Path) Restart() (ufrag, pwd string, err error) {
	p.stopGathering()
	p.mu.Lock()
	first := p.generation == 0
	p.mu.Unlock()
	p.accepted.Store(0)
	if !first {
		if err := p.agent.Restart("", ""); err != nil {
			return "", "", err
		}
	}
	// Not before ICE has forgotten the old pair, which run would take for one of the new generation.
	p.mu.Lock()
	p.generation++
	generation := p.generation
	p.locals = map[string]*relay{}
	p.mu.Unlock()
	if ufrag, pwd, err = p.agent.GetLocalUserCredentials(); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	done := make(chan struct{})
	p.mu.Lock()
	p.gathering, p.gathered = cancel, done
	p.mu.Unlock()
	if !p.tasks.Run(func() { defer close(done); p.gather(ctx, generation, ufrag) }) {
		close(done)
	}
	p.wake()
	return ufrag, pwd, nil
}

// stopGathering may be called by Restart and by Close at once.
func (p *Path) stopGathering() {
	p.mu.Lock()
	stop, done := p.gathering, p.gathered
	p.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// SetRemote takes the other side's credentials. The side whose offer was the first controls.
func (p *Path) SetRemote(ufrag, pwd string, controls bool) error {
	p.mu.Lock()
	first := !p.started
	p.started = true
	p.mu.Unlock()
	if !first {
		return p.agent.SetRemoteCredentials(ufrag, pwd)
	}
	start := p.agent.StartAccept
	if controls {
		start = p.agent.StartDial
	}
	_, err := start(ufrag, pwd)
	return err
}

// Forget gives up the path and everything that is known of the other side, since another one has taken its place.
func (p *Path) Forget() {
	p.socket.setRoute(nil)
	p.mu.Lock()
	p.up, p.forgotten = false, true
	p.mu.Unlock()
	p.settled.Store(false)
	p.changeSources(func(s *sources) { clear(s.peers) })
	p.wake()
	p.config.Changed()
}

// Current returns the path in use, or false if there is none that works.
func (p *Path) Current() (Info, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, p.up
}

// Settled tells whether ICE has selected a pair. Before that the path may still change a few times.
func (p *Path) Settled() bool { return p.settled.Load() }

// Close ends everything. QUIC must have ended before.
func (p *Path) Close() error {
	p.end()
	p.stopGathering()
	_ = p.agent.GracefulClose()
	p.mu.Lock()
	servers, streams := p.servers, p.streams
	p.servers, p.streams = nil, nil
	p.mu.Unlock()
	for _, s := range servers {
		s.close()
	}
	for _, r := range streams {
		r.close()
	}
	err := p.socket.udp.Close()
	p.tasks.Wait()
	return err
}

// wake lets run look at ICE's pairs.
func (p *Path) wake() {
	select {
	case p.wakes <- struct{}{}:
	default:
	}
}

// received gets everything from the socket that is not QUIC's.
func (p *Path) received(k kind, b []byte, srv *server, from netip.AddrPort) {
	switch {
	case k == toServer:
		srv.handle(b)
	case srv != nil:
		if r := srv.current.Load(); r != nil {
			r.deliver(b, from)
		}
	default:
		if c := p.hosts[family(from.Addr())].Load(); c != nil {
			c.deliver(b, from)
		}
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Info is the path in use, as [link.Path] has it.
type Info = link.Path
