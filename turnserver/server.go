package turnserver

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/front"
	"example.org/turnpike/turnserver/peerpolicy"
	"example.org/turnpike/turnserver/tokenbucket"
)

// Server is one STUN and TURN node. New makes it, Start opens its sockets, Close ends it for good.
type Server struct {
	// Static after New.
	cfg        Config
	relaySeed  maphash.Seed // of the choice among relay addresses
	log        *slog.Logger
	policy     *peerpolicy.Policy
	buffers    *bufferPool
	copies     sync.Pool // of *[copySize]byte
	workers    *workerPool
	wallTime   func() time.Time          // tests set another
	openTime   time.Duration             // likewise
	probeRelay func(netip.Addr) error    // likewise: why no socket can be opened at an address
	epollAdd   func(epoll, fd int) error // likewise
	binderFor  func(*loop) binder        // likewise: relayed sockets that need no descriptor
	epoch      time.Time
	front      *front.Front
	dtls       []dtls.ServerOption

	answers      *tokenbucket.Table[front.Source] // over UDP, to clients that have not authenticated themselves
	failures     *tokenbucket.Table[front.Source] // to authenticate
	requests     *tokenbucket.Table[holder]       // that change something
	connects     *tokenbucket.Table[holder]       // to peers over TCP
	logged       tokenbucket.Atomic               // addresses that began to wait
	counters     counters
	quota        quota
	owned        owned
	reserved     reservations
	peers        peerConns
	bandwidth    bandwidth
	mobility     *mobility // nil: clients cannot move
	places       places
	backlog      backlog
	verified     *front.Openings // DTLS associations before the end of their handshake, whose client has shown its address
	draining     atomic.Bool
	relays       atomic.Pointer[relaySet]
	ownHost      atomic.Pointer[peerpolicy.Addresses] // this host's addresses that relay nothing
	ownHostMoved atomic.Bool                          // the sweep must revoke what reaches them once more
	spare        spareProcessors
	faults       faults
	hinted       atomic.Bool // hintBuffers has spoken

	readers   sync.WaitGroup // a goroutine each; startReader adds to it
	done      chan struct{}  // closed by Close
	lookAgain chan struct{}  // holds one

	activityMu sync.Mutex // guards allocation.active of all

	// Static once Start has begun.
	offloader      *offloader // the sink of flowQueue, if the kernel forwards
	flowQueue      *flowQueue // of the flows of every shard, set before there are any; nil: the sockets forward all
	offloadFailure error      // why the kernel does not forward, though Config wants it

	relayLoops []*loop       // loops, static once Start has opened a listener
	listening  []uint16      // ports of our listeners of datagrams, static once Start has opened them
	nextLoop   atomic.Uint32 // counts the relayed sockets that loops got in turn

	mu           sync.Mutex
	closed       bool
	shards       []*shard
	loops        []*loop // serve UDP; none on the portable path
	sockets      []*udpSocket
	tcp          []*front.Listener // of Config.Listen
	streams      map[*stream]struct{}
	associations map[*association]struct{}
	addrs        []Listener
}

// New checks cfg and makes a server. It opens no sockets.
func New(cfg Config) (*Server, error) {
	if cfg.MinPort == 0 && cfg.MaxPort == 0 {
		cfg.MinPort, cfg.MaxPort = 49152, 65535
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("turnserver: %w", err)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Loops = cmp.Or(cfg.Loops, runtime.GOMAXPROCS(0))
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg:        cfg,
		log:        cfg.Log,
		relaySeed:  maphash.MakeSeed(),
		policy:     peerpolicy.New(cfg.AllowPeers, cfg.DenyPeers),
		buffers:    newBufferPool(),
		wallTime:   time.Now,
		probeRelay: probeRelayAddress,
		epollAdd:   epollAdd,
		binderFor:  relayBinder,
		lookAgain:  make(chan struct{}, 1),
		openTime:   front.OpenTime,
		epoch:      time.Now(),
		quota:      newQuota(&cfg.Limits),
		owned:      newOwned(),
		reserved:   newReservations(),
		done:       make(chan struct{}),
		streams:    make(map[*stream]struct{}),

		associations: make(map[*association]struct{}),
	}
	s.bandwidth = newBandwidth(&s.cfg.Limits)
	s.answers = tokenbucket.NewTable[front.Source](cfg.Limits.UnauthenticatedAnswersPerSecond, time.Second, 4)
	s.failures = tokenbucket.NewTable[front.Source](cfg.Limits.FailedCredentialsPerMinute, time.Minute, 1)
	s.requests = tokenbucket.NewTable[holder](cfg.Limits.RequestsPerSecond, time.Second, requestBursts)
	s.connects = tokenbucket.NewTable[holder](cfg.Limits.ConnectsPerMinute, time.Minute, 1)
	s.peers = newPeerConns(&s.cfg.Limits)
	s.copies.New = func() any { return new([copySize]byte) }
	s.places.limit = cfg.Limits.Streams
	s.backlog.ofNode, s.backlog.ofUser = int64(cfg.Limits.WaitingBytes), int64(cfg.Limits.WaitingBytesPerUser)
	s.front = s.newFront()
	s.dtls = dtlsOptions(&s.cfg)
	s.verified = front.NewOpenings(s.cfg.Limits.Openings)
	s.workers = newWorkerPool(s)
	s.mobility = newMobility(s)
	s.setFirstRelays()
	s.readOwnHost()
	return s, nil
}

