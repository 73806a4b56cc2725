package turnserver

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"example.org/turnpike/turnserver/udpio"
	"example.org/turnpike/turnserver/wire"
)

// TestTCPRelaysMeet: two allocations that connect to each other at once have one connection. Each is told of it, by the
// answer or by a ConnectionAttempt.
func TestTCPRelaysMeet(t *testing.T) {
	s := startServer(t, nil)
	for i := range 20 {
		cred := mintREST(t, fmt.Sprint("alice", i), time.Hour)
		a, b := dialAs(t, s, "tcp", cred), dialAs(t, s, "tcp", cred)
		ra, rb := a.allocateTCP(), b.allocateTCP()
		a.permit(rb)
		b.permit(ra)
		toB, toA := a.build(stun.MethodConnect, peerAddr(rb)), b.build(stun.MethodConnect, peerAddr(ra))
		var both sync.WaitGroup
		both.Go(func() { a.write(toB.Raw) })
		both.Go(func() { b.write(toA.Raw) })
		both.Wait()
		near := dialAs(t, s, "tcp", cred).claim(a.met(toB))
		far := dialAs(t, s, "tcp", cred).claim(b.met(toA))
		near.send([]byte("near"))
		far.want([]byte("near"))
		far.send([]byte("far"))
		near.want([]byte("far"))
		near.finish()
		far.wantFinished()
		far.finish()
		near.wantFinished()
		_, _ = a.conn.Close(), b.conn.Close()
	}
}

// met returns the CONNECTION-ID that the answer to a Connect has. If the server has accepted the peer meanwhile, the ID is
// in a ConnectionAttempt.
func (c *testClient) met(connect *stun.Message) attribute {
	c.t.Helper()
	answer := c.answerTo(connect)
	switch code := codeOf(c.t, answer); code {
	case 0:
		return connectionIDIn(c.t, answer)
	case 446, 447:
		_, id := c.attempted()
		return id
	default:
		c.t.Fatalf("answered %d", code)
		return attribute{}
	}
}

// TestTCPRelayMeetsItself: an allocation that connects to itself talks to itself.
func TestTCPRelayMeetsItself(t *testing.T) {
	s, cred := startServer(t, nil), mintREST(t, "alice", time.Hour)
	c := dialAs(t, s, "tcp", cred)
	near := dialAs(t, s, "tcp", cred).claim(c.connectTo(c.allocateTCP()))
	near.send([]byte("echo"))
	near.want([]byte("echo"))
	near.finish()
	near.wantFinished()
}

// TestPeerComesWhileItIsDialed: a peer connects while a Connect to it is under way, from the port that the Connect asks
// for. The host refuses the second connection of these ports, so the first is the answer.
func TestPeerComesWhileItIsDialed(t *testing.T) {
	s, cred := startServer(t, allowLoopback), mintREST(t, "alice", time.Hour)
	c := dialAs(t, s, "tcp", cred)
	relayed := c.allocateTCP()
	a := s.relays.Load().tcp[0].allocationAt(relayed.Port())
	listener := net.ListenConfig{Control: udpio.SharePort}
	ln, err := listener.Listen(t.Context(), "tcp4", netip.AddrPortFrom(peerIP, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer := wire.AddrPortOf(ln.Addr())
	c.permit(peer)
	a.shard.mu.Lock() // what came before the permission is seen here
	relay := a.first.tcp
	a.shard.mu.Unlock()
	p, result := s.peers.addPending(relay, wire.EndpointOf(peer)) // as a Connect begins
	if result != outcomeDone {
		t.Fatal("no connection was begun")
	}
	dialer := net.Dialer{LocalAddr: ln.Addr(), Control: udpio.SharePort, Timeout: patience}
	conn, err := dialer.DialContext(t.Context(), "tcp4", relayed.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far := &testData{t, conn, conn}
	waitFor(t, "the peer to be let in", func() bool {
		s.peers.mu.Lock()
		defer s.peers.mu.Unlock()
		return p.conn != nil
	})
	to := destinationAmong(s.relays.Load().tcp, wire.EndpointOf(peer))
	if second, err := relay.dial(t.Context(), &to); err == nil {
		_ = second.Close()
		t.Fatal("there are two connections with the same ports")
	}
	id, met := p.notReached(peerFailed) // as the Connect ends
	if !met {
		t.Fatal("the connection is not offered")
	}
	near := dialAs(t, s, "tcp", cred).claim(attribute{stun.AttrConnectionID, id[:]})
	near.send([]byte("near"))
	far.want([]byte("near"))
	far.send([]byte("far"))
	near.want([]byte("far"))
}
