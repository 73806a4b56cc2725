package turnserver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/auth"
	"example.org/turnpike/turnserver/wire"
)

// TestMovesAtRandom lets clients move in random ways, all at once, with answers, connections and relays lost on the
// way. A client that does nothing wrong keeps its relay. When all rest, the books agree. When all have ended, nothing
// is left.
func TestMovesAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed ", seed) // helps to look into a failure, though it does not repeat the order of events
	s := startServer(t, allowMobility)
	var stop atomic.Bool
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for !stop.Load() {
			s.sweep()
			s.Snapshot()
		}
	}()
	t.Run("clients", func(t *testing.T) {
		for i := range 6 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				m := &randomMover{t: t, s: s, random: rand.New(rand.NewPCG(seed, uint64(i))), user: fmt.Sprint("user", i), peer: newPeer(t)}
				m.credential = mintREST(t, m.user, time.Hour)
				m.begin()
				for range movesAtOnce / 2 { // none of which moves more than twice
					m.step()
				}
			})
		}
	})
	stop.Store(true)
	<-looked
	waitFor(t, "the books to agree", func() bool { return len(booksOf(s)) == 0 }) // once lost connections have been noticed
	for i := range 6 {
		s.EndUser(fmt.Sprint("user", i))
	}
	wantNothingLeft(t, s)
	checkBooks(t, s)
}

// randomMover is a client with a relay, and a peer on its channel.
type randomMover struct {
	t          testing.TB
	s          *Server
	random     *rand.Rand
	user       string
	credential auth.Credential
	peer       *testPeer
	relayed    netip.AddrPort
	here       *testClient // where it is served, or nil: it has lost that
	ticket     []byte
	data       int // how often there was some
}

func (m *randomMover) network() string {
	return [...]string{"udp", "udp", "tcp", "tls", "dtls"}[m.random.IntN(5)]
}

// elsewhere is the client on another five-tuple.
func (m *randomMover) elsewhere() *testClient { return dialAs(m.t, m.s, m.network(), m.credential) }

func (m *randomMover) begin() {
	m.here = m.elsewhere()
	m.relayed, m.ticket = m.here.allocateMobile()
	m.here.bind(wire.MinChannel, m.peer.addr)
	m.exchange(m.here)
}

// exchange sends data both ways, with the client at a place.
func (m *randomMover) exchange(at *testClient) {
	m.t.Helper()
	m.data++
	data := []byte(fmt.Sprint(m.user, " sends ", m.data))
	if m.random.IntN(2) == 0 {
		at.sendChannel(wire.MinChannel, data)
	} else {
		at.indicate(m.peer.addr, data)
	}
	m.peer.want(m.relayed, data)
	m.hear(at)
}

func (m *randomMover) hear(at *testClient) {
	m.t.Helper()
	m.data++
	data := []byte(fmt.Sprint(m.user, " hears ", m.data))
	at.offloads()
	m.peer.send(m.relayed, data)
	at.wantData(wire.MinChannel, m.peer.addr, data)
}

func (m *randomMover) step() {
	switch m.random.IntN(6) {
	case 0: // the answer is lost, and with it the place
		lost := m.elsewhere().challenged()
		lost.write(lost.build(stun.MethodRefresh, mobilityTicket(m.ticket)).Raw)
		lost.barrier()
		_ = lost.conn.Close()
		m.here = nil // if the barrier was a keepalive of a place that has taken the relay over
	case 1: // the connection is lost, if it is one
		if m.here != nil && m.here.conn.LocalAddr().Network() != "udp" {
			_ = m.here.conn.Close()
			m.here = nil
		}
	case 2: // the relay ends
		m.end()
		m.begin()
		return
	case 3: // the client stays
		if m.here != nil {
			m.exchange(m.here)
			return
		}
	case 4: // it changes its mind before it has moved
		m.ticket = m.elsewhere().show(m.ticket)
	}
	m.move()
}

// move goes on from another place, and shows that it is there in one way or another.
func (m *randomMover) move() {
	to := m.elsewhere()
	m.ticket = to.show(m.ticket)
	if m.here != nil && m.random.IntN(2) == 0 {
		m.hear(m.here) // where it is until it has come
	}
	switch m.random.IntN(4) {
	case 0:
		to.accept(stun.MethodRefresh)
	case 1:
		to.bind(wire.MinChannel, m.peer.addr)
	case 2:
		to.barrier()
		m.hear(to)
	}
	m.exchange(to)
	m.here = to
}

// end ends the relay, from its place or from elsewhere, or makes the server end it. Its ticket is good for nothing
// then.
func (m *randomMover) end() {
	switch from := m.elsewhere(); m.random.IntN(3) {
	case 0:
		from.accept(stun.MethodRefresh, lifetime(0), mobilityTicket(m.ticket))
	case 1:
		if m.here != nil {
			m.here.accept(stun.MethodRefresh, lifetime(0))
			break
		}
		fallthrough
	default:
		from.show(m.ticket) // and it ends before it comes
		m.s.EndUser(m.user)
	}
	m.elsewhere().refuse(437, stun.MethodRefresh, mobilityTicket(m.ticket))
}

// TestMovesAtOnce: many clients move while their peers send, others end, and the server looks through all of them.
func TestMovesAtOnce(t *testing.T) {
	s := startServer(t, allowMobility)
	var stop atomic.Bool
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for !stop.Load() {
			s.sweep()
			s.Snapshot()
			s.AllocationsByTransport()
			s.EndUser("nobody")
		}
	}()
	t.Run("clients", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				moveAround(t, s, i)
			})
		}
	})
	stop.Store(true)
	<-looked
	wantNothingLeft(t, s)
}

// moveAround moves an allocation from network to network while a peer sends to it as fast as it can.
func moveAround(t *testing.T, s *Server, i int) {
	networks := []string{"udp", "tcp", "udp", "tls", "dtls"}
	user := fmt.Sprint("user", i)
	c, peer := dialREST(t, s, networks[i%len(networks)], user), newPeer(t)
	relayed, ticket := c.allocateMobile()
	c.bind(wire.MinChannel, peer.addr)
	var stop atomic.Bool
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for !stop.Load() {
			if _, err := peer.conn.WriteToUDPAddrPort([]byte("data"), relayed); err != nil {
				return
			}
		}
	}()
	for n := range 12 {
		old := c
		c = c.elsewhere(s, networks[(i+n)%len(networks)])
		if was := networks[(i+max(n-1, 0))%len(networks)]; n%3 == 1 && was != "udp" { // nobody notices it of UDP, but another client may get the port, where a relay still is
			_ = old.conn.Close()
		}
		ticket = c.show(ticket)
		if n%3 == 0 {
			c.indicate(peer.addr, []byte("up"))
		} else {
			c.sendChannel(wire.MinChannel, []byte("up"))
		}
		peer.want(relayed, []byte("up"))
		c.offloads()
		c.wantData(wire.MinChannel, peer.addr, []byte("data"))
	}
	s.EndUser(user) // an answer to the client could get lost in the flood
	stop.Store(true)
	<-sent
}