func (s *Server) wallClock() time.Time { return s.wallTime() }

// now is the time by which expiries are measured.
func (s *Server) now() clock { return clock(s.wallTime().Sub(s.epoch)) }

// Start opens every listener and begins to serve. If one cannot be opened, none stays open. It is called once.
func (s *Server) Start() error {
	if err := s.openOffloader(); err != nil {
		_ = s.Close()
		return err
	}
	if err := s.makeLoops(); err != nil {
		_ = s.Close()
		return err
	}
	for _, l := range s.cfg.Listen {
		err := s.listen(l)
		if err != nil && l.Optional && familyMissing(err) {
			s.log.Info("turn: listener left out: this host lacks the address family", "listener", l.String())
			continue
		}
		if err != nil {
			_ = s.Close()
			return &ListenError{Listener: l, Err: err}
		}
	}
	for _, r := range s.relays.Load().udp {
		// A relay address that this host does not have must show now, not at the first call.
		if err := s.probeRelay(r.local); err != nil {
			_ = s.Close()
			return &RelayAddressError{Local: r.local, Err: err}
		}
	}
	if err := s.linkOrigins(); err != nil {
		_ = s.Close()
		return err
	}
	s.listening = s.listeningPorts()
	s.serve()
	return nil
}

// ListenError is what Start returns if it cannot open a listener.
type ListenError struct {
	Listener Listener
	Err      error
}

func (e *ListenError) Error() string {
	return "listen on " + e.Listener.String() + ": " + e.Err.Error()
}
func (e *ListenError) Unwrap() error { return e.Err }

// RelayAddressError is what Start returns if it cannot open a port of a relay address.
type RelayAddressError struct {
	Local netip.Addr
	Err   error
}

func (e *RelayAddressError) Error() string {
	return "relay address " + e.Local.String() + ": " + e.Err.Error()
}
func (e *RelayAddressError) Unwrap() error { return e.Err }

// OffloadError is what Start returns if the kernel cannot forward, though Config.Offload requires it.
type OffloadError struct{ Err error }

func (e *OffloadError) Error() string { return "offload: " + e.Err.Error() }
func (e *OffloadError) Unwrap() error { return e.Err }

// makeLoops makes the loops, where the system has them.
func (s *Server) makeLoops() error {
	if !loops || s.cfg.portable {
		return nil
	}
	for range s.cfg.Loops {
		l, err := s.newLoop()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.loops = append(s.loops, l)
		s.shards = append(s.shards, l.shard)
		s.mu.Unlock()
		s.relayLoops = append(s.relayLoops, l)
	}
	return nil
}

// serve starts the readers of everything that listen opened.
func (s *Server) serve() {
	s.mu.Lock()
	loops, sockets, tcp := s.loops, s.sockets, s.tcp
	s.mu.Unlock()
	for _, l := range loops {
		if s.startReader() {
			go l.run()
		}
	}
	for _, sock := range sockets {
		if s.startReader() {
			go sock.read()
		}
	}
	for _, l := range tcp {
		if s.startReader() {
			go func() { defer s.readers.Done(); l.Serve() }()
		}
	}
	if s.startReader() {
		go s.sweepLoop()
	}
	if s.startReader() {
		go s.followHost()
	}
}

// startReader counts a goroutine that Close waits for, unless the server is closed.
func (s *Server) startReader() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers.Add(1)
	return true
}

// isClosed reports whether Close has begun.
func (s *Server) isClosed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Addrs lists the listeners that are open, with the ports that the system chose for those on port 0.
func (s *Server) Addrs() []Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Listener(nil), s.addrs...)
}

// Allocations is how many allocations live.
func (s *Server) Allocations() int { return s.quota.inUse() }

// Counters lists the totals since New, always in the same order.
func (s *Server) Counters() []Counter {
	below := s.offloader.totals()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.workers.counters(), &s.counters)
	for _, l := range s.loops {
		all = append(all, &l.counters)
	}
	return sum(all, below)
}

// Drain refuses new allocations from now on. Those that live go on.
func (s *Server) Drain() { s.draining.Store(true) }

// Draining reports whether Drain has been called.
func (s *Server) Draining() bool { return s.draining.Load() }

// EndSession ends the allocations and reservations that were made with a session's credentials.
func (s *Server) EndSession(session string) {
	if session != "" {
		s.endOwned(owner{session: session}, func(*auth.Grant) bool { return true })
	}
	s.flowQueue.settle()
}

// CountSession returns how many allocations there are that were made with a session's credentials.
func (s *Server) CountSession(session string) int { return s.owned.count(owner{session: session}) }

// EndUser ends the allocations and reservations of a user of REST or relay-only credentials.
func (s *Server) EndUser(user string) {
	s.EndGrants(user, func(*auth.Grant) bool { return true })
	s.flowQueue.settle()
}

// EndGrants ends the allocations and reservations of those of a user's REST or relay-only credentials that match.
func (s *Server) EndGrants(user string, match func(*auth.Grant) bool) {
	if user != "" {
		s.endOwned(owner{user: user}, match)
	}
}

func (s *Server) endOwned(who owner, match func(*auth.Grant) bool) {
	s.owned.end(who, match)
	s.reserved.endMatching(func(r *reservation) bool { return namedBy(&r.grant) == who && match(&r.grant) })
}

// Close ends every allocation, closes every socket, and waits for every goroutine. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	loops, sockets := s.loops, s.sockets
	streams := make([]*stream, 0, len(s.streams))
	for t := range s.streams {
		streams = append(streams, t)
	}
	associations := slices.Collect(maps.Keys(s.associations))
	s.mu.Unlock()

	var err error
	if first {
		close(s.done)
		s.verified.Close()
		for _, a := range associations { // before the sockets, or DTLS could not say farewell
			_ = a.Close()
		}
		for _, sock := range sockets {
			if e := sock.conn.Close(); !errors.Is(e, net.ErrClosed) { // a listener that failed has closed its socket
				err = errors.Join(err, e)
			}
		}
		err = errors.Join(err, s.front.Close())
		for _, t := range streams {
			t.close()
		}
		for _, a := range s.owned.all() {
			a.end()
		}
		s.reserved.endMatching(func(*reservation) bool { return true })
		for _, l := range loops {
			l.stop()
		}
	}
	s.front.Wait()
	s.readers.Wait()
	if first {
		s.flowQueue.close()
		for _, l := range loops {
			l.closeSockets()
		}
		s.offloader.close()
	}
	return err
}

const (
	sweepInterval = time.Second
)

// sweepLoop removes what has expired.
func (s *Server) sweepLoop() {
	defer s.readers.Done()
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	nextActivity := s.now().plus(activityInterval)
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		s.sweep()
		if s.now() >= nextActivity {
			nextActivity = s.now().plus(activityInterval)
			s.lookForActivity(nil)
		}
		s.lookForSpare()
	}
}

func (s *Server) sweep() {
	s.mu.Lock()
	shards := s.shards
	s.mu.Unlock()
	now := s.now()
	if s.ownHostMoved.Swap(false) {
		s.revokeOwnHost()
	}
	for _, sh := range shards {
		for _, e := range sh.sweep(now) {
			if now >= e.alloc.born.plus(s.cfg.Limits.AllocationMaxAge) {
				s.counters.count(limitAge)
			}
			e.alloc.endRelayed(e.relayed)
		}
	}
	s.reserved.endMatching(func(r *reservation) bool { return now >= r.expires })
	s.quota.sweep(now)
	s.mobility.sweep(now)
	s.peers.endExpired(now)
}

// lookForSpare lets loops that are busy have processors of their own.
func (s *Server) lookForSpare() {
	if s.cfg.SpareProcessors == nil {
		return
	}
	s.mu.Lock()
	loops := s.loops
	s.mu.Unlock()
	busiest := uint32(0)
	for _, l := range loops {
		busiest = max(busiest, l.resetShortWaits())
	}
	s.spare.update(busiest, s.cfg.SpareProcessors)
}

// A loop that wakes for every packet works best if it keeps its P, the Go runtime's leave to run, through its short
// sleeps in the kernel; see loop.wait. The program then needs one P more for each loop. But a P that nobody needs costs
// the rest: whenever a goroutine becomes ready, the runtime wakes a thread to look for work. So there are spare ones
// only while loops are busy. The program learns when by Config.SpareProcessors.
const (
	busyWaits = 500 // a loop with so many short waits in a sweepInterval is busy
	calmFor   = 10  // sweeps with no busy loop until the spare processors go
)

// spareProcessors decides whether loops keep their Ps.
type spareProcessors struct {
	granted atomic.Bool // read by loops

	// Owned by the sweep.
	calm int // sweeps since a loop was busy
}

// update is called once in a sweepInterval, with the short waits of the busiest loop. When its decision changes it
// calls ask: before loops keep their Ps, and after they no longer do.
func (sp *spareProcessors) update(shortWaits uint32, ask func(spare bool)) {
	busy := shortWaits >= busyWaits
	switch granted := sp.granted.Load(); {
	case busy && !granted:
		ask(true)
		sp.granted.Store(true)
	case !busy && granted:
		if sp.calm++; sp.calm >= calmFor {
			sp.granted.Store(false)
			ask(false)
		}
	}
	if busy || !sp.granted.Load() {
		sp.calm = 0
	}
}
